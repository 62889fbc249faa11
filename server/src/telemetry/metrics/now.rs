//! What nobody counts, since it is there to be looked at: the modes' states, what waits, memory, the time.

use std::{
    collections::HashSet,
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeGaugeValue},
    metrics::MetricType,
    registry::Unit,
};

use super::memory::{open_descriptors, resident_bytes};

/// What is true at this moment.
#[derive(Debug)]
pub struct Now {
    /// The modes in force, in the order of menus, and then those that only frames in flight still hold.
    pub modes: Vec<ModeNow>,
    /// A frame is slow that takes as long, in microseconds.
    pub slow_micros: u32,
}

/// A mode at this moment.
#[derive(Debug)]
pub struct ModeNow {
    /// What clients call it.
    pub name: Arc<str>,
    /// One of [`ModeNow::STATES`]; `None` for a mode that is not in force any more.
    pub state: Option<&'static str>,
    /// The model, its variant, and the plugin that runs it.
    pub model: String,
    /// The plugin.
    pub backend: String,
    /// SHA-256 of the plugin's file; empty until it was loaded once.
    pub build: String,
    /// How many instances it has; none unless it is ready.
    pub instances: usize,
    /// How many frames wait for one of them.
    pub waiting: u32,
    /// Its worker processes.
    pub workers: Vec<u32>,
}

impl ModeNow {
    /// What a mode may be doing. One that lacks nothing but an installation is no fault.
    pub const STATES: [&str; 5] = ["loading", "ready", "asleep", "not_installed", "unavailable"];
}

impl Now {
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let in_force = || self.modes.iter().filter(|mode| mode.state.is_some());
        let states = in_force().flat_map(|mode| {
            ModeNow::STATES.map(|state| {
                let labels = vec![("mode", &*mode.name), ("state", state)];
                (labels, i64::from(mode.state == Some(state)))
            })
        });
        gauges(encoder, ("mode_state", "1 for the state that a mode is in, 0 for the others", None), states)?;
        let described = in_force().map(|mode| {
            let labels =
                [("mode", &*mode.name), ("model", &mode.model), ("backend", &mode.backend), ("build", &mode.build)];
            (labels.to_vec(), 1_i64)
        });
        gauges(encoder, ("mode_info", "What serves a mode: its model, backend and build", None), described)?;
        let draining = self.modes.iter().filter(|mode| mode.state.is_none()).count() as i64;
        let help = "Models that were swapped out and that frames in flight still hold";
        gauges(encoder, ("models_draining", help, None), std::iter::once((Vec::new(), draining)))?;
        let instances = in_force().map(|mode| (of(mode), mode.instances as i64));
        gauges(encoder, ("instances", "Instances of the model behind a mode", None), instances)?;
        let waiting = in_force().map(|mode| (of(mode), i64::from(mode.waiting)));
        let help = "Frames that wait for an instance; modes that share a model tell the same";
        gauges(encoder, ("frames_waiting", help, None), waiting)?;
        let target = f64::from(self.slow_micros) / 1e6;
        let help = "A frame that takes as long is slow: telemetry.traces.slow_millis";
        gauges(encoder, ("frame_latency_target", help, Some(&Unit::Seconds)), std::iter::once((Vec::new(), target)))?;
        let help =
            "Memory of a mode's worker processes that is in RAM; a shared model counts for the first of its modes";
        gauges(encoder, ("worker_resident_memory", help, Some(&Unit::Bytes)), self.worker_memory().into_iter())
    }

    /// By mode. A process counts once, whoever shares it.
    fn worker_memory(&self) -> Vec<(Labels<'_>, i64)> {
        let mut counted = HashSet::new();
        let mut by_mode: Vec<(Labels<'_>, i64)> = Vec::new();
        for mode in &self.modes {
            let workers = mode.workers.iter().filter(|worker| counted.insert(**worker));
            let bytes: u64 = workers.filter_map(|worker| resident_bytes(&worker.to_string())).sum();
            let labels = of(mode);
            match by_mode.iter_mut().find(|(known, _)| *known == labels) {
                Some((_, known)) => *known += bytes.cast_signed(),
                None => by_mode.push((labels, bytes.cast_signed())),
            }
        }
        by_mode
    }
}

/// What is to be said of the server's own process.
pub(super) fn encode_process(encoder: &mut DescriptorEncoder<'_>, started: SystemTime) -> fmt::Result {
    let resident = resident_bytes("self").map(|bytes| (Vec::new(), bytes.cast_signed()));
    let help = "Memory of the server's own process that is in RAM";
    gauges(encoder, ("resident_memory", help, Some(&Unit::Bytes)), resident.into_iter())?;
    let descriptors = open_descriptors().map(|count| (Vec::new(), count));
    let help = "Files and sockets that the server's own process has open";
    gauges(encoder, ("open_descriptors", help, None), descriptors.into_iter())?;
    let lost = std::iter::once((Vec::new(), super::super::log::lost_lines() as i64));
    gauges(encoder, ("log_lines_lost", "Lines of the log that nobody took in time, since the start", None), lost)?;
    let started = started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let help = "When the server was started, in seconds since the epoch";
    gauges(encoder, ("start_time", help, Some(&Unit::Seconds)), std::iter::once((Vec::new(), started)))?;
    let version = vec![("version", env!("CARGO_PKG_VERSION"))];
    gauges(encoder, ("build_info", "Always 1; the version is in the label", None), std::iter::once((version, 1_i64)))
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

fn of(mode: &ModeNow) -> Labels<'_> {
    vec![("mode", &*mode.name)]
}

/// One gauge for each set of labels.
pub(super) fn gauges<'a, N: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, unit): (&str, &str, Option<&Unit>),
    values: impl Iterator<Item = (Labels<'a>, N)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, &format!("{help}."), unit, MetricType::Gauge)?;
    for (labels, value) in values {
        match labels.is_empty() {
            true => family.encode_gauge(&value)?,
            false => family.encode_family(&labels)?.encode_gauge(&value)?,
        }
    }
    Ok(())
}
