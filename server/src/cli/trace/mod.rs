//! `segue trace`: where frames' time went, in the terminal.

mod capsule;
mod capture;
mod waterfall;

use std::{
    collections::{HashSet, VecDeque},
    io::{IsTerminal, Write},
    path::PathBuf,
    thread::sleep,
    time::Duration,
};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{CliResult, Failure, remote::RemoteArguments};
use capsule::Capsule;
use capture::Capture;
use waterfall::Paper;

/// From one look at a running server to the next.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How many frames `--follow` remembers to have shown.
const REMEMBERED: usize = 20_000;

/// Of its stages a painted frame's trace has to account for so much of its time.
const LEAST_COVERAGE: f64 = 0.95;

/// Arguments of `segue trace`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  segue trace                       the five slowest frames of the last minute\n  \
    segue trace --check               what is slow, and why; ends with 1 when something is\n  \
    segue trace --follow --min-millis 100\n  segue trace 4bf92f3577b34da6a3ce929d0e0e4736\n  \
    segue trace capture --seconds 30 --token TOKEN --frames\n  segue trace open FILE --slowest 3\n\n\
    The running server's page /traces shows the same in a browser."
)]
pub(super) struct Trace {
    #[command(subcommand)]
    command: Option<Command>,
    /// Show this trace
    #[arg(value_name = "TRACE_ID", conflicts_with_all = ["slowest", "follow", "check"])]
    trace_id: Option<String>,
    #[command(flatten)]
    view: View,
    /// Show frames as they end, a line each, until ^C
    #[arg(long, conflicts_with_all = ["slowest", "check"])]
    follow: bool,
    #[command(flatten)]
    remote: RemoteArguments,
    #[command(flatten)]
    filter: Filter,
}

/// What is shown.
#[derive(Debug, Args)]
struct View {
    /// Show the waterfalls of the N slowest frames [default: 5]
    #[arg(long, value_name = "N", conflicts_with = "check")]
    slowest: Option<usize>,
    /// Say what is slow, and why; end with 1 when something is
    #[arg(long)]
    check: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Which frames.
#[derive(Debug, Args)]
struct Filter {
    /// Only frames of the last S seconds
    #[arg(long, value_name = "S", default_value_t = 60)]
    seconds: u32,
    /// Only frames of this session
    #[arg(long, value_name = "N")]
    session: Option<u64>,
    /// Only frames of this mode
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// Only frames that took as long or longer, in milliseconds
    #[arg(long, value_name = "MS")]
    min_millis: Option<f64>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Save frames' traces, the configuration and, if asked, the frames themselves into one file
    Capture(Capture),
    /// Read such a file, without a server
    Open(Open),
}

#[derive(Debug, Args)]
struct Open {
    /// The file that `segue trace capture` wrote
    file: PathBuf,
    #[command(flatten)]
    view: View,
    /// Show this trace
    #[arg(long, value_name = "TRACE_ID", conflicts_with_all = ["slowest", "check"])]
    trace: Option<String>,
    /// Write the frames' pictures into this directory
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
}

impl Trace {
    pub(super) fn run(self) -> CliResult {
        match &self.command {
            Some(Command::Capture(capture)) => return capture.run(),
            Some(Command::Open(open)) => return open.run(),
            None => {}
        }
        if let Some(trace_id) = &self.trace_id {
            return show(&self.remote.get(&format!("/v1/traces/{trace_id}"))?, self.view.json);
        }
        if self.follow {
            return self.follow();
        }
        let order = match self.view.check {
            true => "limit=10000".to_owned(),
            false => format!("slowest={}", self.view.count()),
        };
        self.view.print(&self.remote.get(&self.filter.path(&order))?)
    }

    fn follow(&self) -> CliResult {
        let paper = Paper::of_terminal();
        let mut shown = Shown::default();
        loop {
            let document = self.remote.get(&self.filter.path("limit=10000"))?;
            for trace in traces(&document).iter().rev() {
                if shown.is_new(trace) {
                    let line = if self.view.json { trace.to_string() } else { paper.line(trace) };
                    // Whoever reads along, such as `head`, may have seen enough.
                    if writeln!(std::io::stdout(), "{line}").is_err() {
                        return Ok(());
                    }
                }
            }
            sleep(LOOK_INTERVAL);
        }
    }
}

impl Open {
    fn run(&self) -> CliResult {
        let capsule = Capsule::read(&self.file)?;
        if let Some(directory) = &self.pictures {
            return capsule.write_pictures(directory);
        }
        if let Some(trace_id) = &self.trace {
            let found = traces(&capsule.document["traces"]).iter().find(|trace| trace["trace_id"] == **trace_id);
            let missing = || Failure::does_not_hold(format!("{} has no trace {trace_id}", self.file.display()));
            return show(found.ok_or_else(missing)?, self.view.json);
        }
        if !self.view.json {
            println!("{}\n", capsule.summary());
        }
        let mut document = capsule.document["traces"].clone();
        if !self.view.check
            && let Some(traces) = document["traces"].as_array_mut()
        {
            traces.sort_by_key(|trace| std::cmp::Reverse(trace["total_micros"].as_u64()));
            traces.truncate(self.view.count());
        }
        self.view.print(&document)
    }
}

impl View {
    fn count(&self) -> usize {
        self.slowest.unwrap_or(5)
    }

    fn print(&self, document: &Value) -> CliResult {
        match (self.json, self.check) {
            (true, _) => println!("{document:#}"),
            (false, true) => print_check(document),
            (false, false) => print_slowest(document),
        }
        if self.check { verdict(document) } else { Ok(()) }
    }
}

impl Filter {
    fn path(&self, order: &str) -> String {
        let mut path = format!("/v1/traces?{order}&seconds={}", self.seconds);
        let mut ask = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                path.push_str(&format!("&{key}={value}"));
            }
        };
        ask("session", self.session.map(|session| session.to_string()));
        ask("mode", self.mode.clone());
        ask("min_millis", self.min_millis.map(|millis| millis.to_string()));
        path
    }
}

/// Which frames were shown.
#[derive(Default)]
struct Shown {
    known: HashSet<String>,
    oldest_first: VecDeque<String>,
}

impl Shown {
    /// Whether it was not shown before. A trace that still waits for its paint is shown when it has that.
    fn is_new(&mut self, trace: &Value) -> bool {
        let key = format!("{} {} {}", trace["session"], trace["frame_id"], trace["trace_id"]);
        if trace["is_settled"] == false || !self.known.insert(key.clone()) {
            return false;
        }
        self.oldest_first.push_back(key);
        if self.oldest_first.len() > REMEMBERED
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

fn traces(document: &Value) -> &[Value] {
    document["traces"].as_array().map_or(&[], |traces| &traces[..])
}

fn show(trace: &Value, as_json: bool) -> CliResult {
    match as_json {
        true => println!("{trace:#}"),
        false => print!("{}", Paper::of_terminal().waterfall(trace)),
    }
    Ok(())
}

fn print_slowest(document: &Value) {
    let paper = Paper::of_terminal();
    println!("{}\n", text(&document["diagnosis"]["text"]));
    for trace in traces(document) {
        println!("{}", paper.waterfall(trace));
    }
    if std::io::stdout().is_terminal() && !traces(document).is_empty() {
        println!("{}", paper.legend());
    }
}

fn print_check(document: &Value) {
    let diagnosis = &document["diagnosis"];
    println!("{}", text(&diagnosis["text"]));
    for cause in diagnosis["causes"].as_array().into_iter().flatten() {
        let stage = match text(&cause["stage"]) {
            "" => text(&cause["reason"]),
            stage => stage,
        };
        println!("  {:>5} x {stage:<18} {}", cause["frames"], text(&cause["text"]));
    }
    for mark in document["marks"].as_array().into_iter().flatten().take(5) {
        let at = waterfall::time(mark["at_micros"].as_u64().unwrap_or(0));
        println!("  {at} {} {}: {}", text(&mark["kind"]), text(&mark["outcome"]), text(&mark["text"]));
    }
}

/// Whether all is well: frames came, none was slow, and their stages account for their time.
fn verdict(document: &Value) -> CliResult {
    let diagnosis = &document["diagnosis"];
    if diagnosis["frames"] == 0 {
        return Err(Failure::does_not_hold("no frame came in that time; open the page and allow the camera"));
    }
    let uncovered =
        traces(document).iter().filter(|trace| trace["is_painted"] == true && coverage(trace) < LEAST_COVERAGE);
    let uncovered = uncovered.count();
    if uncovered > 0 {
        let share = 100.0 * LEAST_COVERAGE;
        return Err(Failure::does_not_hold(format!(
            "the stages of {uncovered} frames account for less than {share} % of their time: the client's clock may have been set"
        )));
    }
    match diagnosis["is_fine"].as_bool() {
        Some(true) => Ok(()),
        _ => Err(Failure::does_not_hold(format!("{} frames were slow or have no result", diagnosis["slow"]))),
    }
}

/// Which share of a frame's time its stages account for.
fn coverage(trace: &Value) -> f64 {
    let stages = trace["stages"].as_array().into_iter().flatten();
    let covered: f64 = stages.filter_map(|stage| stage["duration_micros"].as_f64()).sum();
    trace["total_micros"].as_f64().filter(|&total| total > 0.0).map_or(1.0, |total| covered / total)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
