//! Which frames are worth more than their place in the ring. Decided at a frame's end, when all is known of it.

use super::{FrameRecord, Kept, Outcome, record::BACKEND_FAILED};
use crate::config::{KeepReason, TraceSettings};

/// What the profile says of traces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) frames_per_session: usize,
    pub(super) slow_micros: u32,
    keeps_slow: bool,
    keeps_failed: bool,
    keeps_dropped: bool,
    keeps_asked: bool,
    /// Of 2^56 trace ids as many are sampled.
    sampled_ids: u64,
}

/// So many of a trace id's last bits are random, by W3C's Trace Context.
const RANDOM_BITS: u32 = 56;

impl From<&TraceSettings> for Policy {
    fn from(settings: &TraceSettings) -> Self {
        let keeps = |reason| settings.keep.contains(&reason);
        let sample_ratio = match settings.sample_ratio {
            0.0 => ratio_of_environment(|name| std::env::var(name).ok()).unwrap_or(0.0),
            ratio => ratio,
        };
        Self {
            frames_per_session: settings.frames_per_session,
            slow_micros: settings.slow_millis.saturating_mul(1000),
            keeps_slow: keeps(KeepReason::Slow),
            keeps_failed: keeps(KeepReason::Failed),
            keeps_dropped: keeps(KeepReason::Dropped),
            keeps_asked: keeps(KeepReason::Asked),
            sampled_ids: (sample_ratio * (1_u64 << RANDOM_BITS) as f64) as u64,
        }
    }
}

/// What `OTEL_TRACES_SAMPLER` says. A frame's client decides for itself by asking, so that those "based on the parent"
/// say the same as the others.
fn ratio_of_environment(variable: impl Fn(&str) -> Option<String>) -> Option<f64> {
    let sampler = variable("OTEL_TRACES_SAMPLER")?;
    match sampler.strip_prefix("parentbased_").unwrap_or(&sampler) {
        "always_on" => Some(1.0),
        "traceidratio" => {
            let ratio: f64 = variable("OTEL_TRACES_SAMPLER_ARG").map_or(Some(1.0), |ratio| ratio.parse().ok())?;
            Some(ratio.clamp(0.0, 1.0))
        }
        _off => None,
    }
}

impl Default for Policy {
    fn default() -> Self {
        let settings = TraceSettings {
            frames_per_session: 64,
            slow_millis: 200,
            keep: Vec::new(),
            sample_ratio: 0.0,
            max_spans_per_second: 1000,
        };
        Self::from(&settings)
    }
}

impl Policy {
    /// Why a frame is kept; `None` when it is like all others.
    pub(super) fn keeps(&self, record: &FrameRecord) -> Option<Kept> {
        let is_failed = record.outcome == Outcome::Dropped(BACKEND_FAILED);
        let is_dropped = matches!(record.outcome, Outcome::Dropped(_));
        match () {
            () if self.keeps_asked && record.is_asked_for => Some(Kept::Asked),
            () if self.keeps_failed && is_failed => Some(Kept::Failed),
            () if self.keeps_dropped && is_dropped && !is_failed => Some(Kept::Dropped),
            () if self.keeps_slow && self.is_slow(record) => Some(Kept::Slow),
            () if self.samples(record) => Some(Kept::Sampled),
            () => None,
        }
    }

    /// Whether it will be kept, whatever becomes of it.
    pub(super) fn keeps_from_the_start(&self, record: &FrameRecord) -> bool {
        (self.keeps_asked && record.is_asked_for) || self.samples(record)
    }

    /// As other programs decide it that sample by the same ratio.
    fn samples(&self, record: &FrameRecord) -> bool {
        let random = u128::from_be_bytes(record.trace_id) as u64 & ((1 << RANDOM_BITS) - 1);
        random >= (1 << RANDOM_BITS) - self.sampled_ids
    }

    fn is_slow(&self, record: &FrameRecord) -> bool {
        record.total_micros() >= self.slow_micros
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environments_sampler_counts_where_the_profile_is_silent() {
        let ratio = |sampler: &str, argument: Option<&str>| {
            ratio_of_environment(|name| match name {
                "OTEL_TRACES_SAMPLER" => Some(sampler.to_owned()),
                _ => argument.map(str::to_owned),
            })
        };
        assert_eq!(ratio("always_on", None), Some(1.0));
        assert_eq!(ratio("parentbased_traceidratio", Some("0.25")), Some(0.25));
        assert_eq!(ratio("traceidratio", None), Some(1.0));
        assert_eq!(ratio("traceidratio", Some("many")), None);
        assert_eq!(ratio("parentbased_always_off", None), None);
        assert_eq!(ratio_of_environment(|_name| None), None);
    }
}
