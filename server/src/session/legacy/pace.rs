//! How fast a session's frames are answered: what the legacy protocol tells with each of them.

use std::{collections::VecDeque, time::Instant};

use super::messages::LegacyReply;

/// How many of the last results count.
const RESULTS: usize = 100;

/// The last results of a session.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When each was ready, and how long the backend took for it, in microseconds.
    results: VecDeque<(Instant, u32)>,
}

impl Pace {
    /// Counts a result that is ready now.
    pub(super) fn count(&mut self, inference_micros: u32) {
        if self.results.len() == RESULTS {
            self.results.pop_front();
        }
        self.results.push_back((Instant::now(), inference_micros));
    }

    /// Results a second; 0 before the second one.
    pub(super) fn fps(&self) -> f64 {
        let (Some((first, _)), Some((last, _))) = (self.results.front(), self.results.back()) else { return 0.0 };
        let seconds = last.duration_since(*first).as_secs_f64();
        if seconds > 0.0 { ((self.results.len() - 1) as f64 / seconds * 10.0).round() / 10.0 } else { 0.0 }
    }

    /// How long the backend takes on average.
    pub(super) fn avg_inference_ms(&self) -> f64 {
        let total: u64 = self.results.iter().map(|&(_, micros)| u64::from(micros)).sum();
        millis((total / self.results.len().max(1) as u64) as u32)
    }

    /// All of it.
    pub(super) fn stats(&self) -> LegacyReply<'static> {
        let times = || self.results.iter().map(|&(_, micros)| micros);
        LegacyReply::Stats {
            avg_inference_ms: self.avg_inference_ms(),
            min_inference_ms: millis(times().min().unwrap_or(0)),
            max_inference_ms: millis(times().max().unwrap_or(0)),
            avg_fps: self.fps(),
        }
    }
}

/// Milliseconds, to a hundredth.
pub(super) fn millis(micros: u32) -> f64 {
    f64::from(micros / 10) / 100.0
}
