//! Another engine in a Python process of its own, told what to do line by line.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

/// The engines of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Ort,
    Openvino,
    /// PyTorch, one operation after the other
    Torch,
    /// PyTorch, by `torch.compile`
    TorchCompiled,
}

impl Engine {
    /// What `peer.py` calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ort => "ort",
            Self::Openvino => "openvino",
            Self::Torch => "torch",
            Self::TorchCompiled => "torch-compiled",
        }
    }

    /// Whether it runs the network's own code, and no graph of it.
    pub(crate) const fn is_torch(self) -> bool {
        matches!(self, Self::Torch | Self::TorchCompiled)
    }
}

/// The process and the files it exchanges with us.
pub(crate) struct Peer {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    output: PathBuf,
    pub(crate) engine: Engine,
    /// Its name and version.
    pub(crate) version: String,
}

impl Peer {
    /// Starts `command`, which is `peer.py`; its scores come through the file `output`.
    pub(crate) fn start(engine: Engine, mut command: Command, output: PathBuf) -> Result<Self> {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("the peer did not start")?;
        let commands = child.stdin.take().context("the peer has no input")?;
        let answers = BufReader::new(child.stdout.take().context("the peer has no output")?);
        let mut peer = Self { child, commands, answers, output, engine, version: String::new() };
        peer.version = peer.answer()?;
        Ok(peer)
    }

    /// Its number.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// What a pass gives: classes x height x width.
    pub(crate) fn scores(&mut self) -> Result<Vec<f32>> {
        writeln!(self.commands, "check {}", self.output.display())?;
        self.answer()?;
        let bytes = std::fs::read(&self.output)?;
        Ok(bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
    }

    /// The milliseconds of each of `passes` forward passes.
    pub(crate) fn run(&mut self, passes: usize) -> Result<Vec<f64>> {
        writeln!(self.commands, "{passes}")?;
        self.answer()?.split_whitespace().map(|ms| ms.parse().context("the peer wrote no number")).collect()
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        let name = self.engine.name();
        ensure!(self.answers.read_line(&mut line)? > 0, "{name} ended; its error is above");
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
