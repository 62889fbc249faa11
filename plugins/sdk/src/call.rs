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
    token: u64,
}

impl<'a> Call<'a> {
    pub(crate) fn new(host: &'a abi::Host, token: u64) -> Self {
        Self { host, token }
    }

    /// Runs `work` and reports its time to the frame's trace.
    pub fn stage<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = (self.host.now_nanos)(self.host.context);
        let result = work();
        let end = (self.host.now_nanos)(self.host.context);
        (self.host.stage)(self.host.context, self.token, stage as u32, start, end);
        result
    }

    /// Whether nobody waits for the answer any more. Long calls ask now and then, and return
    /// [`Error::Cancelled`](crate::Error::Cancelled).
    pub fn cancelled(&self) -> bool {
        (self.host.cancelled)(self.host.context, self.token) != 0
    }
}
