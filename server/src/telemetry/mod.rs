//! What the server tells about itself: the log, the trace of each frame, the metrics.
//!
//! Architecture invariant: a leaf; and nothing on a frame's path allocates here.

mod metrics;
mod trace;

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

pub use metrics::{Metrics, Outcome};
pub use trace::{FrameTrace, Stage, epoch_micros, timed};

/// Starts the log on stderr. `directives` is what `telemetry.log` says; `RUST_LOG` wins over it.
pub fn start_log(directives: &str) -> Result<(), String> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(from_environment) => EnvFilter::try_new(from_environment),
        Err(_unset) => EnvFilter::try_new(directives),
    };
    let filter = filter.map_err(|error| format!("telemetry.log: {error}"))?;
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    // A second start, in a test, changes nothing.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Ok(())
}
