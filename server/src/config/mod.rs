//! Profiles: what an operator may tune, and where each value comes from.
//!
//! Architecture invariant: this module is a leaf, and it hands each other module that module's own section,
//! never the whole profile.

mod fault;
mod layers;

use std::collections::BTreeMap;

use garde::Validate;
use serde::{Deserialize, Serialize};

pub(crate) use fault::line_of;
pub use fault::{Fault, Faults, Place};
pub use layers::{Layers, Origins, load};

/// A whole profile, every layer merged. `profiles/base.toml` documents each key.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The profile that the last file builds on.
    #[serde(default)]
    #[garde(skip)]
    pub extends: Option<String>,
    /// Where the server listens, and what it starts with.
    #[garde(dive)]
    pub server: ServerSettings,
    /// What clients are asked to send.
    #[garde(dive)]
    pub capture: CaptureSettings,
    /// What clients get back.
    #[garde(dive)]
    pub result: ResultSettings,
    /// The modes that a client can choose, by name.
    #[garde(dive, length(min = 1, max = 255))]
    pub modes: BTreeMap<String, ModeSettings>,
    /// What the server accepts.
    #[garde(dive)]
    pub limits: LimitSettings,
    /// What the server tells about itself.
    #[garde(dive)]
    pub telemetry: TelemetrySettings,
    /// Who may use it.
    #[garde(dive)]
    pub security: SecuritySettings,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// Address and port.
    #[garde(skip)]
    pub listen: std::net::SocketAddr,
    /// The mode that a session starts in.
    #[garde(length(min = 1))]
    pub default_mode: String,
    /// How long a stopping server waits for frames in flight.
    #[garde(range(max = 600_000))]
    pub drain_timeout_millis: u64,
}

/// `[capture]`: sent to every client as its limits.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct CaptureSettings {
    /// JPEG quality.
    #[garde(range(min = 1, max = 100))]
    pub jpeg_quality: u8,
    /// Longer side of a frame.
    #[garde(range(min = 16, max = 4096))]
    pub max_dimension_px: u32,
    /// Frames sent and not yet answered.
    #[garde(range(min = 1, max = 64))]
    pub max_in_flight: u32,
    /// From one frame to the next.
    #[garde(range(max = 60_000))]
    pub min_frame_interval_millis: u32,
}

/// `[result]`
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ResultSettings {
    /// JPEG quality of pictures that the server draws.
    #[garde(range(min = 1, max = 100))]
    pub jpeg_quality: u8,
    /// Widest mask or picture.
    #[garde(range(min = 16, max = 4096))]
    pub max_width_px: u32,
    /// Highest mask or picture.
    #[garde(range(min = 16, max = 4096))]
    pub max_height_px: u32,
}

/// `[modes.NAME]`
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ModeSettings {
    /// Place in menus, the lowest first.
    #[serde(default)]
    #[garde(skip)]
    pub rank: u32,
    /// A model of the catalog.
    #[garde(length(min = 1))]
    pub model: String,
    /// Which of the model's variants; its default one when empty.
    #[serde(default)]
    #[garde(skip)]
    pub variant: String,
    /// How many frames run at once; 0 for one per core.
    #[serde(default)]
    #[garde(range(max = 64))]
    pub instances: u32,
    /// How many threads each of them uses.
    #[serde(default = "one")]
    #[garde(range(min = 1, max = 256))]
    pub threads: u32,
    /// What the backend is told, over the model's own settings.
    #[serde(default)]
    #[garde(skip)]
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// `[limits]`
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// Largest encoded frame of a session.
    #[garde(range(min = 1024, max = 67_108_864))]
    pub max_frame_len_bytes: usize,
    /// Largest picture of `/v1/segment`.
    #[garde(range(min = 1024, max = 268_435_456))]
    pub max_upload_len_bytes: usize,
    /// Longer side of any picture, by its header.
    #[garde(range(min = 16, max = 16_384))]
    pub max_picture_dimension_px: u32,
    /// Width times height of a frame of a session, by its header.
    #[garde(range(min = 256, max = 268_435_456))]
    pub max_frame_pixels: u64,
    /// Width times height of a picture of `/v1/segment`, by its header.
    #[garde(range(min = 256, max = 268_435_456))]
    pub max_upload_pixels: u64,
    /// Sessions at once.
    #[garde(range(min = 1, max = 1_000_000))]
    pub max_sessions: usize,
    /// A frame that waited longer is dropped as expired.
    #[garde(range(min = 1, max = 600_000))]
    pub max_age_millis: u64,
    /// A client that takes nothing for so long is disconnected.
    #[garde(range(min = 100, max = 600_000))]
    pub send_timeout_millis: u64,
}

/// `[telemetry]`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    /// Which log lines are written, as `RUST_LOG` has it.
    #[garde(custom(log_directives))]
    pub log: String,
}

/// `[security]`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct SecuritySettings {
    /// Origins of other pages that may open sessions; "*" lets every page.
    #[garde(skip)]
    pub allowed_origins: Vec<String>,
}

fn log_directives(text: &str, _: &()) -> garde::Result {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_filter) => Ok(()),
        Err(error) => Err(garde::Error::new(format!("no log filter: {error}"))),
    }
}

fn one() -> u32 {
    1
}
