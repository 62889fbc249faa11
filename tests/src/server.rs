//! A server of its own for each scenario, on a free port.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// How long anything here may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test: `SEGUE_BIN`, or the debug build.
pub fn program() -> PathBuf {
    match std::env::var_os("SEGUE_BIN") {
        Some(program) => program.into(),
        None => root().join("target/debug/segue"),
    }
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A call of the program, from the root of the repository.
pub fn segue(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    // They would win over what a profile says of the log, or speak where it is silent.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OTEL_")) {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(root()).stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

/// A running server; killed when it is dropped.
pub struct Server {
    child: Child,
    address: String,
    /// What it prints after its first line.
    log: Receiver<String>,
}

impl Server {
    /// Starts `segue serve` with `arguments`, and waits for the line with its address.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        Self::start_command(segue(&["serve", "--listen", "127.0.0.1:0"]).args(arguments))
    }

    /// Starts any command that prints such a line.
    pub fn start_command(command: &mut Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("segue can't be run")?;
        let (lines, stdout) = sync_channel(64);
        forward(child.stdout.take().context("no stdout")?, lines);
        let (lines, log) = sync_channel(100_000);
        forward(child.stderr.take().context("no stderr")?, lines);
        match stdout.recv_timeout(PATIENCE) {
            Ok(line) => {
                let rest = line.split("://").nth(1).with_context(|| format!("no address in {line:?}"))?;
                let address = rest.split([',', ' ']).next().unwrap_or(rest).to_owned();
                Ok(Self { child, address, log })
            }
            Err(_closed) => bail!(
                "segue ended with {} before it was ready: {:?}",
                child.wait()?,
                log.try_iter().collect::<Vec<_>>()
            ),
        }
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// An address of its HTTP side.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The body at `path`, and the status.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let mut answer = agent().get(self.url(path)).call()?;
        Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
    }

    /// All metrics, as `accept` wants them, and their media type.
    pub fn metrics(&self, accept: &str) -> Result<(String, String)> {
        let mut answer = agent().get(self.url("/metrics")).header("accept", accept).call()?;
        let kind = answer.headers()["content-type"].to_str()?.to_owned();
        Ok((answer.body_mut().read_to_string()?, kind))
    }

    /// The body at `path` for whoever holds `token`, and the status.
    pub fn get_as(&self, token: &str, path: &str) -> Result<(u16, String)> {
        let request = agent().get(self.url(path)).header("authorization", format!("Bearer {token}"));
        let mut answer = request.call()?;
        Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
    }

    /// What is answered to `body`, JSON, from whoever holds `token`, and the status.
    pub fn post_as(&self, token: &str, path: &str, body: &str) -> Result<(u16, String)> {
        let request = agent().post(self.url(path)).header("authorization", format!("Bearer {token}"));
        let mut answer = request.header("content-type", "application/json").send(body)?;
        Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
    }

    /// What became of its attempts to reload.
    pub fn reloads(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.get("/v1/reloads")?.1)?)
    }

    /// The metric `name`, labels and all.
    pub fn metric(&self, name: &str) -> Result<u64> {
        let text = self.get("/metrics")?.1;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.with_context(|| format!("no {name} in\n{text}"))?.parse()?)
    }

    /// Waits until the configuration `generation` is in force, and its receipt is written.
    pub fn applied(&self, generation: u32) -> Result<()> {
        self.log_until(&format!("Configuration applied generation={generation} ")).map(drop)
    }

    /// The lines of its log until one contains `text`.
    pub fn log_until(&self, text: &str) -> Result<String> {
        let mut seen = Vec::new();
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return Ok(line),
                Ok(line) => seen.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    bail!("no {text:?} in the log: {}", seen.join("\n"))
                }
            }
        }
    }

    /// Whether a line that its log has by now contains `text`; the lines are passed over.
    pub fn log_has(&self, text: &str) -> bool {
        self.log.try_iter().any(|line| line.contains(text))
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.id().to_string()).status()?;
        if status.success() { Ok(()) } else { bail!("kill ended with {status}") }
    }

    /// Waits until it has ended.
    pub fn wait(mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

fn forward(stream: impl std::io::Read + Send + 'static, lines: std::sync::mpsc::SyncSender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            // Read on even when nobody listens, or the server would block on a full pipe.
            let _ = lines.try_send(line);
        }
    });
}
