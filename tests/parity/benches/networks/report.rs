//! The figures, as a table and as JSON.

use segue_nn::Level;
use serde::Serialize;

use crate::Precision;
use crate::case::Case;
use crate::contender::Contender;

/// Ours beside one peer's; either may be missing.
#[derive(Serialize)]
pub(crate) struct Row {
    network: &'static str,
    threads: usize,
    precision: &'static str,
    ours: Option<Time>,
    peer: Option<String>,
    theirs: Option<Time>,
    /// Our median over theirs.
    ratio: Option<f64>,
    /// What the ratio is meant to be at most.
    target: Option<f64>,
    /// The largest difference of scores to ours in f32, relative to the largest score.
    error: f32,
    /// The share of pixels with the class that we find in f32.
    agreement: f64,
    /// How many cores others kept busy meanwhile.
    cores_of_others: Option<f64>,
}

/// Milliseconds a pass.
#[derive(Clone, Copy, Serialize)]
struct Time {
    median_ms: f64,
    best_ms: f64,
}

impl Time {
    fn of(contender: &Contender) -> Self {
        let [median_ms, best_ms] = contender.median_and_best();
        Self { median_ms, best_ms }
    }
}

fn shown(time: Option<Time>) -> String {
    time.map_or_else(|| "-".into(), |Time { median_ms, best_ms }| format!("{median_ms:.2} ({best_ms:.2})"))
}

/// A row for each peer, or one for ourselves where there is none.
pub(crate) fn rows(
    case: &Case,
    level: Level,
    threads: usize,
    cores_of_others: Option<f64>,
    contenders: &[Contender],
) -> Vec<Row> {
    let mut rows = Vec::new();
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        let of_precision = || contenders.iter().filter(|contender| contender.precision == precision);
        let ours = of_precision().find(|contender| contender.is_ours());
        let peers: Vec<_> = of_precision().filter(|contender| !contender.is_ours()).collect();
        let beside = |peer: Option<&Contender>| {
            Some(Row { cores_of_others, ..row((case, level), threads, precision, ours, peer)? })
        };
        match peers[..] {
            [] => rows.extend(ours.and_then(|_| beside(None))),
            _ => rows.extend(peers.into_iter().filter_map(|peer| beside(Some(peer)))),
        }
    }
    rows
}

fn row(
    (case, level): (&Case, Level),
    threads: usize,
    precision: Precision,
    ours: Option<&Contender>,
    peer: Option<&Contender>,
) -> Option<Row> {
    let difference = peer.or(ours)?.difference;
    let (ours, theirs) = (ours.map(Time::of), peer.map(Time::of));
    Some(Row {
        network: case.name,
        threads,
        precision: precision.name(),
        ours,
        peer: peer.map(Contender::name),
        theirs,
        ratio: ours.zip(theirs).map(|(ours, theirs)| ours.median_ms / theirs.median_ms),
        target: peer.is_some_and(Contender::is_mark).then(|| case.target(precision, level)),
        error: difference.error,
        agreement: difference.agreement,
        cores_of_others: None,
    })
}

/// All of a run.
#[derive(Serialize)]
pub(crate) struct Report {
    cpu: String,
    level: &'static str,
    rows: Vec<Row>,
}

const HEAD: [&str; 10] =
    ["network", "threads", "", "ours", "peer", "theirs", "ours/theirs", "target", "others", "error, same class"];

impl Report {
    pub(crate) fn new(level: Level) -> Self {
        Self { cpu: cpu_model(), level: level.name(), rows: Vec::new() }
    }

    /// Adds the rows of a network, and prints them.
    pub(crate) fn add(&mut self, rows: Vec<Row>) {
        rows.iter().for_each(|row| eprintln!("  {}", row.line()));
        self.rows.extend(rows);
    }

    pub(crate) fn print(&self) {
        println!("{}, {}", self.cpu, self.level);
        println!("ms a pass, median (and best); the ratio is of medians; others: cores that other programs kept busy;");
        println!(
            "error: the largest, relative to the largest score; it and the share of pixels of the same class beside ours in f32"
        );
        println!("{}", line(HEAD.map(str::to_owned)));
        self.rows.iter().for_each(|row| println!("{}", row.line()));
    }
}

impl Row {
    fn line(&self) -> String {
        let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"));
        line([
            self.network.into(),
            self.threads.to_string(),
            self.precision.into(),
            shown(self.ours),
            self.peer.clone().unwrap_or_else(|| "-".into()),
            shown(self.theirs),
            ratio(self.ratio),
            ratio(self.target),
            self.cores_of_others.map_or_else(|| "-".into(), |cores| format!("{cores:.1}")),
            format!("{:.0e}, {:.2} %", self.error, 100.0 * self.agreement),
        ])
    }
}

fn line([network, threads, precision, ours, peer, theirs, ratio, target, others, difference]: [String; 10]) -> String {
    format!(
        "{network:30} {threads:>7} {precision:4} {ours:>18} {peer:30} {theirs:>18} {ratio:>11} {target:>6} {others:>6}  {difference}"
    )
}

fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown CPU").into()
}
