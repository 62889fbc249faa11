//! The trace of one frame: its ids and how long each stage took.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A stage of a frame's way through the server, in the order of the result header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Stage {
    /// From the socket to the start of the work: waiting for a turn.
    Queue,
    /// From bytes to pixels.
    Decode,
    /// From pixels to the network's input.
    Preprocess,
    /// The network.
    Infer,
    /// From scores to the mask.
    Postprocess,
    /// From the mask to bytes.
    Encode,
}

impl Stage {
    /// How many there are.
    pub const COUNT: usize = 6;
    /// All of them, in order.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Queue, Self::Decode, Self::Preprocess, Self::Infer, Self::Postprocess, Self::Encode];

    /// Its name in metrics and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Decode => "decode",
            Self::Preprocess => "preprocess",
            Self::Infer => "infer",
            Self::Postprocess => "postprocess",
            Self::Encode => "encode",
        }
    }
}

/// Travels beside a frame from the socket and back.
#[derive(Clone, Debug)]
pub struct FrameTrace {
    /// W3C trace id; never all zero.
    pub trace_id: [u8; 16],
    /// Generation of the configuration under which it came.
    pub generation: u32,
    received: Instant,
    stage_micros: [u32; Stage::COUNT],
}

impl FrameTrace {
    /// Starts now. A `trace_id` of zeros is replaced by a new one.
    pub fn start(trace_id: [u8; 16], generation: u32) -> Self {
        let trace_id = if trace_id == [0; 16] { uuid::Uuid::new_v4().into_bytes() } else { trace_id };
        Self { trace_id, generation, received: Instant::now(), stage_micros: [0; Stage::COUNT] }
    }

    /// Runs `work` as `stage`.
    pub fn measure<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let (result, micros) = timed(work);
        self.set(stage, micros);
        result
    }

    /// Notes that the wait for a turn is over.
    pub fn end_queue(&mut self) {
        self.set(Stage::Queue, to_micros(self.received.elapsed()));
    }

    /// Notes how long `stage` took.
    pub fn set(&mut self, stage: Stage, micros: u32) {
        self.stage_micros[stage as usize] = micros;
    }

    /// How long `stage` took, in microseconds.
    pub fn micros(&self, stage: Stage) -> u32 {
        self.stage_micros[stage as usize]
    }

    /// How long ago the frame was received.
    pub fn age(&self) -> Duration {
        self.received.elapsed()
    }
}

/// Runs `work`; what it returns, and how many microseconds it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, u32) {
    let start = Instant::now();
    let result = work();
    (result, to_micros(start.elapsed()))
}

/// Microseconds since the epoch, on the server's clock.
pub fn epoch_micros() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}

fn to_micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
