//! ONNX Runtime in a Python process of its own, told what to do line by line.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};

const PACKAGES: [&str; 5] =
    ["onnxruntime==1.32.0", "onnx==1.23.2", "numpy==2.4.6", "ai-edge-litert==2.3.0", "flatbuffers==25.12.19"];

/// The process and the files it exchanges with us.
pub(crate) struct Peer {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    plane: PathBuf,
    /// Its name and version.
    pub(crate) version: String,
}

/// Makes the virtual environment under the target folder, unless it is there; returns its Python.
pub(crate) fn prepare() -> Result<PathBuf> {
    let venv = target().join("selfie-bench-venv");
    let python = venv.join("bin/python");
    let imports = Command::new(&python).args(["-c", "import onnxruntime, onnx, ai_edge_litert"]).output();
    if imports.is_ok_and(|output| output.status.success()) {
        return Ok(python);
    }
    println!("Making {} (once)", venv.display());
    check(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    check(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    Ok(python)
}

fn check(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?} did not start"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

fn target() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from)
}

impl Peer {
    /// Starts the process for one network, one input and a number of threads.
    pub(crate) fn start(
        python: &Path,
        network: &Path,
        (width, height): (usize, usize),
        input: &[f32],
        threads: usize,
    ) -> Result<Self> {
        let image = target().join("selfie-bench-input.f32");
        std::fs::write(&image, input.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/ort_peer.py");
        let mut command = Command::new(python);
        command.arg(script).arg(network).args([width.to_string(), height.to_string()]);
        command.arg(image).arg(threads.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the peer did not start")?;
        let commands = child.stdin.take().context("the peer has no input")?;
        let answers = BufReader::new(child.stdout.take().context("the peer has no output")?);
        let plane = target().join("selfie-bench-output.f32");
        let mut peer = Self { child, commands, answers, plane, version: String::new() };
        peer.version = peer.answer()?;
        Ok(peer)
    }

    /// Its output plane.
    pub(crate) fn output(&mut self) -> Result<Vec<f32>> {
        writeln!(self.commands, "check {}", self.plane.display())?;
        self.answer()?;
        let bytes = std::fs::read(&self.plane)?;
        Ok(bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
    }

    /// The milliseconds of each of `passes` forward passes.
    pub(crate) fn run(&mut self, passes: usize) -> Result<Vec<f64>> {
        writeln!(self.commands, "{passes}")?;
        self.answer()?.split_whitespace().map(|ms| ms.parse().context("the peer wrote no number")).collect()
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "the peer ended; its error is above");
        Ok(line.trim().into())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It waits for commands only; there is nothing to lose, and nothing to do if it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
