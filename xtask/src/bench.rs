//! `cargo xtask bench`: figures of release builds, each beside a peer or a floor of the same run.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{
    build::{Profile, build},
    command::{output, root, run, tool},
    install::model_python,
};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// Each network beside ONNX Runtime and OpenVINO
    Networks,
    /// The frame path beside its floor, and eight clients that share it
    Frames,
    /// Ten times too many frames, a greedy client, idle ones, those that come and go, a server that is killed
    Overload,
    /// Encoding masks: their runs, and deflate by several libraries
    Masks,
    /// A call into a worker process beside one in the server's own, and into a model in Python beside calling it there
    Isolation,
    /// The mode beside one whose backend crashes, hangs and lies, beside a calm one
    Containment,
    /// New builds of a plugin under load: frames, gaps and memory
    Swap,
    /// What it costs a frame to be recorded, counted and exported
    Telemetry,
    /// From the edit of a profile to the limits at every client
    Reload,
}

/// Measures the `subjects`, or all when none is named; keeps the figures of each in the folder `json`. `Networks` is told
/// the `options`.
pub(crate) fn bench(subjects: &[Subject], json: Option<&Path>, options: &[OsString]) -> Result<()> {
    anyhow::ensure!(options.is_empty() || subjects == [Subject::Networks], "only `networks` alone takes options");
    let program = build(Profile::Release)?;
    run(tool(&program).args(["models", "pull", "selfie"]))?;
    if let Some(folder) = json {
        fs::create_dir_all(root().join(folder)).with_context(|| format!("can't make {}", folder.display()))?;
    }
    let chosen = Subject::value_variants().iter().filter(|subject| subjects.is_empty() || subjects.contains(subject));
    let mut failed = Vec::new();
    for subject in chosen {
        let name = subject.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        println!("\n== {name} ==");
        let file = json.map(|folder| root().join(folder).join(format!("{name}.json")));
        // One that misses its mark keeps none of the others from being measured.
        if let Err(error) = subject.measure(&program, file, options) {
            eprintln!("{error:#}");
            failed.push(name);
        }
    }
    anyhow::ensure!(failed.is_empty(), "missed their marks: {}", failed.join(", "));
    Ok(())
}

impl Subject {
    fn measure(self, program: &Path, file: Option<PathBuf>, options: &[OsString]) -> Result<()> {
        let mut command = match self {
            Self::Networks => {
                let mut command = cargo_bench("segue-parity", "networks");
                command.args(options);
                if let Some(file) = &file {
                    command.arg("--json").arg(file);
                }
                return run(&mut command);
            }
            Self::Isolation => {
                build_release("segue-misbehaving")?;
                let mut command = cargo_bench("segue", "isolation");
                if let Some(python) = model_python() {
                    command.env("SEGUE_MODEL_PYTHON", python);
                }
                command
            }
            Self::Telemetry => cargo_bench("segue", "telemetry"),
            Self::Masks => cargo_bench("segue-tests", "masks"),
            Self::Containment => scenario_bench("containment", "segue-misbehaving", program)?,
            Self::Frames => scenario_bench("frames", "segue-null", program)?,
            Self::Overload => {
                build_release("segue-null")?;
                scenario_bench("overload", "segue-misbehaving", program)?
            }
            Self::Swap | Self::Reload => {
                let mut command = tool(program);
                command.args(["bench", if self == Self::Swap { "swap" } else { "reload" }]);
                command
            }
        };
        match file {
            None => run(&mut command),
            Some(file) => {
                let figures = output(command.arg("--json"))?;
                print!("{figures}");
                Ok(fs::write(file, figures)?)
            }
        }
    }
}

fn cargo_bench(package: &str, bench: &str) -> Command {
    let mut command = tool("cargo");
    command.args(["bench", "--quiet", "--package", package, "--bench", bench, "--"]);
    command
}

/// One that runs the `program` with a `plugin` of the tests.
fn scenario_bench(bench: &str, plugin: &str, program: &Path) -> Result<Command> {
    build_release(plugin)?;
    let mut command = cargo_bench("segue-tests", bench);
    command.env("SEGUE_BIN", program);
    Ok(command)
}

fn build_release(package: &str) -> Result<()> {
    run(tool("cargo").args(["build", "--quiet", "--release", "--package", package]))
}
