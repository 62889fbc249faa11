//! Who is timed: checked first, then by turns.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::Precision;
use crate::load::Meter;
use crate::ours::Running;
use crate::peer::{Engine, Peer};

/// Relative to the largest of our scores, in f32.
const MOST_ERROR: f32 = 1e-3;
/// How long one is timed before it is another's turn.
const BLOCK_MS: f64 = 150.0;
const MOST_PASSES: f64 = 50.0;
const LEAST_ROUNDS: usize = 3;
/// Between blocks, so that no engine's threads still spin while another is timed.
const PAUSE: Duration = Duration::from_millis(20);

/// What a network gives, one plane for each class.
pub(crate) struct Scores {
    pub(crate) values: Vec<f32>,
    pub(crate) classes: usize,
}

impl Scores {
    /// The class of each pixel; of a single one, whether it is there.
    fn labels(&self, values: &[f32]) -> Vec<usize> {
        if self.classes == 1 {
            return values.iter().map(|&probability| usize::from(probability > 0.5)).collect();
        }
        let pixels = values.len() / self.classes;
        let best = |pixel: usize| {
            let score = |class: &usize| values[class * pixels + pixel];
            (0..self.classes).max_by(|a, b| score(a).total_cmp(&score(b))).unwrap_or(0)
        };
        (0..pixels).map(best).collect()
    }

    /// How far `others` are from these.
    fn compare(&self, others: &[f32]) -> Result<Difference> {
        let (ours, theirs) = (self.values.len(), others.len());
        ensure!(ours == theirs, "{theirs} scores in place of {ours}");
        ensure!(others.iter().all(|score| score.is_finite()), "scores that are no numbers");
        // A single class has a probability, which may be next to nothing everywhere.
        let least = if self.classes == 1 { 1.0 } else { 0.0 };
        let largest = self.values.iter().map(|score| score.abs()).fold(least, f32::max);
        let error = self.values.iter().zip(others).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let (ours, theirs) = (self.labels(&self.values), self.labels(others));
        let equal = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours == theirs).count();
        Ok(Difference { error: error / largest, agreement: equal as f64 / ours.len() as f64 })
    }
}

/// Between somebody's scores and ours in f32.
#[derive(Clone, Copy)]
pub(crate) struct Difference {
    /// The largest, relative to the largest score.
    pub(crate) error: f32,
    /// The share of pixels with the same class.
    pub(crate) agreement: f64,
}

enum Side {
    Ours(Box<dyn Running>),
    Peer(Peer),
}

/// A network in somebody's hands, and how long it took.
pub(crate) struct Contender {
    side: Side,
    pub(crate) precision: Precision,
    pub(crate) difference: Difference,
    /// Whether its graph is the one as exported, where another was made of it.
    is_unfolded: bool,
    /// Of how many images a pass is; ours are one after the other.
    batch: usize,
    /// Milliseconds a pass.
    times: Vec<f64>,
}

impl Contender {
    pub(crate) fn ours(precision: Precision, mut network: Box<dyn Running>, expected: &Scores) -> Result<Self> {
        let scores = network.scores()?;
        Self::checked(Side::Ours(network), precision, false, &scores, expected)
    }

    pub(crate) fn peer(precision: Precision, mut peer: Peer, is_unfolded: bool, expected: &Scores) -> Result<Self> {
        let scores = peer.scores()?;
        Self::checked(Side::Peer(peer), precision, is_unfolded, &scores, expected)
    }

    fn checked(side: Side, precision: Precision, is_unfolded: bool, scores: &[f32], expected: &Scores) -> Result<Self> {
        let difference = expected.compare(scores)?;
        let contender = Self { side, precision, difference, is_unfolded, batch: 1, times: Vec::new() };
        let error = difference.error;
        let is_close = precision != Precision::F32 || error <= MOST_ERROR;
        ensure!(is_close, "{} differs from us by {error:.1e}; {MOST_ERROR:.0e} is allowed", contender.name());
        Ok(contender)
    }

    /// The same with passes of `batch` images.
    pub(crate) fn with_batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// Its engine's name and version.
    pub(crate) fn name(&self) -> String {
        match &self.side {
            Side::Ours(_) => "ours".into(),
            Side::Peer(peer) if self.is_unfolded => format!("{}, unfolded", peer.version),
            Side::Peer(peer) => peer.version.clone(),
        }
    }

    pub(crate) const fn is_ours(&self) -> bool {
        matches!(self.side, Side::Ours(_))
    }

    /// Whether a target is set for our time beside its own.
    pub(crate) fn is_mark(&self) -> bool {
        let is_marked = |peer: &Peer| match self.precision {
            _ if peer.engine.is_torch() => peer.engine == Engine::Torch,
            Precision::F32 => peer.engine == Engine::Ort,
            Precision::Bf16 | Precision::F16 => peer.engine == Engine::Openvino,
        };
        !self.is_unfolded && matches!(&self.side, Side::Peer(peer) if is_marked(peer))
    }

    fn process(&self) -> Option<u32> {
        match &self.side {
            Side::Ours(_) => None,
            Side::Peer(peer) => Some(peer.process()),
        }
    }

    fn run(&mut self, passes: usize) -> Result<Vec<f64>> {
        let network = match &mut self.side {
            Side::Peer(peer) => return peer.run(passes),
            Side::Ours(network) => network,
        };
        let pass = |_| {
            let began = Instant::now();
            for _image in 0..self.batch {
                network.pass()?;
            }
            Ok(began.elapsed().as_secs_f64() * 1e3)
        };
        (0..passes).map(pass).collect()
    }

    /// The middle and the least of its times.
    pub(crate) fn median_and_best(&self) -> [f64; 2] {
        let mut times = self.times.clone();
        times.sort_unstable_by(f64::total_cmp);
        [times[times.len() / 2], times[0]]
    }
}

/// Times them block by block until `budget` is over. Returns how many cores others kept busy meanwhile.
pub(crate) fn take_turns(contenders: &mut [Contender], budget: Duration) -> Result<Option<f64>> {
    let processes: Vec<_> = contenders.iter().filter_map(Contender::process).collect();
    let began = Instant::now();
    let mut passes = Vec::new();
    for contender in &mut *contenders {
        // The first pass of all grows memory.
        let ms = contender.run(2)?[1];
        passes.push((BLOCK_MS / ms).clamp(1.0, MOST_PASSES) as usize);
    }
    let (mut rounds, meter) = (0, Meter::start(&processes));
    while rounds < LEAST_ROUNDS || began.elapsed() < budget {
        for (contender, &passes) in contenders.iter_mut().zip(&passes) {
            std::thread::sleep(PAUSE);
            let times = contender.run(passes)?;
            contender.times.extend(times);
        }
        rounds += 1;
    }
    Ok(meter.cores_of_others(&processes))
}
