//! What the server tells about itself: the log, the trace of each frame, the metrics.
//!
//! Architecture invariant: a leaf; and nothing on a frame's path allocates here.

mod metrics;
mod trace;

use std::{io::IsTerminal, sync::OnceLock};

use tracing_subscriber::{EnvFilter, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt};

pub use metrics::{Metrics, Outcome};
pub use trace::{FrameTrace, Stage, epoch_micros, timed};

/// The filter of the log that was started.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts the log on stderr. `directives` is what `telemetry.log` says; `RUST_LOG` wins over it.
pub fn start_log(directives: &str) -> Result<(), String> {
    let (filter, handle) = reload::Layer::new(filter(directives)?);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    // A second start, in a test, changes nothing.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = FILTER.set(handle);
    }
    Ok(())
}

/// Starts the log of a worker process: JSON on stderr, which the server reads and hands to its own log.
pub fn start_worker_log() {
    let directives = std::env::var("SEGUE_WORKER_LOG").unwrap_or_default();
    let lines = fmt::layer().json().without_time().with_writer(std::io::stderr);
    let filter = EnvFilter::try_new(directives).unwrap_or_default();
    // There is none yet in this process.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}

/// Changes which lines the log has.
pub fn change_log(directives: &str) -> Result<(), String> {
    let Some(handle) = FILTER.get() else { return Ok(()) };
    if std::env::var_os("RUST_LOG").is_some() {
        tracing::warn!("RUST_LOG is set and wins over telemetry.log");
    }
    handle.reload(filter(directives)?).map_err(|error| error.to_string())
}

fn filter(directives: &str) -> Result<EnvFilter, String> {
    let from_environment = std::env::var("RUST_LOG");
    let directives = from_environment.as_deref().unwrap_or(directives);
    EnvFilter::builder().with_regex(false).parse(directives).map_err(|error| format!("telemetry.log: {error}"))
}
