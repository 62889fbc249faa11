//! Metrics for Prometheus. Names are `segue_<what>_<unit>[_total]`; no label grows with clients or frames.

use std::sync::Arc;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{FrameTrace, Stage};

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A result was sent.
    Answered,
    /// A `dropped` was sent, with this reason.
    Dropped(&'static str),
}

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
        Self { registry, frames, stages, bytes, sessions, reloads, last_reload_successful, generation }
    }
}

/// From 0.1 ms to 10 s.
fn stage_histogram() -> Histogram {
    Histogram::new([1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0])
}

impl Metrics {
    /// Counts one frame.
    pub fn count_frame(&self, mode: &Arc<str>, outcome: Outcome) {
        let (outcome, reason) = match outcome {
            Outcome::Answered => ("answered", ""),
            Outcome::Dropped(reason) => ("dropped", reason),
        };
        self.frames.get_or_create(&FrameLabels { mode: Arc::clone(mode), outcome, reason }).inc();
    }

    /// Counts an attempt to reload the configuration. `is_good` tells whether the files hold what is in force.
    pub fn count_reload(&self, outcome: &'static str, generation: u32, is_good: bool) {
        self.reloads.get_or_create(&ReloadLabels { outcome }).inc();
        self.last_reload_successful.set(is_good.into());
        self.generation.set(generation.into());
    }

    /// Makes `outcomes` visible before the first of them.
    pub fn expect_reloads(&self, outcomes: &[&'static str]) {
        for &outcome in outcomes {
            drop(self.reloads.get_or_create(&ReloadLabels { outcome }));
        }
    }

    /// Adds the stages of an answered frame.
    pub fn observe_stages(&self, mode: &Arc<str>, trace: &FrameTrace) {
        for stage in Stage::ALL {
            let labels = StageLabels { mode: Arc::clone(mode), stage: stage.name() };
            self.stages.get_or_create(&labels).observe(f64::from(trace.micros(stage)) / 1e6);
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
