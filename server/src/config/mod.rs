//! Profiles: what an operator may tune, where each value comes from, and when a file of theirs changed.
//!
//! Architecture invariant: this module is a leaf, and it hands each other module that module's own section,
//! never the whole profile.

mod access;
mod effective;
mod fault;
mod layers;
mod origins;
mod profile;
mod schema;
mod sources;
mod values;
mod watch;

pub use access::{Line, Pass};
pub use effective::{Change, Effective, Entry, changes, fixed_keys};
pub(crate) use fault::line_of;
pub use fault::{Fault, Faults, Place};
pub use layers::{Layers, Loaded, load};
pub use origins::Origins;
pub use profile::{
    AdaptiveSettings, CaptureSettings, Isolation, KeepReason, LimitSettings, LogFormat, ModeSettings, OtlpProtocol,
    OtlpSettings, Profile, ReloadSettings, ResultFormat, ResultSettings, SecuritySettings, ServerSettings,
    TelemetrySettings, TlsSettings, TraceSettings, Watching,
};
pub use schema::schema;
pub use sources::{Sources, profile_names};
pub use watch::Watch;
