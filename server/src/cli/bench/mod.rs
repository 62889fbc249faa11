//! `segue bench`: figures of the running program, each from a command.

mod live;
mod reload;

use clap::{Args, Subcommand};

use super::CliResult;

/// Arguments of `segue bench`.
#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// From the edit of a profile to the new limits at every client, while frames flow
    Reload(reload::Reload),
}

impl Bench {
    pub(super) fn run(self) -> CliResult {
        match self.command {
            Command::Reload(reload) => reload.run(),
        }
    }
}
