//! What is kept of one frame: who it was of, what became of it, and when each of its stages began and ended.

use std::sync::Arc;

use super::Stage;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A result was sent.
    Answered,
    /// A `dropped` was sent, with this reason.
    Dropped(&'static str),
}

impl Outcome {
    /// `answered` or `dropped`, and the reason of a drop.
    pub fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Answered => ("answered", ""),
            Self::Dropped(reason) => ("dropped", reason),
        }
    }
}

/// The reason of a frame whose client did not wait for its answer.
pub const ABANDONED: &str = "abandoned";

/// The reason of a frame on which the backend failed.
pub const BACKEND_FAILED: &str = "backend_failed";

/// Why a trace is kept for longer, and exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It took at least `slow_millis`.
    Slow,
    /// The backend failed on it.
    Failed,
    /// It has no result, for another reason.
    Dropped,
    /// Its client asked for it.
    Asked,
    /// It fell under the ratio.
    Sampled,
}

impl Kept {
    /// Its name in traces and in profiles.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::Asked => "asked",
            Self::Sampled => "sampled",
        }
    }
}

/// What a mode is served by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedBy {
    /// The model and its variant.
    pub model: String,
    /// The plugin's name.
    pub backend: String,
    /// SHA-256 of the plugin's file.
    pub build: String,
}

/// A stage's begin, in microseconds since the frame was received, and its duration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Below zero for what came before.
    pub start_micros: i32,
    /// Never below zero.
    pub duration_micros: u32,
}

impl Span {
    /// When it ended.
    pub fn end_micros(self) -> i32 {
        self.start_micros.saturating_add_unsigned(self.duration_micros)
    }
}

/// A duration that says that a frame did not go through a stage.
const NONE: Span = Span { start_micros: 0, duration_micros: u32::MAX };

/// When each stage was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spans([Span; Stage::COUNT]);

impl Default for Spans {
    fn default() -> Self {
        Self([NONE; Stage::COUNT])
    }
}

impl Spans {
    /// The stage's time, if the frame went through it.
    pub fn get(&self, stage: Stage) -> Option<Span> {
        let span = self.0[stage as usize];
        (span != NONE).then_some(span)
    }

    /// Notes from when to when a stage was. What ends before it begins has taken no time.
    pub fn put(&mut self, stage: Stage, start_micros: i32, end_micros: i32) {
        let duration_micros = u32::try_from(i64::from(end_micros) - i64::from(start_micros)).unwrap_or(0);
        self.0[stage as usize] = Span { start_micros, duration_micros };
    }

    /// The stages that the frame went through, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Stage, Span)> {
        Stage::ALL.into_iter().filter_map(|stage| Some((stage, self.get(stage)?)))
    }

    /// From the first begin to the last end.
    pub fn whole(&self) -> Span {
        let start_micros = self.iter().map(|(_, span)| span.start_micros).min().unwrap_or(0);
        let end = self.iter().map(|(_, span)| span.end_micros()).max().unwrap_or(0);
        Span { start_micros, duration_micros: end.abs_diff(start_micros) }
    }
}

/// When the client did what, in microseconds of its own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientTimes {
    /// The camera took the picture; 0 when the client did not say.
    pub captured_at: u64,
    /// The picture was encoded.
    pub encoded_at: u64,
    /// It was handed to the socket.
    pub sent_at: u64,
}

/// What a client says of a result that it painted, in microseconds of its own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaintTimes {
    /// Encoding began; `None` when the client does not say.
    pub encode_started_at: Option<u64>,
    /// The result came.
    pub received_at: u64,
    /// Decoding began; `None` when the client does not say.
    pub decode_started_at: Option<u64>,
    /// The mask was decoded.
    pub decoded_at: u64,
    /// It was on the screen.
    pub painted_at: u64,
}

/// Sizes and counts of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// Bytes of the encoded frame.
    pub frame_len_bytes: u32,
    /// Bytes of the result.
    pub result_len_bytes: u32,
    /// Width and height of the frame in pixels.
    pub frame_size_px: (u32, u32),
    /// Width and height of the mask in pixels.
    pub mask_size_px: (u32, u32),
    /// The JPEG quality that the client was asked for; 0 for a single picture.
    pub jpeg_quality: u8,
    /// Frames of the session that were in flight when it came, itself included.
    pub in_flight: u32,
    /// Frames that waited for the same model when it began to.
    pub queue_depth: u32,
}

/// One frame.
#[derive(Clone, Debug)]
pub struct FrameRecord {
    /// W3C trace id; never all zero.
    pub trace_id: [u8; 16],
    /// The client's span that it is a part of; all zero when there is none.
    pub parent_id: [u8; 8],
    /// The client asked that it be kept.
    pub is_asked_for: bool,
    /// Number of the session; 0 for a single picture.
    pub session: u64,
    /// The client's counter.
    pub frame_id: u32,
    /// Generation of the configuration under which it came.
    pub generation: u32,
    /// The mode in which it was answered.
    pub mode: Arc<str>,
    /// What served that mode; `None` when it never served.
    pub served_by: Option<Arc<ServedBy>>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was dropped, in a sentence.
    pub message: Box<str>,
    /// When it was received, microseconds since the epoch; the stages count from here.
    pub received_at_micros: u64,
    /// When each stage was.
    pub spans: Spans,
    /// What the client said when it sent it.
    pub client: ClientTimes,
    /// How far the client's clock may be off; `None` when it could not be aligned.
    pub clock_error_micros: Option<u32>,
    /// Whether the client said when it was painted.
    pub is_painted: bool,
    /// Nothing is added to it any more.
    pub is_settled: bool,
    /// Why it is kept, once that is known.
    pub kept: Option<Kept>,
    /// Sizes and counts.
    pub measures: Measures,
}

impl FrameRecord {
    /// When the first of its stages began, microseconds since the epoch.
    pub fn start_micros(&self) -> u64 {
        self.received_at_micros.saturating_add_signed(self.spans.whole().start_micros.into())
    }

    /// From the first begin to the last end.
    pub fn total_micros(&self) -> u32 {
        self.spans.whole().duration_micros
    }
}
