//! `segue trace capture`: what a running server goes through, for others to look at later.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    super::{CliResult, Failure, progress, remote::RemoteArguments},
    capsule::{self, Capsule},
};

/// The flight recorder is emptied into the capsule that often: it holds at least some seconds.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Arguments of `segue trace capture`.
#[derive(Debug, Args)]
pub(super) struct Capture {
    /// How long
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=120))]
    seconds: u32,
    /// The file [default: segue-TIME.segue-capsule]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Save the frames' pictures, too: what people's cameras see. Needs the admin token
    #[arg(long)]
    frames: bool,
    #[command(flatten)]
    remote: RemoteArguments,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Capture {
    pub(super) fn run(&self) -> CliResult {
        // A server that is not there, or a token that is wrong, is told before the wait.
        let first = self.remote.get("/v1/traces?limit=1")?;
        let start_micros = first["now_micros"].as_u64().unwrap_or(0);
        let (traces, frames) = thread::scope(|scope| {
            let frames = self
                .frames
                .then(|| scope.spawn(|| self.remote.post("/v1/admin/capture", &json!({ "seconds": self.seconds }))));
            let traces =
                self.collect(start_micros, || frames.as_ref().is_some_and(thread::ScopedJoinHandle::is_finished));
            let frames =
                frames.map(|frames| frames.join().unwrap_or_else(|_| Err(Failure::does_not_hold("it panicked"))));
            (traces, frames)
        });
        let frames = frames.transpose()?;
        let (profile, modes) = (self.remote.get("/v1/profile")?, self.remote.get("/v1/modes")?);
        let reloads = self.remote.get("/v1/reloads")?;
        let left_out = frames.as_ref().and_then(|frames| frames["left_out"].as_u64()).unwrap_or(0);
        let pictures = frames.map(|mut frames| frames["frames"].take());
        let capsule = Capsule::new(self.seconds, capsule::parts(profile, modes, reloads, traces?, pictures));
        let path = self.output.clone().unwrap_or_else(|| {
            let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
            format!("segue-{now}.segue-capsule").into()
        });
        let len_bytes = capsule.write(&path)?;
        let file = path.display();
        if self.json {
            let traces = super::traces(&capsule.document["traces"]).len();
            println!(
                "{:#}",
                json!({ "file": file.to_string(), "len_bytes": len_bytes, "traces": traces, "left_out": left_out })
            );
            return Ok(());
        }
        println!("{}\n", capsule.summary());
        if left_out > 0 {
            println!("{left_out} pictures were too many for the server's memory, and are left out.");
        }
        println!(
            "{file} has {:.1} MB: `segue trace open {file}` reads it, and so does the page /traces.",
            len_bytes as f64 / 1e6
        );
        Ok(())
    }

    /// What the flight recorder holds, looked at again and again until time is up, or there is no point in it.
    fn collect(&self, start_micros: u64, is_over: impl Fn() -> bool) -> Result<Value, Failure> {
        let bar = progress::bar(self.seconds as usize, self.json);
        let end = Instant::now() + Duration::from_secs(self.seconds.into());
        let mut all: BTreeMap<(u64, u64, String), Value> = BTreeMap::new();
        loop {
            let is_last = Instant::now() >= end || is_over();
            let since = format!("/v1/traces?limit=10000&since={start_micros}");
            let mut document = self.remote.get(&since)?;
            for trace in document["traces"].as_array_mut().into_iter().flatten() {
                let number = |field: &str| trace[field].as_u64().unwrap_or(0);
                // A trace may grow while it waits for its paint: the later one counts.
                let key = (number("session"), number("frame_id"), trace["trace_id"].to_string());
                all.insert(key, trace.take());
            }
            if is_last {
                bar.finish_and_clear();
                document["matched"] = all.len().into();
                document["traces"] = all.into_values().rev().collect();
                return Ok(document);
            }
            thread::sleep(LOOK_INTERVAL.min(end.saturating_duration_since(Instant::now())));
            bar.inc(1);
        }
    }
}
