//! `segue worker`: what the server starts for each instance of a plugin. Nobody types it.

use clap::Args;

use super::{CliResult, Failure};
use crate::{plugin_host::run_worker, telemetry::start_worker_log};

/// Arguments of `segue worker`.
#[derive(Debug, Args)]
pub(super) struct WorkerCommand {
    /// Name of the plugin, for those who list processes
    plugin: String,
}

impl WorkerCommand {
    pub(super) fn run(self) -> CliResult {
        start_worker_log();
        run_worker().map_err(|error| Failure::does_not_hold(format!("worker of {}: {error}", self.plugin)))
    }
}
