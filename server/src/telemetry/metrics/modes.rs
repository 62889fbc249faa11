//! What is counted by mode: frames and their stages, and what went wrong with the backend.
//!
//! On a frame's path: a frame looks its mode up, by its pointer, and adds to handles that are there. Labels are hashed
//! and written only when Prometheus asks.

use std::{
    fmt,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, LabelSetEncoder},
    metrics::{counter::Counter, exemplar::HistogramWithExemplars, gauge::Gauge},
    registry::Unit,
};

use super::now::{ModeNow, gauges};
use crate::telemetry::{FrameRecord, Outcome, Side, Stage};

/// Reasons of drops that are told from the start, so that a rate sees the first one, too.
const REASONS: [&str; 8] = [
    "superseded",
    "expired",
    "overloaded",
    "rate_limited",
    "too_large",
    "undecodable",
    "backend_failed",
    super::super::ABANDONED,
];

/// Causes of failures that are told from the start.
const CAUSES: [&str; 8] =
    ["failed", "panicked", "died", "hung", "broke_contract", "not_started", "resting", "cancelled"];

/// From 0.1 ms to 10 s, in seconds.
const STAGE_BUCKETS: [f64; 15] =
    [1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Closer where people begin to see a delay, in seconds.
const LATENCY_BUCKETS: [f64; 17] =
    [0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 10.0];

/// What was counted of a mode that left the profile is forgotten after that.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 60);

/// A histogram of times, whose exemplars name traces.
type Times = HistogramWithExemplars<TraceLabel>;

/// The trace that an exemplar is of.
#[derive(Clone, Copy, Debug)]
struct TraceLabel([u8; 16]);

impl EncodeLabelSet for TraceLabel {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        use fmt::Write;
        let mut label = encoder.encode_label();
        let mut key = label.encode_label_key()?;
        key.write_str("trace_id")?;
        let mut value = key.encode_label_value()?;
        value.write_str(&hex::encode(self.0))?;
        value.finish()
    }
}

/// Counters that differ in one label.
#[derive(Debug)]
pub(super) struct Named(RwLock<Vec<(&'static str, Counter)>>);

impl Named {
    fn of(names: &[&'static str]) -> Self {
        Self(RwLock::new(names.iter().map(|&name| (name, Counter::default())).collect()))
    }

    pub(super) fn count(&self, name: &'static str) {
        if let Some((_, counter)) = read(&self.0).iter().find(|(known, _)| *known == name) {
            counter.inc();
            return;
        }
        let mut counters = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let at = counters.iter().position(|(known, _)| *known == name).unwrap_or(counters.len());
        if at == counters.len() {
            counters.push((name, Counter::default()));
        }
        counters[at].1.inc();
    }

    fn all(&self) -> Vec<(&'static str, Counter)> {
        read(&self.0).clone()
    }
}

/// All that is counted of one mode.
#[derive(Debug)]
pub(super) struct OfMode {
    name: Arc<str>,
    is_in_force: bool,
    /// When it was in force last.
    seen: Instant,
    in_flight: Gauge,
    answered: Counter,
    dropped: Named,
    pub(super) failures: Named,
    pub(super) restarts: Counter,
    pub(super) given_up: Counter,
    /// Made when a frame goes through that stage first.
    stages: [OnceLock<Times>; Stage::COUNT],
    queue_age: Times,
    server: Times,
    latency: Times,
}

impl OfMode {
    fn new(name: Arc<str>) -> Self {
        Self {
            name,
            is_in_force: false,
            seen: Instant::now(),
            in_flight: Gauge::default(),
            answered: Counter::default(),
            dropped: Named::of(&REASONS),
            failures: Named::of(&CAUSES),
            restarts: Counter::default(),
            given_up: Counter::default(),
            stages: Default::default(),
            queue_age: Times::new(STAGE_BUCKETS.into_iter()),
            server: Times::new(STAGE_BUCKETS.into_iter()),
            latency: Times::new(LATENCY_BUCKETS.into_iter()),
        }
    }

    /// A frame came.
    pub(super) fn began(&self) {
        self.in_flight.inc();
    }

    /// A frame's way through the server has ended.
    pub(super) fn ended(&self, record: &FrameRecord, is_kept: bool) {
        self.in_flight.dec();
        let exemplar = Exemplar::of(record, is_kept);
        if let Some(queue) = record.spans.get(Stage::Queue) {
            exemplar.observe(&self.queue_age, queue.duration_micros);
        }
        match record.outcome {
            Outcome::Answered => self.answered.inc(),
            Outcome::Dropped(reason) => return self.dropped.count(reason),
        };
        let mut end_micros = 0;
        for (stage, span) in record.spans.iter() {
            exemplar.observe(self.stage(stage), span.duration_micros);
            end_micros = end_micros.max(span.end_micros());
        }
        exemplar.observe(&self.server, end_micros.unsigned_abs());
    }

    /// Nothing is added to a frame any more: what lies outside of the server is known, if it ever will be.
    pub(super) fn settled(&self, record: &FrameRecord) {
        if record.outcome != Outcome::Answered {
            return;
        }
        let exemplar = Exemplar::of(record, record.kept.is_some());
        let is_outside = |stage: Stage| matches!(stage.side(), Side::Browser | Side::Network);
        for (stage, span) in record.spans.iter().filter(|(stage, _)| is_outside(*stage)) {
            exemplar.observe(self.stage(stage), span.duration_micros);
        }
        if record.is_painted {
            exemplar.observe(&self.latency, record.total_micros());
        }
    }

    fn stage(&self, stage: Stage) -> &Times {
        self.stages[stage as usize].get_or_init(|| Times::new(STAGE_BUCKETS.into_iter()))
    }
}

/// The trace that can be found, if there is one.
struct Exemplar(Option<(TraceLabel, SystemTime)>);

impl Exemplar {
    fn of(record: &FrameRecord, is_kept: bool) -> Self {
        Self(is_kept.then(|| (TraceLabel(record.trace_id), SystemTime::now())))
    }

    fn observe(&self, times: &Times, micros: u32) {
        let (label, time) = self.0.unzip();
        times.observe(f64::from(micros) / 1e6, label, time);
    }
}

/// The modes that were ever counted, but for those that are long gone.
#[derive(Debug, Default)]
pub(super) struct Modes(RwLock<Vec<OfMode>>);

impl Modes {
    /// Counts something of the mode `name`.
    pub(super) fn with<T>(&self, name: &Arc<str>, count: impl FnOnce(&OfMode) -> T) -> T {
        let is_it = |mode: &&OfMode| Arc::ptr_eq(&mode.name, name) || mode.name == *name;
        {
            let modes = read(&self.0);
            if let Some(mode) = modes.iter().find(is_it) {
                return count(mode);
            }
        }
        let mut modes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(mode) = modes.iter().find(is_it) {
            return count(mode);
        }
        let mode = OfMode::new(Arc::clone(name));
        let result = count(&mode);
        modes.push(mode);
        result
    }

    /// Notes which modes there are, makes those visible of which nothing was counted yet, and forgets those that are long gone.
    pub(super) fn see(&self, now: &[ModeNow]) {
        for mode in now {
            self.with(&mode.name, |_mode| ());
        }
        let mut modes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for mode in modes.iter_mut() {
            mode.is_in_force = now.iter().any(|now| now.name == mode.name && now.state.is_some());
            if mode.is_in_force {
                mode.seen = Instant::now();
            }
        }
        modes.retain(|mode| mode.in_flight.get() > 0 || mode.seen.elapsed() < FORGOTTEN_AFTER);
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let modes = read(&self.0);
        let seconds = Some(&Unit::Seconds);
        let mut frames = Vec::new();
        let mut failures = Vec::new();
        for mode in modes.iter() {
            let of_outcome = |outcome, reason| vec![("mode", &*mode.name), ("outcome", outcome), ("reason", reason)];
            frames.push((of_outcome("answered", ""), mode.answered.clone()));
            let dropped = mode.dropped.all().into_iter();
            frames.extend(dropped.map(|(reason, count)| (of_outcome("dropped", reason), count)));
            let failed = mode.failures.all().into_iter();
            failures.extend(failed.map(|(cause, count)| (vec![("mode", &*mode.name), ("cause", cause)], count)));
        }
        family(encoder, ("frames", "Frames by mode, outcome and the reason of a drop", None), frames)?;
        let help = "Calls of backends that failed, by mode and cause";
        family(encoder, ("backend_failures", help, None), failures)?;
        let help = "Instances that were started in the place of one that crashed";
        family(encoder, ("instance_restarts", help, None), each(&modes, |mode| &mode.restarts))?;
        let help = "How often a mode was taken out of service since its instances kept crashing";
        family(encoder, ("mode_given_up", help, None), each(&modes, |mode| &mode.given_up))?;
        // Of a mode that is gone only what it still does is told.
        let in_flight = modes.iter().filter(|mode| mode.is_in_force || mode.in_flight.get() > 0);
        let in_flight = in_flight.map(|mode| (vec![("mode", &*mode.name)], mode.in_flight.get()));
        gauges(encoder, ("frames_in_flight", "Frames that were received and not yet answered", None), in_flight)?;
        let stages = modes.iter().flat_map(|mode| {
            let stage = |stage: Stage| {
                let times = mode.stages[stage as usize].get()?.clone();
                Some((vec![("mode", &*mode.name), ("stage", stage.name())], times))
            };
            Stage::ALL.into_iter().filter_map(stage)
        });
        let help = "How long each stage of an answered frame took";
        family(encoder, ("stage_duration", help, seconds), stages)?;
        let help = "How long a frame waited for its turn, whatever became of it";
        family(encoder, ("queue_age", help, seconds), each(&modes, |mode| &mode.queue_age))?;
        let help = "From the receipt of an answered frame until the socket had taken its result";
        family(encoder, ("frame_server", help, seconds), each(&modes, |mode| &mode.server))?;
        let help = "From capture to paint, of frames whose client told of both";
        family(encoder, ("frame_latency", help, seconds), each(&modes, |mode| &mode.latency))
    }
}

/// The same metric of each mode.
fn each<'a, M: Clone + 'a>(
    modes: &'a [OfMode],
    metric: impl Fn(&OfMode) -> &M + 'a,
) -> impl Iterator<Item = (Vec<(&'static str, &'a str)>, M)> {
    modes.iter().map(move |mode| (vec![("mode", &*mode.name)], metric(mode).clone()))
}

/// One metric for each set of labels; nothing at all when there is none.
fn family<'a, M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, unit): (&str, &str, Option<&Unit>),
    metrics: impl IntoIterator<Item = (Vec<(&'static str, &'a str)>, M)>,
) -> fmt::Result {
    let mut metrics = metrics.into_iter().peekable();
    let Some((_, first)) = metrics.peek() else { return Ok(()) };
    let mut family = encoder.encode_descriptor(name, &format!("{help}."), unit, first.metric_type())?;
    metrics.try_for_each(|(labels, metric)| metric.encode(family.encode_family(&labels)?))
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
