//! What gets in, and what is shed and why: the newest frame of each session waits for an instance.
//!
//! On a frame's path this stands between the session that received it and the pipeline that runs it.
//!
//! Architecture invariant: a session holds one waiting frame at most. A newer one takes its place, and the older
//! one is handed back so that its drop is told. No instance is held for a session that has no frame for it. Sessions
//! wait in one line for each model, so that they take turns, whatever each of them sends.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use tokio::sync::Notify;

use crate::{
    config::Line,
    model::{Lease, Mode},
    pipeline::{EncodedFrame, FrameError, Settings, check_age},
    telemetry::FrameTrace,
};

/// A frame, and the mode that its session was in when it came.
pub struct WaitingFrame {
    /// The frame.
    pub frame: EncodedFrame,
    /// Its trace.
    pub trace: FrameTrace,
    /// The mode in which it is to be answered.
    pub mode: Arc<Mode>,
    /// The settings under which it came; whatever is reloaded, it ends under them.
    pub settings: Settings,
    /// Where it waits.
    pub line: Line,
}

/// What a frame waits for.
struct Aim {
    mode: Arc<Mode>,
    line: Line,
    max_waiting: u32,
}

impl WaitingFrame {
    fn aim(&self) -> Aim {
        Aim { mode: Arc::clone(&self.mode), line: self.line, max_waiting: self.settings.limits.max_waiting }
    }
}

/// The place for the one frame of a session that waits. It is filled by one task and emptied by another.
#[derive(Default)]
pub struct LatestSlot {
    waiting: Mutex<Option<WaitingFrame>>,
    filled: Notify,
}

impl LatestSlot {
    /// Puts `frame` in; the one that it supersedes, if one was waiting.
    pub fn put(&self, frame: WaitingFrame) -> Option<WaitingFrame> {
        let superseded = self.lock().replace(frame);
        self.filled.notify_one();
        superseded
    }

    /// Whether a frame waits.
    pub fn is_filled(&self) -> bool {
        self.lock().is_some()
    }

    /// What the waiting frame waits for, once there is one and it is not of the mode `other_than`.
    async fn aim(&self, other_than: Option<&Arc<Mode>>) -> Aim {
        loop {
            let waiting = self.lock().as_ref().map(WaitingFrame::aim);
            match waiting {
                Some(aim) if other_than.is_none_or(|other| !Arc::ptr_eq(&aim.mode, other)) => return aim,
                _ => self.filled.notified().await,
            }
        }
    }

    /// Takes the frame out, if it is of `mode`.
    fn take(&self, mode: &Arc<Mode>) -> Option<WaitingFrame> {
        self.lock().take_if(|waiting| Arc::ptr_eq(&waiting.mode, mode))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<WaitingFrame>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sessions of a server that have a frame waiting.
#[derive(Default)]
pub struct Queue(AtomicU32);

/// One of them waits, until this is dropped.
struct Place<'a>(&'a Queue);

impl Queue {
    /// A place in it, unless as many wait as may, in all or for `mode`.
    fn enter(&self, mode: &Mode, max_waiting: u32) -> Result<Place<'_>, FrameError> {
        let others = self.0.fetch_add(1, Ordering::AcqRel);
        let place = Place(self);
        let of_mode = mode.waiting();
        match mode.max_waiting() {
            _ if others >= max_waiting => Err(FrameError::Overloaded(others)),
            1.. if of_mode >= mode.max_waiting() => Err(FrameError::Overloaded(of_mode)),
            _ => Ok(place),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Waits for a frame and for an instance, and takes the frame only then: whatever is newest gets the instance.
/// A frame that can't have one comes with the reason.
pub async fn admit(slot: &LatestSlot, queue: &Queue) -> (WaitingFrame, Result<Lease, FrameError>) {
    loop {
        let Aim { mode, line, max_waiting } = slot.aim(None).await;
        let place = match queue.enter(&mode, max_waiting) {
            Ok(place) => place,
            Err(overloaded) => match slot.take(&mode) {
                Some(waiting) => return (waiting, Err(overloaded)),
                None => continue,
            },
        };
        let lease = tokio::select! {
            lease = mode.lease(line) => lease,
            _another = slot.aim(Some(&mode)) => continue,
        };
        drop(place);
        if let Some(waiting) = slot.take(&mode) {
            let lease = lease.map_err(FrameError::NotReady).and_then(|lease| {
                check_age(&waiting.trace, waiting.settings.limits.max_age_millis, lease.model().usual_time())?;
                Ok(lease)
            });
            return (waiting, lease);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        config::{LimitSettings, ResultFormat, ResultSettings},
        model::{Artifacts, ModeFault, ModeState},
        pipeline::Accepts,
        telemetry::TraceStart,
    };

    fn waiting(id: u32, mode: &Arc<Mode>) -> WaitingFrame {
        let frame = EncodedFrame { id, session: 1, captured_at_micros: 0, bytes: Bytes::new(), accepts: Accepts::Jpeg };
        let trace = FrameTrace::unrecorded(TraceStart::default());
        WaitingFrame { frame, trace, mode: Arc::clone(mode), settings: settings(), line: Line::First }
    }

    fn settings() -> Settings {
        let result =
            ResultSettings { format: ResultFormat::Mask, jpeg_quality: 60, max_width_px: 960, max_height_px: 540 };
        let limits = LimitSettings {
            max_frame_len_bytes: 1 << 20,
            max_upload_len_bytes: 1 << 20,
            max_picture_dimension_px: 8192,
            max_frame_pixels: 1 << 20,
            max_upload_pixels: 1 << 20,
            max_sessions: 1,
            max_age_millis: 60_000,
            send_timeout_millis: 1000,
            max_sessions_per_address: 1,
            max_connections: 1,
            max_connections_per_address: 1,
            request_timeout_millis: 1000,
            idle_timeout_millis: 1000,
            max_frames_per_second: 1,
            max_messages_per_second: 1,
            max_bytes_per_second: 1024,
            max_waiting: 1,
        };
        Settings { result, limits }
    }

    fn mode(name: &str) -> Arc<Mode> {
        let settings = serde_json::from_str(r#"{"model": "any"}"#).expect("all other keys have defaults");
        let files = Err(ModeFault::of("model", "there is none"));
        Arc::new(Mode::new(name.into(), settings, Artifacts { entry: None, files, golden: None }, 0, 0))
    }

    #[tokio::test]
    async fn a_newer_frame_supersedes_the_waiting_one() {
        let (slot, mode) = (LatestSlot::default(), mode("fast"));
        assert!(slot.put(waiting(1, &mode)).is_none());
        assert_eq!(slot.put(waiting(2, &mode)).map(|old| old.frame.id), Some(1));
        assert_eq!(slot.aim(None).await.mode.name, mode.name);
        assert_eq!(slot.take(&mode).map(|newest| newest.frame.id), Some(2));
        assert!(slot.take(&mode).is_none());
    }

    #[tokio::test]
    async fn who_finds_the_queue_full_is_told_at_once() {
        let (queue, mode) = (Queue::default(), mode("loading"));
        let (first, second) = (LatestSlot::default(), LatestSlot::default());
        first.put(waiting(1, &mode));
        let admitted = admit(&first, &queue);
        tokio::pin!(admitted);
        assert!(futures_util::poll!(&mut admitted).is_pending());
        second.put(waiting(2, &mode));
        let (frame, lease) = admit(&second, &queue).await;
        assert_eq!(frame.frame.id, 2);
        assert_eq!(lease.err().map(|error| error.reason()), Some("overloaded"));
        assert_eq!(queue.0.load(Ordering::Acquire), 1);
    }

    #[tokio::test]
    async fn a_frame_of_another_mode_ends_the_wait_for_the_first() {
        let (slot, loading, broken) = (LatestSlot::default(), mode("loading"), mode("broken"));
        let fault = ModeFault::of("model", "it is broken");
        broken.set(ModeState::Unavailable(Arc::new(fault)));
        slot.put(waiting(1, &loading));
        let queue = Queue::default();
        let admitted = admit(&slot, &queue);
        tokio::pin!(admitted);
        assert!(futures_util::poll!(&mut admitted).is_pending());
        slot.put(waiting(2, &broken));
        let (frame, lease) = admitted.await;
        assert_eq!(frame.frame.id, 2);
        assert_eq!(lease.err().map(|error| error.to_string()).as_deref(), Some("the mode can't serve: it is broken"));
    }
}
