//! The command line: one file per subcommand.
//!
//! Architecture invariant: a subcommand says on stdout what was asked for, and everything else on stderr.

mod bench;
mod check;
mod clip;
mod compare;
mod eval;
mod local;
mod models;
mod places;
mod plugins;
mod profile;
mod progress;
mod remote;
mod segment;
mod serve;
mod supervisor;
mod trace;
mod verify;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What was asked for does not hold.
const DOES_NOT_HOLD: u8 = 1;
/// Wrong usage or configuration; clap ends with it, too.
const WRONG_USAGE: u8 = 2;

/// Segue, a real-time segmentation server.
#[derive(Debug, Parser)]
#[command(
    version,
    about = "A real-time segmentation server: frames in over a WebSocket, masks out in time to be drawn over live video",
    after_help = "Start with `segue serve`, open the address that it prints, and allow the camera.\n\
        Exit codes: 0 done, 1 what was asked for does not hold, 2 wrong usage or configuration."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server: page, WebSocket and HTTP API on one address
    Serve(serve::Serve),
    /// Segment one picture, without a server
    Segment(segment::Segment),
    /// List the catalog's models, or fetch their weights
    Models(models::Models),
    /// List the installed plugins, look at one file, or check that it keeps its contract
    Plugins(plugins::Plugins),
    /// Judge a mode against ground truth: IoU of each class
    Eval(eval::Eval),
    /// Compare two modes on the same frames: agreement, and the time that each takes
    Compare(compare::Compare),
    /// Put a load on a running server, and judge how it bears it
    Bench(bench::Bench),
    /// Show where frames' time went, from a running server
    Trace(trace::Trace),
    /// Show, compare and switch profiles
    Profile(profile::ProfileCommand),
    /// Run one instance of a plugin for the server that started this process
    #[command(hide = true)]
    Worker(worker::WorkerCommand),
    /// Validate profile, plugins and models without starting anything
    Check(check::Check),
}

impl Arguments {
    /// Does what they say.
    pub fn run(self) -> ExitCode {
        if !matches!(self.command, Command::Serve(_) | Command::Worker(_)) {
            end_with_the_reader();
        }
        let result = match self.command {
            Command::Serve(serve) => serve.run(),
            Command::Segment(segment) => segment.run(),
            Command::Models(models) => models.run(),
            Command::Plugins(plugins) => plugins.run(),
            Command::Eval(eval) => eval.run(),
            Command::Compare(compare) => compare.run(),
            Command::Bench(bench) => bench.run(),
            Command::Trace(trace) => trace.run(),
            Command::Profile(profile) => profile.run(),
            Command::Worker(worker) => worker.run(),
            Command::Check(check) => check.run(),
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                eprintln!("segue: {}", failure.message);
                ExitCode::from(failure.exit_code)
            }
        }
    }
}

/// Whoever reads what is printed may have had enough, as `head` has: that is no fault, and `println!` panics of it.
fn end_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload().downcast_ref::<String>();
        if said.is_some_and(|said| said.starts_with("failed printing to stdout")) {
            std::process::exit(0);
        }
        usual(panic);
    }));
}

/// Why the program does not end with 0.
struct Failure {
    exit_code: u8,
    message: String,
}

impl Failure {
    fn does_not_hold(message: impl ToString) -> Self {
        Self { exit_code: DOES_NOT_HOLD, message: message.to_string() }
    }

    fn wrong_usage(message: impl ToString) -> Self {
        Self { exit_code: WRONG_USAGE, message: message.to_string() }
    }
}

type CliResult = Result<(), Failure>;
