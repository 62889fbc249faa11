//! Metrics for Prometheus. Names are `segue_<what>_<unit>[_total]`; no label grows with clients or frames.
//!
//! What is counted by mode is in `modes`; what is only looked at when Prometheus asks, in `now`.

mod memory;
mod modes;
mod now;
mod text;

use std::{sync::Arc, time::SystemTime};

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

pub use now::{ModeNow, Now};
pub use text::MetricsFormat;

use super::FrameRecord;
use modes::Modes;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct DirectionLabels {
    direction: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// What may become of a span.
const SPAN_OUTCOMES: [&str; 4] = ["exported", "not_exported", "queue_full", "over_budget"];

/// All metrics of a server.
pub struct Metrics {
    registry: Registry,
    modes: Arc<Modes>,
    received: Counter,
    sent: Counter,
    /// Sessions now.
    pub sessions: Gauge,
    /// Connections and sessions that were let in no further.
    pub refused_connections: Counter,
    reloads: Family<OutcomeLabels, Counter>,
    last_reload_successful: Gauge,
    generation: Gauge,
    swaps: Family<OutcomeLabels, Counter>,
    refused_builds: Gauge,
    spans: Family<OutcomeLabels, Counter>,
    started: SystemTime,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("segue");
        let bytes = Family::<DirectionLabels, Counter>::default();
        registry.register_with_unit("payload", "Payload of frames and results", Unit::Bytes, bytes.clone());
        let sessions = Gauge::default();
        registry.register("sessions", "Sessions now", sessions.clone());
        let refused_connections = Counter::default();
        let help = "Connections and sessions that were let in no further, for a limit of their number";
        registry.register("connections_refused", help, refused_connections.clone());
        let generation = Gauge::default();
        registry.register("config_generation", "Generation of the configuration in force", generation.clone());
        let reloads = Family::<OutcomeLabels, Counter>::default();
        registry.register("config_reloads", "Attempts to reload the configuration, by outcome", reloads.clone());
        let last_reload_successful = Gauge::default();
        let help = "1 when the files hold what is in force, 0 while a rejected edit stands";
        registry.register("config_last_reload_successful", help, last_reload_successful.clone());
        let swaps = Family::<OutcomeLabels, Counter>::default();
        registry.register("swaps", "Attempts to swap the build behind a mode, by outcome", swaps.clone());
        let refused_builds = Gauge::default();
        let help = "Modes for which a build lies there that was refused";
        registry.register("refused_builds", help, refused_builds.clone());
        let spans = Family::<OutcomeLabels, Counter>::default();
        registry.register("spans", "Spans that were to be exported, by what became of them", spans.clone());
        for outcome in SPAN_OUTCOMES {
            drop(spans.get_or_create(&OutcomeLabels { outcome }));
        }
        Self {
            registry,
            modes: Arc::default(),
            received: bytes.get_or_create_owned(&DirectionLabels { direction: "received" }),
            sent: bytes.get_or_create_owned(&DirectionLabels { direction: "sent" }),
            sessions,
            refused_connections,
            reloads,
            last_reload_successful,
            generation,
            swaps,
            refused_builds,
            spans,
            started: SystemTime::now(),
        }
    }
}

impl Metrics {
    /// A frame of `mode` came.
    pub(super) fn began(&self, mode: &Arc<str>) {
        self.modes.with(mode, |mode| mode.began());
    }

    /// Counts a frame whose way through the server has ended. One that is kept can be found by its trace's id.
    pub(super) fn observe(&self, record: &FrameRecord, is_kept: bool) {
        self.modes.with(&record.mode, |mode| mode.ended(record, is_kept));
    }

    /// Adds what is known of a frame once nothing is added to it any more.
    pub(super) fn observe_settled(&self, record: &FrameRecord) {
        self.modes.with(&record.mode, |mode| mode.settled(record));
    }

    /// Counts spans that were to be exported.
    pub(super) fn count_spans(&self, outcome: &'static str, spans: usize) {
        self.spans.get_or_create(&OutcomeLabels { outcome }).inc_by(spans as u64);
    }

    /// Counts an attempt to reload the configuration. `is_good` tells whether the files hold what is in force.
    pub fn count_reload(&self, outcome: &'static str, is_good: bool) {
        self.reloads.get_or_create(&OutcomeLabels { outcome }).inc();
        self.last_reload_successful.set(is_good.into());
    }

    /// Tells the generation in force.
    pub fn set_generation(&self, generation: u32) {
        self.generation.set(generation.into());
    }

    /// Counts an attempt to swap a build. `refused` tells for how many modes a refused one lies there.
    pub fn count_swap(&self, outcome: &'static str, refused: usize) {
        self.swaps.get_or_create(&OutcomeLabels { outcome }).inc();
        self.set_refused(refused);
    }

    /// Tells for how many modes a refused build lies there.
    pub fn set_refused(&self, refused: usize) {
        self.refused_builds.set(refused as i64);
    }

    /// Counts a call of the backend behind `mode` that failed.
    pub fn count_failure(&self, mode: &Arc<str>, cause: &'static str) {
        self.modes.with(mode, |mode| mode.failures.count(cause));
    }

    /// Counts an instance that was started in the place of one that crashed.
    pub fn count_restart(&self, mode: &Arc<str>) {
        self.modes.with(mode, |mode| mode.restarts.inc());
    }

    /// Counts that `mode` was taken out of service.
    pub fn count_given_up(&self, mode: &Arc<str>) {
        self.modes.with(mode, |mode| mode.given_up.inc());
    }

    /// Makes `outcomes` of reloads and swaps visible before the first of them.
    pub fn expect_reloads(&self, outcomes: &[&'static str]) {
        for &outcome in outcomes {
            drop(self.reloads.get_or_create(&OutcomeLabels { outcome }));
            drop(self.swaps.get_or_create(&OutcomeLabels { outcome }));
        }
    }

    /// Counts payload of frames.
    pub fn count_received(&self, len_bytes: usize) {
        self.received.inc_by(len_bytes as u64);
    }

    /// Counts payload of results.
    pub fn count_sent(&self, len_bytes: usize) {
        self.sent.inc_by(len_bytes as u64);
    }

    /// The text that Prometheus scrapes, with what else is true `now`.
    pub fn text(&self, now: Now, format: MetricsFormat) -> String {
        self.modes.see(&now.modes);
        let mut looked_at = Registry::with_prefix("segue");
        let scrape = Scrape { modes: Arc::clone(&self.modes), now, started: self.started };
        looked_at.register_collector(Box::new(scrape));
        let mut text = String::new();
        let written = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &looked_at))
            .and_then(|()| encode_eof(&mut text));
        match written {
            Ok(()) => format.of(text),
            Err(error) => format!("# {error}\n"),
        }
    }
}

/// What is put together when Prometheus asks.
#[derive(Debug)]
struct Scrape {
    modes: Arc<Modes>,
    now: Now,
    started: SystemTime,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        self.modes.encode(&mut encoder)?;
        self.now.encode(&mut encoder)?;
        now::encode_process(&mut encoder, self.started)
    }
}
