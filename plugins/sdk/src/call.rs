//! One call of a backend, as the server follows it.

use segue_abi as abi;

/// A part of a call that the server times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stage {
    /// From the frame's pixels to the network's input.
    Preprocess = abi::STAGE_PREPROCESS,
    /// The network itself.
    Forward = abi::STAGE_FORWARD,
    /// From the network's scores to the mask.
    Postprocess = abi::STAGE_POSTPROCESS,
}

/// The call in which a frame is being segmented.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    host: &'a abi::Host,
    frame: &'a abi::Frame,
}

impl<'a> Call<'a> {
    pub(crate) fn new(host: &'a abi::Host, frame: &'a abi::Frame) -> Self {
        Self { host, frame }
    }

    /// Runs `work` and reports its time to the frame's trace.
    pub fn stage<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let running = self.begin(stage);
        let result = work();
        running.end();
        result
    }

    /// Begins a stage, for work that does not end where it began.
    pub fn begin(&self, stage: Stage) -> RunningStage<'a> {
        RunningStage { call: *self, stage, start_nanos: (self.host.now_nanos)(self.host.context) }
    }

    /// The W3C header `traceparent` for whatever the backend calls over a network, so that its spans become a part of the
    /// frame's trace; `None` when the frame has none.
    pub fn traceparent(&self) -> Option<String> {
        let trace_id = u128::from_be_bytes(self.frame.trace_id);
        let span_id = u64::from_be_bytes(self.frame.span_id);
        let flags = self.frame.trace_flags & 0xFF;
        (trace_id != 0 && span_id != 0).then(|| format!("00-{trace_id:032x}-{span_id:016x}-{flags:02x}"))
    }

    /// Whether nobody waits for the answer any more. Long calls ask now and then, and return
    /// [`Error::Cancelled`](crate::Error::Cancelled).
    pub fn cancelled(&self) -> bool {
        (self.host.cancelled)(self.host.context, self.frame.token) != 0
    }
}

/// A stage that has begun.
#[must_use = "a stage that does not end is not reported"]
pub struct RunningStage<'a> {
    call: Call<'a>,
    stage: Stage,
    start_nanos: u64,
}

impl RunningStage<'_> {
    /// Reports its time to the frame's trace. A second report is one more stretch of time.
    pub fn end(&self) {
        let Call { host, frame } = self.call;
        (host.stage)(host.context, frame.token, self.stage as u32, self.start_nanos, (host.now_nanos)(host.context));
    }
}
