//! `segue compare`: two modes on the same frames.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{
    CliResult, Failure,
    clip::Clip,
    local::{self, Labels, Local},
    places::{PlaceArguments, ProfileArguments},
    progress,
};
use crate::{plugin_host::InstanceInfo, telemetry::Stage};

/// Arguments of `segue compare`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  segue compare fast balanced me.mp4\n  segue compare fast balanced photos/ --json | jq .agreement\n\n\
    The modes take turns, frame by frame. Classes are compared by name; a pixel agrees if both modes call it the same."
)]
pub(super) struct Compare {
    /// One mode
    mode_a: String,
    /// The other
    mode_b: String,
    /// A video (ffmpeg decodes it), or a folder of pictures
    clip: PathBuf,
    /// Only the first N frames
    #[arg(long, value_name = "N")]
    first: Option<usize>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    profile: ProfileArguments,
    #[command(flatten)]
    places: PlaceArguments,
}

#[derive(Serialize)]
struct Report {
    frames: usize,
    /// Share of all pixels.
    agreement: f64,
    /// Lowest share of one frame.
    agreement_min: f64,
    modes: [ModeReport; 2],
    classes: Vec<ClassReport>,
}

#[derive(Serialize)]
struct ModeReport {
    mode: String,
    model: String,
    infer_millis: Quantiles,
    total_millis: Quantiles,
}

#[derive(Clone, Copy, Serialize)]
struct Quantiles {
    p50: f64,
    p95: f64,
    max: f64,
}

/// A class that one of the modes saw.
#[derive(Serialize)]
struct ClassReport {
    label: String,
    /// Pixels of both, of those of either.
    iou: f64,
    pixels: [u64; 2],
}

/// The names of both modes' classes, numbered alike.
struct Names {
    labels: Vec<String>,
    ids: [Vec<usize>; 2],
}

struct Tally {
    agreed: Vec<u64>,
    seen: [Vec<u64>; 2],
    shares: Vec<f64>,
}

impl Compare {
    pub(super) fn run(self) -> CliResult {
        let names = [self.mode_a.clone(), self.mode_b.clone()];
        let local = Local::load(&self.profile, &self.places, &names, |_| {})?;
        let (a, model_a) = local.mode(&names[0])?;
        let (b, model_b) = local.mode(&names[1])?;
        let classes = Names::of([&model_a.info, &model_b.info]);
        let mut tally = Tally::new(classes.labels.len());
        let mut micros: [[Vec<u32>; 2]; 2] = Default::default();
        let mut clip = Clip::open(&self.clip, local.largest_picture_len_bytes())?;
        let bar = progress::spinner(self.json);
        while tally.shares.len() < self.first.unwrap_or(usize::MAX)
            && let Some(frame) = clip.next()?
        {
            let labels = [local.labels(&a, frame.clone())?, local.labels(&b, frame)?];
            for (micros, labels) in micros.iter_mut().zip(&labels) {
                let stages = Stage::ALL.map(|stage| labels.trace.micros(stage));
                micros[0].push(labels.trace.micros(Stage::Infer));
                micros[1].push(stages.iter().sum());
            }
            tally.add(&classes, &labels);
            bar.inc(1);
        }
        bar.finish_and_clear();
        if tally.shares.is_empty() {
            return Err(Failure::does_not_hold(format!("{}: has no frames", self.clip.display())));
        }
        let [micros_a, micros_b] = micros;
        let report = Report {
            frames: tally.shares.len(),
            agreement: tally.shares.iter().sum::<f64>() / tally.shares.len() as f64,
            agreement_min: tally.shares.iter().copied().fold(1.0, f64::min),
            modes: [report(&self.mode_a, &a.model, micros_a), report(&self.mode_b, &b.model, micros_b)],
            classes: tally.classes(classes.labels),
        };
        print(&report, self.json)
    }
}

impl Names {
    fn of(infos: [&InstanceInfo; 2]) -> Self {
        let mut labels: Vec<String> = infos[0].labels.clone();
        let mut number = |label: &String| match local::position(&labels, label) {
            Some(at) => at,
            None => {
                labels.push(label.clone());
                labels.len() - 1
            }
        };
        let ids = infos.map(|info| info.labels.iter().map(&mut number).collect());
        Self { labels, ids }
    }
}

impl Tally {
    fn new(classes: usize) -> Self {
        Self { agreed: vec![0; classes], seen: [vec![0; classes], vec![0; classes]], shares: Vec::new() }
    }

    fn add(&mut self, names: &Names, labels: &[Labels; 2]) {
        let mut agreed = 0_u64;
        for (a, b) in labels[0].ids.iter().zip(&labels[1].ids) {
            let (a, b) = (names.ids[0][usize::from(*a)], names.ids[1][usize::from(*b)]);
            self.seen[0][a] += 1;
            self.seen[1][b] += 1;
            if a == b {
                self.agreed[a] += 1;
                agreed += 1;
            }
        }
        self.shares.push(agreed as f64 / labels[0].ids.len().max(1) as f64);
    }

    fn classes(&self, labels: Vec<String>) -> Vec<ClassReport> {
        let class = |(id, label): (usize, String)| {
            let pixels = [self.seen[0][id], self.seen[1][id]];
            let union = pixels[0] + pixels[1] - self.agreed[id];
            ClassReport { label, iou: self.agreed[id] as f64 / union.max(1) as f64, pixels }
        };
        let mut classes: Vec<_> = labels.into_iter().enumerate().map(class).collect();
        classes.retain(|class| class.pixels != [0, 0]);
        classes.sort_by_key(|class| std::cmp::Reverse(class.pixels[0] + class.pixels[1]));
        classes
    }
}

fn report(mode: &str, model: &str, [infer, total]: [Vec<u32>; 2]) -> ModeReport {
    ModeReport {
        mode: mode.to_owned(),
        model: model.to_owned(),
        infer_millis: quantiles(infer),
        total_millis: quantiles(total),
    }
}

fn quantiles(mut micros: Vec<u32>) -> Quantiles {
    micros.sort_unstable();
    let at = |share: f64| f64::from(micros[((micros.len() - 1) as f64 * share).round() as usize]) / 1000.0;
    Quantiles { p50: at(0.5), p95: at(0.95), max: at(1.0) }
}

fn print(report: &Report, json: bool) -> CliResult {
    if json {
        println!("{}", serde_json::to_string(report).map_err(Failure::does_not_hold)?);
        return Ok(());
    }
    println!("{:<12} {:<32} {:>24} {:>24}", "MODE", "MODEL", "INFER p50/p95/max ms", "FRAME p50/p95/max ms");
    for mode in &report.modes {
        let millis = |q: Quantiles| format!("{:.1} / {:.1} / {:.1}", q.p50, q.p95, q.max);
        let (infer, total) = (millis(mode.infer_millis), millis(mode.total_millis));
        println!("{:<12} {:<32} {infer:>24} {total:>24}", mode.mode, mode.model);
    }
    println!("\n{:<24} {:>7} {:>14} {:>14}", "CLASS", "IOU", "PIXELS A", "PIXELS B");
    for ClassReport { label, iou, pixels: [a, b] } in &report.classes {
        println!("{label:<24} {:>6.1}% {a:>14} {b:>14}", 100.0 * iou);
    }
    println!(
        "\n{} frames: {:.1} % of pixels agree, {:.1} % in the worst frame",
        report.frames,
        100.0 * report.agreement,
        100.0 * report.agreement_min
    );
    Ok(())
}
