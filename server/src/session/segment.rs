//! The segmenting loop: one frame after the other gets its turn and is segmented.

use std::sync::{Arc, atomic::Ordering};

use tokio::sync::mpsc;

use super::Session;
use crate::{
    admission,
    model::Mode,
    pipeline::{Desk, EncodedMask, FrameError},
    telemetry::FrameTrace,
};

/// What became of one frame.
pub(super) struct Answer {
    pub(super) frame_id: u32,
    pub(super) captured_at_micros: u64,
    /// `None` when the work broke off.
    pub(super) trace: Option<FrameTrace>,
    pub(super) mode: Arc<Mode>,
    pub(super) result: Result<EncodedMask, FrameError>,
}

/// Runs until nobody takes its answers any more.
pub(super) async fn run(session: &Session, answers: mpsc::Sender<Answer>) {
    let mut desk = Desk::default();
    // 1. Room for the answer: of a client that takes nothing no further frame is segmented.
    while let Ok(room) = answers.reserve().await {
        // 2. The newest frame and an instance of its mode.
        let (waiting, lease) = admission::admit(&session.slot, &session.service.queue).await;
        session.is_busy.store(true, Ordering::Release);
        let (frame_id, captured_at_micros) = (waiting.frame.id, waiting.frame.captured_at_micros);
        // 3. The work. The instance is given back before the answer is sent.
        let mut trace = waiting.trace;
        trace.served_by(waiting.mode.served_by());
        let (result, trace) = match lease {
            Ok(lease) => {
                let wanted = session.wanted(waiting.settings.result.format, &lease.model().info);
                desk.run(lease, waiting.frame, trace, waiting.settings, wanted).await
            }
            Err(refused) => (Err(refused), Some(trace)),
        };
        session.is_busy.store(false, Ordering::Release);
        room.send(Answer { frame_id, captured_at_micros, trace, mode: waiting.mode, result });
    }
}
