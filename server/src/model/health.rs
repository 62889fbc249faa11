//! Whether a model's instances keep crashing: when to start the next one, and when to give up for a while.

use std::time::{Duration, Instant};

/// After the second crash in a row the next instance waits so long, and twice as long after each further one.
const FIRST_REST: Duration = Duration::from_millis(50);

/// So many crashes in a row are no accident.
const GIVE_UP_AFTER: u32 = 6;

/// What happened lately.
#[derive(Default)]
pub(super) struct Health {
    crashes_in_a_row: u32,
    rest: Option<(Instant, String)>,
}

impl Health {
    /// A frame was segmented.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// An instance crashed for `reason`; whether it is time to give up.
    pub(super) fn crashed(&mut self, reason: String) -> bool {
        self.crashes_in_a_row += 1;
        if let Some(doublings) = self.crashes_in_a_row.checked_sub(2) {
            self.rest = Some((Instant::now() + FIRST_REST * 2_u32.saturating_pow(doublings.min(10)), reason));
        }
        self.crashes_in_a_row == GIVE_UP_AFTER
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
        health.succeeded();
        assert_eq!(health.resting(), None);
        assert!(!health.crashed("much later".into()));
    }
}
