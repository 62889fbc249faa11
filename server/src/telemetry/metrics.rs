//! Metrics for Prometheus. Names are `segue_<what>_<unit>[_total]`; no label grows with clients or frames.

use std::sync::Arc;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{FrameRecord, Outcome};

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct FrameLabels {
    mode: Arc<str>,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct StageLabels {
    mode: Arc<str>,
    stage: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct DirectionLabels {
    direction: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ModeLabels {
    mode: Arc<str>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct FailureLabels {
    mode: Arc<str>,
    cause: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct SpanLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ReloadLabels {
    outcome: &'static str,
}

/// All metrics of a server.
pub struct Metrics {
    registry: Registry,
    frames: Family<FrameLabels, Counter>,
    stages: Family<StageLabels, Histogram, fn() -> Histogram>,
    bytes: Family<DirectionLabels, Counter>,
    /// Sessions now.
    pub sessions: Gauge,
    reloads: Family<ReloadLabels, Counter>,
    last_reload_successful: Gauge,
    generation: Gauge,
    swaps: Family<ReloadLabels, Counter>,
    refused_builds: Gauge,
    failures: Family<FailureLabels, Counter>,
    instances_started: Family<ModeLabels, Counter>,
    given_up: Family<ModeLabels, Counter>,
    spans: Family<SpanLabels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("segue");
        let frames = Family::<FrameLabels, Counter>::default();
        registry.register("frames", "Frames by mode, outcome and the reason of a drop", frames.clone());
        let stages = Family::new_with_constructor(stage_histogram as fn() -> Histogram);
        let help = "How long each stage of an answered frame took";
        registry.register_with_unit("stage_duration", help, Unit::Seconds, stages.clone());
        let bytes = Family::<DirectionLabels, Counter>::default();
        registry.register_with_unit("payload", "Payload of frames and results", Unit::Bytes, bytes.clone());
        let sessions = Gauge::default();
        registry.register("sessions", "Sessions now", sessions.clone());
        let generation = Gauge::default();
        registry.register("config_generation", "Generation of the configuration in force", generation.clone());
        let reloads = Family::<ReloadLabels, Counter>::default();
        registry.register("config_reloads", "Attempts to reload the configuration, by outcome", reloads.clone());
        let last_reload_successful = Gauge::default();
        let help = "1 when the files hold what is in force, 0 while a rejected edit stands";
        registry.register("config_last_reload_successful", help, last_reload_successful.clone());
        let swaps = Family::<ReloadLabels, Counter>::default();
        registry.register("swaps", "Attempts to swap the build behind a mode, by outcome", swaps.clone());
        let refused_builds = Gauge::default();
        let help = "Modes for which a build lies there that was refused";
        registry.register("refused_builds", help, refused_builds.clone());
        let failures = Family::<FailureLabels, Counter>::default();
        registry.register("backend_failures", "Calls of backends that failed, by mode and cause", failures.clone());
        let instances_started = Family::<ModeLabels, Counter>::default();
        let help = "Instances that were started in the place of one that crashed";
        registry.register("instance_restarts", help, instances_started.clone());
        let given_up = Family::<ModeLabels, Counter>::default();
        let help = "How often a mode was taken out of service since its instances kept crashing";
        registry.register("mode_given_up", help, given_up.clone());
        let spans = Family::<SpanLabels, Counter>::default();
        registry.register("spans", "Spans that were to be exported, by what became of them", spans.clone());
        Self {
            registry,
            frames,
            stages,
            bytes,
            sessions,
            reloads,
            last_reload_successful,
            generation,
            swaps,
            refused_builds,
            failures,
            instances_started,
            given_up,
            spans,
        }
    }
}

/// From 0.1 ms to 10 s.
fn stage_histogram() -> Histogram {
    Histogram::new([1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0])
}

impl Metrics {
    /// Counts a frame whose way through the server has ended.
    pub(super) fn observe(&self, record: &FrameRecord) {
        let (outcome, reason) = record.outcome.names();
        self.frames.get_or_create(&FrameLabels { mode: Arc::clone(&record.mode), outcome, reason }).inc();
        if record.outcome == Outcome::Answered {
            for (stage, span) in record.spans.iter() {
                let labels = StageLabels { mode: Arc::clone(&record.mode), stage: stage.name() };
                self.stages.get_or_create(&labels).observe(f64::from(span.duration_micros) / 1e6);
            }
        }
    }

    /// Adds what is known of a frame once nothing is added to it any more.
    pub(super) fn observe_settled(&self, _record: &FrameRecord) {}

    /// Counts spans that were to be exported.
    pub(super) fn count_spans(&self, outcome: &'static str, spans: usize) {
        self.spans.get_or_create(&SpanLabels { outcome }).inc_by(spans as u64);
    }

    /// Counts an attempt to reload the configuration. `is_good` tells whether the files hold what is in force.
    pub fn count_reload(&self, outcome: &'static str, is_good: bool) {
        self.reloads.get_or_create(&ReloadLabels { outcome }).inc();
        self.last_reload_successful.set(is_good.into());
    }

    /// Tells the generation in force.
    pub fn set_generation(&self, generation: u32) {
        self.generation.set(generation.into());
    }

    /// Counts an attempt to swap a build. `refused` tells for how many modes a refused one lies there.
    pub fn count_swap(&self, outcome: &'static str, refused: usize) {
        self.swaps.get_or_create(&ReloadLabels { outcome }).inc();
        self.set_refused(refused);
    }

    /// Tells for how many modes a refused build lies there.
    pub fn set_refused(&self, refused: usize) {
        self.refused_builds.set(refused as i64);
    }

    /// Counts a call of the backend behind `mode` that failed.
    pub fn count_failure(&self, mode: &Arc<str>, cause: &'static str) {
        self.failures.get_or_create(&FailureLabels { mode: Arc::clone(mode), cause }).inc();
    }

    /// Counts an instance that was started in the place of one that crashed.
    pub fn count_restart(&self, mode: &Arc<str>) {
        self.instances_started.get_or_create(&ModeLabels { mode: Arc::clone(mode) }).inc();
    }

    /// Counts that `mode` was taken out of service.
    pub fn count_given_up(&self, mode: &Arc<str>) {
        self.given_up.get_or_create(&ModeLabels { mode: Arc::clone(mode) }).inc();
    }

    /// Makes `outcomes` of reloads and swaps visible before the first of them.
    pub fn expect_reloads(&self, outcomes: &[&'static str]) {
        for &outcome in outcomes {
            drop(self.reloads.get_or_create(&ReloadLabels { outcome }));
            drop(self.swaps.get_or_create(&ReloadLabels { outcome }));
        }
    }

    /// Counts payload: `direction` is "received" or "sent".
    pub fn count_bytes(&self, direction: &'static str, len_bytes: usize) {
        self.bytes.get_or_create(&DirectionLabels { direction }).inc_by(len_bytes as u64);
    }

    /// The text that Prometheus scrapes.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# {error}\n"),
        }
    }
}
