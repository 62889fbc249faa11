//! The text messages of `segue.v2`: JSON with a `type`.

use serde::{Deserialize, Serialize};

use crate::{
    config::{AdaptiveSettings, CaptureSettings},
    model::{Mode, ModeState},
    pipeline::View,
    telemetry::PaintTimes,
};

/// What a client says.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// It wants another mode.
    Mode {
        /// The mode's name.
        mode: String,
    },
    /// It wants its results in another form.
    View {
        /// The confidence plane, too.
        #[serde(default)]
        soft_edge: bool,
        /// A picture that the server draws, in place of a mask.
        #[serde(default)]
        picture: Option<View>,
    },
    /// It compares clocks.
    Clock {
        /// Its own clock, microseconds; echoed as it is.
        sent: serde_json::Number,
    },
    /// It painted a result.
    Paint(Paint),
    /// It asks for its session's counts.
    Stats,
}

/// When a client did what with a frame and its result, in microseconds of its clock.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub struct Paint {
    /// Which frame.
    pub frame_id: u32,
    /// When it began to encode the frame.
    encode_started_at: Option<f64>,
    /// When the result came.
    received_at: f64,
    /// When it began to decode the result.
    decode_started_at: Option<f64>,
    /// When the mask was decoded.
    decoded_at: f64,
    /// When it was on the screen.
    painted_at: f64,
}

impl Paint {
    /// What the trace wants of it.
    pub fn times(&self) -> PaintTimes {
        PaintTimes {
            encode_started_at: self.encode_started_at.map(|at| at as u64),
            received_at: self.received_at as u64,
            decode_started_at: self.decode_started_at.map(|at| at as u64),
            decoded_at: self.decoded_at as u64,
            painted_at: self.painted_at as u64,
        }
    }
}

/// What the server says.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage<'a> {
    /// First of all.
    Hello {
        /// The session's id.
        session: &'a str,
        /// The server's version.
        version: &'a str,
        /// The configuration in force.
        generation: u32,
        /// Name of the profile in force.
        profile: &'a str,
        /// The session's mode.
        mode: &'a str,
        /// All modes.
        modes: Vec<ModeEntry>,
        /// What the client is to keep to.
        limits: Limits,
    },
    /// What clients are to keep to changed, or the profile that says it.
    Limits {
        /// The configuration in force.
        generation: u32,
        /// Name of the profile in force.
        profile: &'a str,
        /// What the client is to keep to from now on.
        #[serde(flatten)]
        limits: Limits,
    },
    /// The answer to a change of mode.
    Mode {
        /// The mode that was asked for.
        mode: &'a str,
        /// Its number.
        index: u8,
        /// What it is doing.
        state: &'a str,
        /// Why, when it is not ready.
        message: String,
    },
    /// The list of modes, or the state of one, changed.
    Modes {
        /// All modes.
        modes: Vec<ModeEntry>,
    },
    /// A frame has no result.
    Dropped {
        /// Which one.
        frame_id: u32,
        /// Why, in a word.
        reason: &'a str,
        /// Why, in a sentence.
        message: String,
    },
    /// The answer to a comparison of clocks, microseconds.
    Clock {
        /// As the client sent it.
        sent: serde_json::Number,
        /// When it came.
        received: u64,
        /// When this was written.
        replied: u64,
    },
    /// The session's counts.
    Stats {
        /// Frames that came.
        received: u64,
        /// Frames that were answered by a result.
        answered: u64,
        /// Frames that were answered by a `dropped`.
        dropped: u64,
    },
    /// A message that could not be understood or obeyed.
    Error {
        /// Which kind of error.
        code: &'a str,
        /// What is wrong, and what would be right.
        message: String,
        /// Whether the session goes on.
        recoverable: bool,
    },
}

/// What a client is to keep to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limits {
    jpeg_quality: u8,
    max_dimension_px: u32,
    max_in_flight: u32,
    min_frame_interval_millis: u32,
    /// How far the client may go below quality and size by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    adaptive: Option<AdaptiveBounds>,
}

/// How far a client may go by itself, and what it aims at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct AdaptiveBounds {
    min_jpeg_quality: u8,
    min_dimension_px: u32,
    target_latency_millis: u32,
}

impl From<CaptureSettings> for Limits {
    fn from(capture: CaptureSettings) -> Self {
        let AdaptiveSettings { enabled, min_jpeg_quality, min_dimension_px, target_latency_millis } = capture.adaptive;
        let adaptive = AdaptiveBounds { min_jpeg_quality, min_dimension_px, target_latency_millis };
        Self {
            jpeg_quality: capture.jpeg_quality,
            max_dimension_px: capture.max_dimension_px,
            max_in_flight: capture.max_in_flight,
            min_frame_interval_millis: capture.min_frame_interval_millis,
            adaptive: enabled.then_some(adaptive),
        }
    }
}

impl ServerMessage<'_> {
    /// The message as text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| {
            // Nothing in these types can fail to serialise; if it ever does, the client is told.
            format!(r#"{{"type":"error","code":"internal","message":"{error}","recoverable":true}}"#)
        })
    }
}

/// A mode, as `hello` and `/v1/modes` list it.
#[derive(Clone, Debug, Serialize)]
pub struct ModeEntry {
    /// Its number in results.
    pub index: u8,
    /// What clients call it.
    pub name: String,
    /// loading, ready or unavailable.
    pub state: &'static str,
    /// The plugin behind it.
    pub backend: String,
    /// The model behind it, and its variant.
    pub model: String,
    /// What the model is, in a few words.
    pub title: String,
    /// Labels by class id; empty until it is ready.
    pub labels: Vec<String>,
    /// Colours by class id.
    pub palette: Vec<[u8; 3]>,
    /// The plugin's build, by its SHA-256; empty until it is ready.
    pub build: String,
    /// Why it is not ready.
    pub message: String,
    /// The command that would mend that; empty when there is none.
    pub command: String,
}

impl From<&Mode> for ModeEntry {
    fn from(mode: &Mode) -> Self {
        let state = mode.state();
        // A model that was let go says the same when it is loaded again.
        let told = mode.told().filter(|_| !matches!(state, ModeState::Unavailable(_)));
        let (labels, palette, build) =
            told.map(|(info, build)| (info.labels.clone(), info.palette.clone(), build.clone())).unwrap_or_default();
        Self {
            index: mode.index,
            name: mode.name.to_string(),
            state: state.name(),
            backend: mode.backend.clone(),
            model: mode.model.clone(),
            title: mode.title.clone(),
            labels,
            palette,
            build,
            message: state.message().to_owned(),
            command: state.command().to_owned(),
        }
    }
}
