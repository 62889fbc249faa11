//! The messages of the legacy protocol: JSON texts, pictures in base64.
//!
//! Invariant: what a client sends is borrowed from its text until it is known to be right.

use std::borrow::Cow;

use axum::extract::ws::Utf8Bytes;
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::pipeline::{ClassName, Drawing, View};

/// Reads what any client writes, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Longest timestamp that is echoed: longer ones are none.
const TIMESTAMP_LEN_BYTES: usize = 64;

/// Most classes that a filter may name: each id, and each label.
const MOST_FILTERED: usize = 512;

/// What a client says.
#[derive(Debug)]
pub(super) enum LegacyMessage<'a> {
    /// A picture to segment.
    Frame(LegacyFrame<'a>),
    /// It wants another mode.
    ChangeMode(Cow<'a, str>),
    /// It wants its pictures drawn in another way.
    UpdateViz(VizUpdate),
    /// It asks for times and rates.
    GetStats,
}

/// A picture to segment, as it came. Whatever it lacks, the client waits for an answer.
#[derive(Debug)]
pub(super) struct LegacyFrame<'a> {
    data: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
}

/// Why a text is none of these messages. Each kind has a code of its own on the wire.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub(super) enum LegacyFault {
    #[error("no message of this protocol: {0}")]
    Message(serde_json::Error),
    #[error("a message of type {0:?}; there are frame, change_mode, update_viz and get_stats")]
    UnknownType(String),
    #[error("model_mode must name a mode")]
    Mode,
    #[error("{0}")]
    Settings(String),
}

/// All fields of all messages. Only those of its own type are looked at.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    model_mode: Option<&'a RawValue>,
    #[serde(borrow)]
    settings: Option<&'a RawValue>,
}

/// A string that is borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> LegacyMessage<'a> {
    /// Reads a text.
    pub(super) fn read(text: &'a str) -> Result<Self, LegacyFault> {
        let fields: Fields<'a> = serde_json::from_str(text).map_err(LegacyFault::Message)?;
        match &*fields.kind {
            "frame" => Ok(Self::Frame(LegacyFrame { data: fields.data, timestamp: fields.timestamp })),
            "change_mode" => string(fields.model_mode).map(Self::ChangeMode).ok_or(LegacyFault::Mode),
            "update_viz" => VizUpdate::read(fields.settings).map(Self::UpdateViz),
            "get_stats" => Ok(Self::GetStats),
            other => Err(LegacyFault::UnknownType(other.to_owned())),
        }
    }
}

/// Reads a client's text with all that is in it, as fuzzing does.
#[cfg(fuzzing)]
pub fn read_all(text: &str) {
    let Ok(message) = LegacyMessage::read(text) else { return };
    match message {
        LegacyMessage::Frame(frame) => drop((frame.timestamp(), frame.picture())),
        LegacyMessage::UpdateViz(update) => {
            let mut drawing = Drawing::of(View::default());
            update.apply(&mut drawing);
            assert!((0.0..=1.0).contains(&drawing.opacity), "an opacity of {}", drawing.opacity);
            serde_json::to_string(&VizSettings::from(&drawing)).expect("settings can be written");
        }
        LegacyMessage::ChangeMode(_) | LegacyMessage::GetStats => {}
    }
}

fn string(value: Option<&RawValue>) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(value?.get()).ok().map(|Text(text)| text)
}

impl LegacyFrame<'_> {
    /// What is to be echoed.
    pub(super) fn timestamp(&self) -> Option<Box<RawValue>> {
        self.timestamp.filter(|timestamp| timestamp.get().len() <= TIMESTAMP_LEN_BYTES).map(ToOwned::to_owned)
    }

    /// The picture's bytes, or why they are not to be had.
    pub(super) fn picture(&self) -> Result<Vec<u8>, String> {
        if self.timestamp.is_some_and(|timestamp| timestamp.get().len() > TIMESTAMP_LEN_BYTES) {
            return Err(format!("its timestamp is longer than {TIMESTAMP_LEN_BYTES} bytes"));
        }
        let data = string(self.data).ok_or("data must be a string: a data URL, or base64")?;
        let encoded = match data.trim_start().strip_prefix("data:") {
            None => &*data,
            Some(url) => match url.split_once(',') {
                Some((kind, encoded)) if kind.ends_with(";base64") => encoded,
                _ => return Err("its data URL is not in base64".into()),
            },
        };
        // Hardly anybody breaks lines: whether there are spaces is known only when something is wrong.
        let decoded = BASE64.decode(encoded).or_else(|_wrong| {
            BASE64.decode(encoded.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<_>>())
        });
        decoded.map_err(|error| format!("its data is no base64: {error}"))
    }
}

/// What a client wants to have changed; the rest keeps its value.
#[derive(Debug, Deserialize)]
pub(super) struct VizUpdate {
    overlay_opacity: Option<f64>,
    visualization_mode: Option<View>,
    /// `null` lets every class be drawn, so it is told from a field that is not there.
    #[serde(default, deserialize_with = "present")]
    class_filter: Option<Option<Vec<ClassName>>>,
}

fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl VizUpdate {
    fn read(settings: Option<&RawValue>) -> Result<Self, LegacyFault> {
        let settings = settings.ok_or_else(|| LegacyFault::Settings("settings are missing".into()))?;
        let update: Self = parse(settings).map_err(|error| LegacyFault::Settings(format!("settings: {error}")))?;
        if let Some(opacity) = update.overlay_opacity.filter(|opacity| !(0.0..=1.0).contains(opacity)) {
            return Err(LegacyFault::Settings(format!("overlay_opacity is {opacity}, and must be 0 to 1")));
        }
        match &update.class_filter {
            Some(Some(names)) if names.len() > MOST_FILTERED => Err(LegacyFault::Settings(format!(
                "class_filter names {} classes, and at most {MOST_FILTERED} are read",
                names.len()
            ))),
            _ => Ok(update),
        }
    }

    /// Changes `drawing`.
    pub(super) fn apply(self, drawing: &mut Drawing) {
        drawing.opacity = self.overlay_opacity.unwrap_or(drawing.opacity);
        drawing.view = self.visualization_mode.unwrap_or(drawing.view);
        if let Some(classes) = self.class_filter {
            drawing.classes = classes;
        }
    }
}

fn parse<T: DeserializeOwned>(value: &RawValue) -> serde_json::Result<T> {
    serde_json::from_str(value.get())
}

/// What the server says, pictures aside.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum LegacyReply<'a> {
    /// First of all.
    Connected { status: &'a str, available_models: Vec<&'a str>, class_labels: &'a [String], current_model: &'a str },
    /// The session's mode is another, or what is behind it is.
    ModeChanged { model_mode: &'a str, class_labels: &'a [String] },
    /// The settings in force.
    VizUpdated { settings: VizSettings<'a> },
    /// Times and rates of the last frames.
    Stats { avg_inference_ms: f64, min_inference_ms: f64, max_inference_ms: f64, avg_fps: f64 },
    /// Something went wrong.
    Error { code: &'a str, message: &'a str, recoverable: bool },
}

/// How pictures are drawn.
#[derive(Debug, Serialize)]
pub(super) struct VizSettings<'a> {
    overlay_opacity: f64,
    visualization_mode: View,
    class_filter: Option<&'a [ClassName]>,
}

impl<'a> From<&'a Drawing> for VizSettings<'a> {
    fn from(drawing: &'a Drawing) -> Self {
        Self {
            overlay_opacity: drawing.opacity,
            visualization_mode: drawing.view,
            class_filter: drawing.classes.as_deref(),
        }
    }
}

impl LegacyReply<'_> {
    pub(super) fn to_json(&self) -> String {
        // Nothing in these types can fail to serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What is said beside a picture.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Metadata<'a> {
    pub(super) inference_time_ms: f64,
    pub(super) total_time_ms: f64,
    pub(super) model_mode: &'a str,
    pub(super) fps: f64,
    pub(super) avg_inference_ms: f64,
    pub(super) detected_classes: Vec<&'a str>,
}

/// A `segmentation`, up to its timestamp.
const START: &str = r#"{"type":"segmentation","timestamp":"#;

/// A `segmentation`: made once, and sent again under another timestamp where a frame has no picture of its own.
#[derive(Clone, Debug)]
pub(super) struct Segmentation {
    text: Utf8Bytes,
    /// Where all that follows the timestamp begins.
    rest_at: usize,
}

impl Segmentation {
    /// Encodes `jpeg` straight into the message.
    pub(super) fn new(timestamp: Option<&RawValue>, jpeg: &[u8], metadata: &Metadata<'_>) -> Self {
        let metadata = serde_json::to_string(metadata).unwrap_or_default();
        let timestamp = timestamp.map_or("null", RawValue::get);
        let mut text = String::with_capacity(jpeg.len() / 3 * 4 + metadata.len() + 256);
        text.push_str(START);
        text.push_str(timestamp);
        let rest_at = text.len();
        text.push_str(r#","data":""#);
        BASE64.encode_string(jpeg, &mut text);
        text.push_str(r#"","metadata":"#);
        text.push_str(&metadata);
        text.push('}');
        Self { text: text.into(), rest_at }
    }

    /// The same for another frame.
    pub(super) fn again(&self, timestamp: Option<&RawValue>) -> Utf8Bytes {
        [START, timestamp.map_or("null", RawValue::get), &self.text[self.rest_at..]].concat().into()
    }

    /// The message.
    pub(super) fn text(&self) -> Utf8Bytes {
        self.text.clone()
    }
}
