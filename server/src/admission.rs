//! What gets in, and what is shed and why: the newest frame of each session waits for an instance.
//!
//! On a frame's path this stands between the session that received it and the pipeline that runs it.
//!
//! Architecture invariant: a session holds one waiting frame at most. A newer one takes its place, and the older
//! one is handed back so that its drop is told.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    model::{Lease, LoadedModel},
    pipeline::{EncodedFrame, FrameError},
};

/// The place for the one frame of a session that waits.
#[derive(Default)]
pub struct LatestSlot {
    waiting: Mutex<Option<EncodedFrame>>,
    filled: Notify,
}

impl LatestSlot {
    /// Puts `frame` in; the frame that it supersedes, if one was waiting.
    pub fn put(&self, frame: EncodedFrame) -> Option<EncodedFrame> {
        let superseded = self.lock().replace(frame);
        self.filled.notify_one();
        superseded
    }

    /// Waits until there is a frame. For one caller at a time.
    pub async fn filled(&self) {
        loop {
            if self.lock().is_some() {
                return;
            }
            self.filled.notified().await;
        }
    }

    /// Takes the frame out.
    pub fn take(&self) -> Option<EncodedFrame> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<EncodedFrame>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a frame and for an instance, and takes the frame only then: whatever is newest gets the instance.
/// `None` when the model is being taken down.
pub async fn admit(slot: &LatestSlot, model: &Arc<LoadedModel>) -> Option<(EncodedFrame, Lease)> {
    loop {
        slot.filled().await;
        let lease = model.lease().await?;
        if let Some(frame) = slot.take() {
            return Some((frame, lease));
        }
    }
}

/// Refuses a frame that waited too long to be of use.
pub fn check_age(frame: &EncodedFrame, max_age_millis: u64) -> Result<(), FrameError> {
    let age = frame.trace.age();
    if age > Duration::from_millis(max_age_millis) { Err(FrameError::Expired(age.as_millis())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{pipeline::Accepts, telemetry::FrameTrace};

    fn frame(id: u32) -> EncodedFrame {
        EncodedFrame {
            id,
            session: 1,
            captured_at_micros: 0,
            bytes: Bytes::new(),
            accepts: Accepts::Jpeg,
            trace: FrameTrace::start([1; 16]),
        }
    }

    #[tokio::test]
    async fn a_newer_frame_supersedes_the_waiting_one() {
        let slot = LatestSlot::default();
        assert!(slot.put(frame(1)).is_none());
        assert_eq!(slot.put(frame(2)).map(|old| old.id), Some(1));
        slot.filled().await;
        assert_eq!(slot.take().map(|newest| newest.id), Some(2));
        assert!(slot.take().is_none());
    }
}
