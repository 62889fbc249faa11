//! Times a forward pass of both networks at one and two threads, beside ONNX Runtime on the same graph.
//!
//! `cargo bench -p segue-selfie [-- --json FILE]`. The engines take turns in short blocks, so that whatever else
//! the machine does meets both. Without Python packages or a network to fetch them, our figures come alone.

mod peer;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use peer::Peer;
use selfie::network::Network;
use serde::Serialize;

const FILES: [&str; 2] = ["selfie_segmentation.tflite", "selfie_segmentation_landscape.tflite"];
const THREADS: [usize; 2] = [1, 2];
const BLOCKS: usize = 40;
const PASSES: usize = 25;
const TOLERANCE: f32 = 1e-4;
/// Between blocks, so that no engine's threads still spin while the other is timed.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Serialize)]
struct Row {
    network: &'static str,
    threads: usize,
    ours_ms: f64,
    ort_ms: Option<f64>,
    ours_best_ms: f64,
    ort_best_ms: Option<f64>,
    ratio: Option<f64>,
}

#[derive(Serialize)]
struct Report {
    cpu: String,
    level: &'static str,
    peer: String,
    rows: Vec<Row>,
}

fn main() -> Result<()> {
    let json = json_path()?;
    let python = peer::prepare().inspect_err(|error| println!("ONNX Runtime is not measured: {error:#}")).ok();
    let mut report =
        Report { cpu: cpu_model(), level: segue_nn::Level::best().name(), peer: "none".into(), rows: Vec::new() };
    for file in FILES {
        let path = models_dir().join(file);
        let bytes = std::fs::read(&path)
            .with_context(|| format!("cannot read {}; run `segue models pull selfie`", path.display()))?;
        for threads in THREADS {
            report.rows.push(measure(file, &path, &bytes, threads, python.as_deref(), &mut report.peer)?);
        }
    }
    print(&report);
    if let Some(path) = json {
        std::fs::write(&path, serde_json::to_string_pretty(&report)?).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn json_path() -> Result<Option<PathBuf>> {
    let mut arguments = std::env::args_os().skip_while(|argument| argument != "--json").skip(1);
    let asked = std::env::args_os().any(|argument| argument == "--json");
    let path = arguments.next().map(PathBuf::from);
    ensure!(!asked || path.is_some(), "--json needs a file");
    Ok(path)
}

fn models_dir() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let user = || std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    let cache = std::env::var_os("SEGUE_CACHE").map_or_else(|| user().join("segue"), PathBuf::from);
    cache.join("models/selfie")
}

fn measure(
    file: &'static str,
    path: &std::path::Path,
    bytes: &[u8],
    threads: usize,
    python: Option<&std::path::Path>,
    version: &mut String,
) -> Result<Row> {
    let mut network = Network::load(bytes, threads)?;
    let (width, height) = (network.input_width(), network.input_height());
    let input: Vec<f32> = (0..width * height * 3).map(|i| (i * 7919 % 256) as f32 / 255.0).collect();
    let mut plane = vec![0.0; width * height];
    network.forward(&input, &mut plane);
    let mut peer = python.map(|python| Peer::start(python, path, (width, height), &input, threads)).transpose()?;
    if let Some(peer) = &mut peer {
        version.clone_from(&peer.version);
        let difference = peer.output()?.iter().zip(&plane).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        ensure!(difference <= TOLERANCE, "{file}: ONNX Runtime differs from us by {difference}");
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        std::thread::sleep(PAUSE);
        for _ in 0..PASSES {
            let began = Instant::now();
            network.forward(&input, &mut plane);
            ours.push(began.elapsed().as_secs_f64() * 1e3);
        }
        std::thread::sleep(PAUSE);
        if let Some(peer) = &mut peer {
            theirs.extend(peer.run(PASSES)?);
        }
    }
    let ours_ms = median(&mut ours).context("no pass was timed")?;
    let ort_ms = median(&mut theirs);
    Ok(Row {
        network: file,
        threads,
        ours_ms,
        ort_ms,
        ours_best_ms: ours[0],
        ort_best_ms: theirs.first().copied(),
        ratio: ort_ms.map(|ort| ours_ms / ort),
    })
}

/// The middle of `times`, which it leaves sorted.
fn median(times: &mut [f64]) -> Option<f64> {
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown CPU").into()
}

fn print(report: &Report) {
    println!("{}, {}; peer: {}", report.cpu, report.level, report.peer);
    println!("ms a pass, median (and best) of {}; the ratio is of medians", BLOCKS * PASSES);
    println!("{:38} {:>7} {:>15} {:>15} {:>6}", "network", "threads", "ours", "ORT", "ratio");
    for row in &report.rows {
        let ours = format!("{:.3} ({:.3})", row.ours_ms, row.ours_best_ms);
        let ort = row.ort_ms.zip(row.ort_best_ms).map_or("-".into(), |(ms, best)| format!("{ms:.3} ({best:.3})"));
        let ratio = row.ratio.map_or("-".into(), |ratio| format!("{ratio:.2}"));
        println!("{:38} {:>7} {ours:>15} {ort:>15} {ratio:>6}", row.network, row.threads);
    }
}
