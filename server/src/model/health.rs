//! Whether a model's instances keep crashing: when to start the next one, and when to give up for a while.

use std::time::{Duration, Instant};

/// After the second crash in a row the next instance waits so long, and twice as long after each further one.
const FIRST_REST: Duration = Duration::from_millis(50);

/// What a crash weighs, in successes: a backend that crashes at every tenth frame or more often is given up some time.
const CRASH: u32 = 10;

/// So many crashes, less what successes have made good, are no accident.
const GIVE_UP_AT: u32 = 6 * CRASH;

/// What happened lately.
#[derive(Default)]
pub(super) struct Health {
    strikes: u32,
    crashes_in_a_row: u32,
    rest: Option<(Instant, String)>,
}

impl Health {
    /// A frame was segmented.
    pub(super) fn succeeded(&mut self) {
        *self = Self { strikes: self.strikes.saturating_sub(1), ..Self::default() };
    }

    /// An instance crashed for `reason`; whether it is time to give up.
    pub(super) fn crashed(&mut self, reason: String) -> bool {
        self.crashes_in_a_row += 1;
        let before = self.strikes;
        self.strikes += CRASH;
        if let Some(doublings) = self.crashes_in_a_row.checked_sub(2) {
            self.rest = Some((Instant::now() + FIRST_REST * 2_u32.saturating_pow(doublings.min(10)), reason));
        }
        before < GIVE_UP_AT && self.strikes >= GIVE_UP_AT
    }

    /// The last crash's reason, while the next instance has to wait.
    pub(super) fn resting(&self) -> Option<&str> {
        let (until, reason) = self.rest.as_ref()?;
        (Instant::now() < *until).then_some(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_crash_is_an_accident_and_six_in_a_row_are_not() {
        let mut health = Health::default();
        assert!(!health.crashed("first".into()));
        assert_eq!(health.resting(), None);
        assert!(!health.crashed("second".into()));
        assert_eq!(health.resting(), Some("second"));
        assert!((3..6).all(|_| !health.crashed("again".into())));
        assert!(health.crashed("sixth".into()));
        assert!(!health.crashed("it is told once".into()));
        health.succeeded();
        assert_eq!(health.resting(), None);
    }

    #[test]
    fn a_backend_that_crashes_too_often_is_given_up_though_it_works_in_between() {
        let is_given_up = |successes: usize| {
            let mut health = Health::default();
            (0..1000).any(|_| {
                (0..successes).for_each(|_| health.succeeded());
                health.crashed("again".into())
            })
        };
        assert!(is_given_up(1) && is_given_up(9));
        assert!(!is_given_up(10) && !is_given_up(100));
    }
}
