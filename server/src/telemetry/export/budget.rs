//! How many spans may be exported in a second, whatever happens.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

const SECOND: Duration = Duration::from_secs(1);

/// Spans that were let through within as much time are noted together, so that a note is small whatever the budget.
const SLICE: Duration = Duration::from_millis(10);

/// What was let through in the last second.
#[derive(Default)]
pub(super) struct Budget {
    per_second: usize,
    /// Oldest first: since when, and how many.
    spent: VecDeque<(Instant, usize)>,
    in_all: usize,
}

impl Budget {
    /// As many from now on. What was let through in the last second counts on.
    pub(super) fn change(&mut self, per_second: u32) {
        self.per_second = per_second as usize;
    }

    /// Lets as many through at `now`, unless that makes too many for a second that ends then.
    pub(super) fn allows(&mut self, spans: usize, now: Instant) -> bool {
        while let Some(&(since, count)) = self.spent.front()
            && now.saturating_duration_since(since) >= SECOND + SLICE
        {
            self.spent.pop_front();
            self.in_all -= count;
        }
        if self.in_all + spans > self.per_second {
            return false;
        }
        self.in_all += spans;
        match self.spent.back_mut() {
            Some((since, count)) if now.saturating_duration_since(*since) < SLICE => *count += spans,
            _ => self.spent.push_back((now, spans)),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_than_its_budget() {
        let (mut budget, start) = (Budget::default(), Instant::now());
        budget.change(100);
        let mut let_through = Vec::new();
        for millis in (0..5000).step_by(3) {
            if budget.allows(7, start + Duration::from_millis(millis)) {
                let_through.push(millis);
            }
        }
        for &from in &let_through {
            let in_second = let_through.iter().filter(|&&millis| (from..from + 1000).contains(&millis)).count();
            assert!(in_second * 7 <= 100, "{} spans in the second from {from} ms", in_second * 7);
        }
        assert!(let_through.len() * 7 > 450, "{} spans in five seconds", let_through.len() * 7);
    }

    #[test]
    fn what_is_too_much_is_refused_and_nothing_else() {
        let (mut budget, start) = (Budget::default(), Instant::now());
        budget.change(100);
        assert!(budget.allows(60, start));
        assert!(!budget.allows(60, start));
        assert!(budget.allows(30, start));
        budget.change(200);
        assert!(budget.allows(110, start));
        assert!(!budget.allows(1, start), "what was let through counts on");
        assert!(budget.allows(200, start + 2 * SECOND));
    }
}
