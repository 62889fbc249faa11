//! `segue bench`: figures of the running program, each from a command.

mod live;
mod reload;
mod swap;

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
    /// From a new build of a plugin to its first results, while frames flow: is one lost, or late?
    Swap(swap::Swap),
}

impl Bench {
    pub(super) fn run(self) -> CliResult {
        match self.command {
            Command::Reload(reload) => reload.run(),
            Command::Swap(swap) => swap.run(),
        }
    }
}
