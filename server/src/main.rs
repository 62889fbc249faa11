//! The program `segue`: arguments, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use segue::cli::Arguments;

fn main() -> ExitCode {
    Arguments::parse().run()
}
