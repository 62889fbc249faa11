//! How many spans a second may be exported, whatever happens.

use std::time::Instant;

/// A second's worth of spans, filled again as time goes by.
pub(super) struct Budget {
    per_second: f64,
    left: f64,
    filled_at: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(0)
    }
}

impl Budget {
    pub(super) fn of(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, left: per_second, filled_at: Instant::now() }
    }

    /// Takes as many out, if they are there.
    pub(super) fn allows(&mut self, spans: usize) -> bool {
        let now = Instant::now();
        let earned = self.per_second * (now - self.filled_at).as_secs_f64();
        (self.left, self.filled_at) = ((self.left + earned).min(self.per_second), now);
        let is_allowed = spans as f64 <= self.left;
        if is_allowed {
            self.left -= spans as f64;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_second_allows_a_seconds_worth() {
        let mut budget = Budget::of(100);
        assert!(budget.allows(60));
        assert!(!budget.allows(60));
        assert!(budget.allows(30), "what is too much is refused, and nothing else");
        budget.filled_at -= Duration::from_secs(10);
        assert!(budget.allows(100));
        assert!(!budget.allows(10), "nothing is saved up");
    }
}
