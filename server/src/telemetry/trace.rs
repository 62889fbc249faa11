//! The trace of one frame, as it travels beside the frame from the socket and back.
//!
//! Invariant: each trace ends in the flight recorder exactly once. Whoever lets one go without saying what became of
//! the frame has abandoned it, and that is recorded.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    ClientTimes, FrameRecord, Measures, Outcome, ServedBy, SessionRecorder, Stage,
    record::{ABANDONED, BACKEND_FAILED, Slot, Spans},
};

/// Which frame a trace is of.
#[derive(Clone, Debug, Default)]
pub struct TraceStart {
    /// W3C trace id. All zero: one is made.
    pub trace_id: [u8; 16],
    /// The client's span; all zero when there is none.
    pub parent_id: [u8; 8],
    /// The client asks that the trace be kept.
    pub is_asked_for: bool,
    /// The client's counter.
    pub frame_id: u32,
    /// Generation of the configuration under which it came.
    pub generation: u32,
    /// The mode in which it is to be answered.
    pub mode: Arc<str>,
    /// What serves that mode.
    pub served_by: Option<Arc<ServedBy>>,
    /// What the client says of its own stages.
    pub client: ClientTimes,
    /// What is known of its size.
    pub measures: Measures,
}

/// Travels beside a frame. All it does on the way is to note the time.
#[derive(Debug)]
pub struct FrameTrace {
    record: FrameRecord,
    received: Instant,
    recorder: Option<Arc<SessionRecorder>>,
}

impl FrameTrace {
    /// Starts now; it ends in `recorder`.
    pub fn start(recorder: &Arc<SessionRecorder>, start: TraceStart) -> Self {
        recorder.began(&start.mode);
        let mut trace = Self::unrecorded(start);
        trace.record.session = recorder.session();
        trace.recorder = Some(Arc::clone(recorder));
        trace
    }

    /// Starts now, and ends nowhere.
    pub fn unrecorded(start: TraceStart) -> Self {
        let made = || uuid::Uuid::new_v4().into_bytes();
        let record = FrameRecord {
            trace_id: if start.trace_id == [0; 16] { made() } else { start.trace_id },
            parent_id: start.parent_id,
            is_asked_for: start.is_asked_for,
            session: 0,
            frame_id: start.frame_id,
            generation: start.generation,
            mode: start.mode,
            served_by: start.served_by,
            outcome: Outcome::Answered,
            message: Box::default(),
            received_at_micros: epoch_micros(),
            spans: Spans::default(),
            client: start.client,
            clock_error_micros: None,
            is_painted: false,
            is_settled: false,
            kept: None,
            measures: start.measures,
        };
        Self { record, received: Instant::now(), recorder: None }
    }

    /// The trace's id.
    pub fn trace_id(&self) -> [u8; 16] {
        self.record.trace_id
    }

    /// Generation of the configuration under which the frame came.
    pub fn generation(&self) -> u32 {
        self.record.generation
    }

    /// The span of the backend's call, should the trace be exported.
    pub fn call_span_id(&self) -> [u8; 8] {
        self.record.span_id(Slot::Call)
    }

    /// Whether it is known by now that the trace is kept: its client asked for it, or it falls under the ratio.
    pub fn is_surely_kept(&self) -> bool {
        self.recorder.as_ref().is_some_and(|recorder| recorder.keeps_from_the_start(&self.record))
    }

    /// Sizes and counts, to be filled in.
    pub fn measures(&mut self) -> &mut Measures {
        &mut self.record.measures
    }

    /// Tells what served the mode, which may have been loaded meanwhile.
    pub fn served_by(&mut self, served_by: Option<Arc<ServedBy>>) {
        self.record.served_by = served_by;
    }

    /// Notes that `stage` was from the end of the one `before` it until now.
    pub fn end(&mut self, stage: Stage, before: Stage) {
        let start = self.record.spans.get(before).map_or(0, super::Span::end_micros);
        self.record.spans.put(stage, start, self.now());
    }

    /// Notes the stages of a backend's call, which began at `start`, with what it says of itself. What that leaves of
    /// the call is a stage, too.
    pub fn called(&mut self, start: i32, told: [(Stage, u32); 3]) {
        let end = self.now();
        let mut at = start;
        for (stage, micros) in told.into_iter().filter(|&(_, micros)| micros > 0) {
            let until = at.saturating_add_unsigned(micros).min(end);
            self.record.spans.put(stage, at, until);
            at = until;
        }
        self.record.spans.put(Stage::Call, at, end);
    }

    /// Notes a stage's time by hand.
    pub fn put(&mut self, stage: Stage, start_micros: i32, end_micros: i32) {
        self.record.spans.put(stage, start_micros, end_micros);
    }

    /// How long `stage` took, in microseconds; 0 when the frame did not go through it.
    pub fn micros(&self, stage: Stage) -> u32 {
        self.record.spans.get(stage).map_or(0, |span| span.duration_micros)
    }

    /// Microseconds since the frame was received: the trace's clock.
    pub fn now(&self) -> i32 {
        i32::try_from(self.received.elapsed().as_micros()).unwrap_or(i32::MAX)
    }

    /// How long ago the frame was received.
    pub fn age(&self) -> Duration {
        self.received.elapsed()
    }

    /// Hands it to the flight recorder. `message` says why, when it was dropped.
    pub fn finish(mut self, outcome: Outcome, message: &str) {
        self.record(outcome, message);
    }

    /// What is known of it by now.
    #[cfg(test)]
    pub(super) fn into_record(self) -> FrameRecord {
        self.record.clone()
    }

    fn record(&mut self, outcome: Outcome, message: &str) {
        let Some(recorder) = self.recorder.take() else { return };
        let spans = &self.record.spans;
        if spans.get(Stage::Receive).is_some() && spans.get(Stage::Queue).is_none() {
            self.end(Stage::Queue, Stage::Receive);
        }
        self.record.outcome = outcome;
        self.record.message = message.into();
        recorder.add(self.record.clone());
    }
}

impl Drop for FrameTrace {
    fn drop(&mut self) {
        match std::thread::panicking() {
            true => self.record(Outcome::Dropped(BACKEND_FAILED), "the server failed on this frame"),
            false => self.record(Outcome::Dropped(ABANDONED), "the client did not wait for the answer"),
        }
    }
}

/// Microseconds since the epoch, on the server's clock.
pub fn epoch_micros() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}
