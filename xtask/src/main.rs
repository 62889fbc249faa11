//! Segue's own commands: `cargo xtask serve`, `test`, `new-backend`, `header`, `fuzz`, `bench`, `dist`.

mod bench;
mod build;
mod command;
mod dist;
mod fuzz;
mod header;
mod install;
mod licences;
mod new_backend;
mod tests;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    bench::{Subject, bench},
    build::{Profile, build},
    command::{root, run, tool},
    fuzz::{Shown, fuzz, reproduce},
    header::write_header,
    new_backend::new_backend,
};

/// Build, serve, test, fuzz and measure Segue.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build server and plugins, fetch the default model, and start the server
    Serve {
        /// Arguments of `segue serve`, as in `cargo xtask serve --listen 0.0.0.0:8080`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build server and plugins as `serve` does, and say where they are
    Build,
    /// Make a crate for a backend of your own, plugins/NAME, and models/NAME.toml
    NewBackend {
        /// What to call it: 1 to 31 of a-z, 0-9 and `-`
        name: String,
        /// Make it in another copy of the repository
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
    },
    /// Write the plugin ABI's header for C and C++, plugins/abi/include/segue.h
    Header,
    /// Make what an operator installs: server, plugins, default weights, profiles and units, in target/dist
    Dist {
        /// No archive: lay it all into this folder, as a container's build does
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Install what the tests need, and run every test
    Test {
        /// The second tier, too: what takes minutes or hundreds of MB
        #[arg(long)]
        all: bool,
        /// Only these steps, of either tier (see the headings of a run); a tier's all when none is named
        steps: Vec<String>,
    },
    /// Look for inputs that break what reads them, guided by coverage. Needs a C++ compiler
    Fuzz {
        /// Which targets; all of them when none is named
        #[arg(value_name = "TARGET")]
        targets: Vec<String>,
        /// How long to fuzz each target, in seconds
        #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// Run only this input, such as one that found a fault
        #[arg(long, value_name = "FILE", conflicts_with = "seconds")]
        input: Option<PathBuf>,
    },
    /// Measure release builds, each beside a peer or a floor of the same run
    Bench {
        /// What to measure; all of it when nothing is named
        #[arg(value_enum)]
        subjects: Vec<Subject>,
        /// Keep the figures in this folder, one JSON file each
        #[arg(long, value_name = "DIR")]
        json: Option<PathBuf>,
        /// What `networks` is told, such as `-- --network segformer --threads 2`; `-- --help` lists it
        #[arg(last = true, value_name = "OPTION")]
        options: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    match run_command(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_command(command: Command) -> Result<()> {
    match command {
        Command::Serve { arguments } => {
            let program = build(Profile::Release)?;
            run(tool(&program).arg("serve").args(arguments))
        }
        Command::Build => {
            println!("{}", build(Profile::Release)?.display());
            Ok(())
        }
        Command::NewBackend { name, root: other } => {
            println!("{}", new_backend(&other.unwrap_or_else(root), &name)?);
            Ok(())
        }
        Command::Header => {
            println!("{}", write_header()?);
            Ok(())
        }
        Command::Dist { folder: Some(folder) } => dist::lay_out(&folder),
        Command::Dist { folder: None } => {
            let archive = dist::archive()?;
            let len_bytes = archive.metadata()?.len();
            println!("{} ({:.1} MB; its SHA-256 is in {0}.sha256)", archive.display(), len_bytes as f64 / 1e6);
            Ok(())
        }
        Command::Test { all, steps } => tests::run_steps(all, &steps),
        Command::Fuzz { targets, input: Some(input), .. } => reproduce(&targets, &input),
        Command::Fuzz { targets, seconds, input: None } => fuzz(&targets, seconds, Shown::Progress),
        Command::Bench { subjects, json, options } => bench(&subjects, json.as_deref(), &options),
    }
}
