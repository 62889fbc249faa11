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

use crate::case::{CARD_CASES, CASES, Case};
use crate::contender::{Contender, Scores, take_turns};
use crate::ours::Running;
use crate::peer::Engine;
use crate::report::{Report, Row};
use crate::tools::{Graphs, Tools};

/// The numbers in which a network computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Precision {
    F32,
    Bf16,
    F16,
}

/// Where our networks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum On {
    /// On our kernels
    Kernels,
    /// On candle's tensors on the CPU, beside PyTorch: a rehearsal of `cuda`
    Candle,
    /// On the first NVIDIA card, beside PyTorch (needs the feature `cuda`)
    Cuda,
}

impl Precision {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
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
    /// In which numbers to compute [default: f32,bf16; bf16,f16 on a card]
    #[arg(long, value_enum, value_delimiter = ',')]
    precision: Vec<Precision>,
    /// Beside whom [default: ort,openvino; torch,torch-compiled on candle and on a card]
    #[arg(long, value_enum, value_delimiter = ',')]
    peer: Vec<Engine>,
    /// Where our networks run
    #[arg(long, value_enum, default_value = "kernels")]
    on: On,
    /// Images in a pass, on candle and on a card; ours run one after the other
    #[arg(long, value_delimiter = ',', default_value = "1,8")]
    batch: Vec<usize>,
    /// A Python with PyTorch and transformers, in place of the bench's own, whose PyTorch has no CUDA
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
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
    let arguments = Arguments::parse().with_defaults();
    let known = if arguments.on == On::Kernels { &CASES[..] } else { &CARD_CASES };
    let cases: Vec<_> = known.iter().filter(|case| arguments.wants(case)).collect();
    let names = || known.iter().map(|case| case.name).collect::<Vec<_>>().join(", ");
    ensure!(!cases.is_empty(), "no network has such a name; there are {}", names());
    let level = arguments.level.unwrap_or_else(Level::best);
    let tools = Tools::prepare(&arguments.peer, level, arguments.python.as_deref())
        .inspect_err(|error| eprintln!("\n!!! NO PEERS: {error:#}\n!!! Our figures come alone.\n"))
        .ok();
    let mut report = Report::new(level);
    let mut failed = Vec::new();
    for case in cases {
        for &threads in &arguments.threads {
            eprintln!("{}, {threads} threads", case.name);
            let measured = match arguments.on {
                On::Kernels => measure(case, threads, level, &arguments, tools.as_ref()),
                on => measure_on_candle(case, (threads, on), level, &arguments, tools.as_ref()),
            };
            match measured {
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
    fn with_defaults(mut self) -> Self {
        if self.precision.is_empty() {
            let on_card = self.on == On::Cuda;
            self.precision = vec![if on_card { Precision::F16 } else { Precision::F32 }, Precision::Bf16];
        }
        if self.peer.is_empty() {
            let on_kernels = self.on == On::Kernels;
            self.peer = match on_kernels {
                true => vec![Engine::Ort, Engine::Openvino],
                false => vec![Engine::Torch, Engine::TorchCompiled],
            };
        }
        self
    }

    fn wants(&self, case: &Case) -> bool {
        self.network.is_empty() || self.network.iter().any(|part| case.name.contains(part.as_str()))
    }
}

/// A network on our kernels in f32, and what it gives.
fn reference(case: &Case, threads: usize, level: Level) -> Result<(Box<dyn Running>, Scores)> {
    let mut network = ours::load(case, Precision::F32, threads, level)?.context("f32 is always there")?;
    let expected = Scores { values: network.scores()?, classes: network.classes() };
    Ok((network, expected))
}

/// One network at a number of threads: all contenders checked, then timed by turns.
fn measure(
    case: &Case,
    threads: usize,
    level: Level,
    arguments: &Arguments,
    tools: Option<&Tools>,
) -> Result<Vec<Row>> {
    let (reference, expected) = reference(case, threads, level)?;
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

/// One network on candle's tensors, beside PyTorch on the same device: a batch after the other.
fn measure_on_candle(
    case: &Case,
    (threads, on): (usize, On),
    level: Level,
    arguments: &Arguments,
    tools: Option<&Tools>,
) -> Result<Vec<Row>> {
    let (_, expected) = reference(case, threads, level)?;
    let mut rows = Vec::new();
    for &batch in &arguments.batch {
        let mut contenders = Vec::new();
        for &precision in &arguments.precision {
            let network = ours::load_on_candle(case, precision, threads, on)?;
            contenders.push(Contender::ours(precision, network, &expected)?.with_batch(batch));
            let Some(tools) = tools else { continue };
            for &engine in arguments.peer.iter().filter(|engine| engine.is_torch()) {
                let peer = tools.start_torch(engine, precision, case, (threads, on, batch))?;
                contenders.push(Contender::peer(precision, peer, false, &expected)?);
            }
        }
        let others = take_turns(&mut contenders, Duration::from_secs_f64(arguments.seconds))?;
        rows.extend(report::rows(case, level, threads, others, &contenders));
    }
    Ok(rows)
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
