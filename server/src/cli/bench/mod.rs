//! `segue bench`: a load on a running server, and other figures of the running program.

mod crowd;
mod figures;
mod hostile;
mod live;
mod load;
mod reload;
mod swap;
mod verdict;

use clap::{Args, Subcommand};

use super::CliResult;

/// Arguments of `segue bench`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  segue bench                                    one client, ten seconds, a made-up picture\n  \
    segue bench --clients 8 --source me.mp4        eight of them, frames of a video (ffmpeg decodes it)\n  \
    segue bench --mode accurate --seconds 60 --json | jq .latency_millis\n  \
    segue bench --clients 8 --fps 0                as many frames as it can answer\n  \
    segue bench --clients 8 --fps 300 --open-loop  far more than it can answer: is what it answers in time?\n  \
    segue bench --seconds 3600 --idle 200 --slow-readers 2 --hostile 4 --connects 1000   a long day\n\n\
    The clients are what the page is: they keep to the server's limits, and send pictures of the size and quality that it asks for. \
    Ends with 1 when something of the verdict does not hold."
)]
pub(super) struct Bench {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    load: load::Load,
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
            None => self.load.run(),
            Some(Command::Reload(reload)) => reload.run(),
            Some(Command::Swap(swap)) => swap.run(),
        }
    }
}
