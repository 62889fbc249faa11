//! Times a forward pass of each network, beside ONNX Runtime and OpenVINO on the same graph with the same weights.
//!
//! `cargo bench -p segue-parity --bench networks -- --help`. In a row all contenders take turns in short blocks, so that
//! whatever else the machine does meets all of them; before that, their scores are held to ours. Without Python, or a
//! registry to fetch packages from, our figures come alone.

mod case;
mod contender;
mod load;
mod ours;
mod peer;
mod report;
mod tools;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use segue_nn::Level;

use crate::case::{CASES, Case};
use crate::contender::{Contender, Scores, take_turns};
use crate::peer::Engine;
use crate::report::{Report, Row};
use crate::tools::{Graphs, Tools};

/// The numbers in which a network computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Precision {
    F32,
    Bf16,
}

impl Precision {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

/// Times a forward pass of each network beside its peers
#[derive(Parser)]
struct Arguments {
    /// Only networks whose name contains this; may be repeated
    #[arg(long, value_name = "NAME")]
    network: Vec<String>,
    /// Numbers of threads
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
    /// In which numbers to compute
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32,bf16")]
    precision: Vec<Precision>,
    /// Beside whom
    #[arg(long, value_enum, value_delimiter = ',', default_value = "ort,openvino")]
    peer: Vec<Engine>,
    /// How long to time each network at each number of threads
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    seconds: f64,
    /// The instruction set, `avx2` or `avx512`, for us and for the peers; the best when not given
    #[arg(long, value_parser = level)]
    level: Option<Level>,
    /// Keep the figures in this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What `cargo bench` passes on
    #[arg(long, hide = true)]
    bench: bool,
}

fn level(name: &str) -> Result<Level, String> {
    let levels = Level::available();
    let names: Vec<_> = levels.iter().map(|level| level.name()).collect();
    let found = levels.iter().find(|level| level.name() == name);
    found.copied().ok_or_else(|| format!("this CPU has {}", names.join(", ")))
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let cases: Vec<_> = CASES.iter().filter(|case| arguments.wants(case)).collect();
    let names = || CASES.map(|case| case.name).join(", ");
    ensure!(!cases.is_empty(), "no network has such a name; there are {}", names());
    let level = arguments.level.unwrap_or_else(Level::best);
    let tools = Tools::prepare(&arguments.peer, level)
        .inspect_err(|error| eprintln!("\n!!! NO PEERS: {error:#}\n!!! Our figures come alone.\n"))
        .ok();
    let mut report = Report::new(level);
    let mut failed = Vec::new();
    for case in cases {
        for &threads in &arguments.threads {
            eprintln!("{}, {threads} threads", case.name);
            match measure(case, threads, level, &arguments, tools.as_ref()) {
                Ok(rows) => report.add(rows),
                Err(error) => {
                    eprintln!("{}, {threads} threads FAILED: {error:#}", case.name);
                    failed.push(format!("{} ({threads} threads)", case.name));
                }
            }
        }
    }
    report.print();
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&report)?).with_context(|| path.display().to_string())?;
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

impl Arguments {
    fn wants(&self, case: &Case) -> bool {
        self.network.is_empty() || self.network.iter().any(|part| case.name.contains(part.as_str()))
    }
}

/// One network at a number of threads: all contenders checked, then timed by turns.
fn measure(
    case: &Case,
    threads: usize,
    level: Level,
    arguments: &Arguments,
    tools: Option<&Tools>,
) -> Result<Vec<Row>> {
    let mut reference = ours::load(case, Precision::F32, threads, level)?.context("f32 is always there")?;
    let expected = Scores { values: reference.scores()?, classes: reference.classes() };
    let mut contenders = Vec::new();
    if arguments.precision.contains(&Precision::F32) {
        contenders.push(Contender::ours(Precision::F32, reference, &expected)?);
    }
    if arguments.precision.contains(&Precision::Bf16)
        && case.has_bf16
        && let Some(network) = ours::load(case, Precision::Bf16, threads, level)?
    {
        contenders.push(Contender::ours(Precision::Bf16, network, &expected)?);
    }
    if let Some(tools) = tools {
        let graphs = tools.graphs(case)?;
        for (engine, precision, graph) in wanted_peers(case, arguments, &graphs) {
            let peer = match tools.start(engine, precision, graph, case, threads) {
                Err(error) if precision == Precision::Bf16 => {
                    eprintln!("  bf16 is not measured: {error:#}");
                    continue;
                }
                peer => peer?,
            };
            let is_unfolded = graph == &graphs.plain && graphs.folded.is_some();
            contenders.push(Contender::peer(precision, peer, is_unfolded, &expected)?);
        }
    }
    let others = take_turns(&mut contenders, Duration::from_secs_f64(arguments.seconds))?;
    Ok(report::rows(case, level, threads, others, &contenders))
}

/// Each peer with what it computes in, and its graph; ONNX Runtime with the graph as it was exported, too.
fn wanted_peers<'a>(
    case: &Case,
    arguments: &Arguments,
    graphs: &'a Graphs,
) -> Vec<(Engine, Precision, &'a std::path::PathBuf)> {
    let best = graphs.folded.as_ref().unwrap_or(&graphs.plain);
    let (f32, bf16) = (Precision::F32, Precision::Bf16);
    let all = [
        (Engine::Ort, f32, Some(best)),
        (Engine::Ort, f32, graphs.folded.as_ref().map(|_| &graphs.plain)),
        (Engine::Openvino, f32, Some(best)),
        (Engine::Openvino, bf16, case.has_bf16.then_some(best)),
    ];
    let wanted = |(engine, precision, _): &(Engine, Precision, _)| {
        arguments.peer.contains(engine) && arguments.precision.contains(precision)
    };
    let with_graph = |(engine, precision, graph): (_, _, Option<&'a _>)| Some((engine, precision, graph?));
    all.into_iter().filter(wanted).filter_map(with_graph).collect()
}
