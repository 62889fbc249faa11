//! How far the server's clock is ahead of a client's.
//!
//! A message from the client can't come before it was sent, nor one to it: each way up bounds the difference from
//! above, each way down from below. The shortest ways of the last while bound it best; what is left between the two
//! bounds is the shortest round trip, and half of that is the error.

/// How long a bound counts at least, in microseconds. Two clocks drift apart by some ten microseconds a second.
const SPAN_MICROS: u64 = 10_000_000;

/// The bounds of one client's clock.
#[derive(Debug, Default)]
pub(super) struct ClockAlignment {
    now: Bounds,
    before: Bounds,
    since_micros: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    /// The server's clock is ahead by at most that much,
    upper: Option<i64>,
    /// and by at least that much.
    lower: Option<i64>,
}

/// Server's clock less client's, and how far that may be off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alignment {
    pub(super) offset_micros: i64,
    pub(super) error_micros: u32,
}

impl ClockAlignment {
    /// Something that was sent at `client` came at `server`.
    pub(super) fn came(&mut self, client: u64, server: u64) {
        let ahead = difference(server, client);
        self.turn(server);
        self.now.upper = Some(self.now.upper.map_or(ahead, |upper| upper.min(ahead)));
        if self.is_impossible() {
            *self = Self { now: Bounds { upper: Some(ahead), lower: None }, since_micros: server, ..Self::default() };
        }
    }

    /// Something that was sent at `server` came at `client`.
    pub(super) fn went(&mut self, server: u64, client: u64) {
        let ahead = difference(server, client);
        self.turn(server);
        self.now.lower = Some(self.now.lower.map_or(ahead, |lower| lower.max(ahead)));
        if self.is_impossible() {
            *self = Self { now: Bounds { upper: None, lower: Some(ahead) }, since_micros: server, ..Self::default() };
        }
    }

    /// What is known now; `None` until something went each way.
    pub(super) fn best(&self) -> Option<Alignment> {
        let Bounds { upper: Some(upper), lower: Some(lower) } = self.bounds() else { return None };
        let error_micros = u32::try_from((upper - lower + 1) / 2).unwrap_or(u32::MAX);
        Some(Alignment { offset_micros: lower + (upper - lower) / 2, error_micros })
    }

    fn bounds(&self) -> Bounds {
        let both = |a: Option<i64>, b: Option<i64>, choose: fn(i64, i64) -> i64| match (a, b) {
            (Some(a), Some(b)) => Some(choose(a, b)),
            (one, None) | (None, one) => one,
        };
        Bounds {
            upper: both(self.now.upper, self.before.upper, i64::min),
            lower: both(self.now.lower, self.before.lower, i64::max),
        }
    }

    /// One of the clocks was set.
    fn is_impossible(&self) -> bool {
        matches!(self.bounds(), Bounds { upper: Some(upper), lower: Some(lower) } if lower > upper)
    }

    fn turn(&mut self, server: u64) {
        if server.abs_diff(self.since_micros) > SPAN_MICROS {
            self.before = std::mem::take(&mut self.now);
            self.since_micros = server;
        }
    }
}

fn difference(a: u64, b: u64) -> i64 {
    // Half of the range is left for what is computed with it.
    const FAR: i64 = i64::MAX / 4;
    a.cast_signed().saturating_sub(b.cast_signed()).clamp(-FAR, FAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_ways_bound_the_clock() {
        let mut clock = ClockAlignment::default();
        assert_eq!(clock.best(), None);
        // The server is 5000 ahead. Up takes 300, then 100; down takes 900, then 200.
        clock.came(1_000, 1_000 + 5_000 + 300);
        assert_eq!(clock.best(), None, "one way alone says nothing");
        clock.went(20_000 + 5_000, 20_000 + 900);
        assert_eq!(clock.best(), Some(Alignment { offset_micros: 4_700, error_micros: 600 }));
        clock.came(30_000, 30_000 + 5_000 + 100);
        clock.went(40_000 + 5_000, 40_000 + 200);
        assert_eq!(clock.best(), Some(Alignment { offset_micros: 4_950, error_micros: 150 }));
        clock.came(50_000, 50_000 + 5_000 + 90_000);
        assert_eq!(clock.best(), Some(Alignment { offset_micros: 4_950, error_micros: 150 }), "a slow way tells less");
    }

    #[test]
    fn a_clock_that_was_set_is_learned_anew() {
        let mut clock = ClockAlignment::default();
        clock.came(0, 5_000);
        clock.went(6_000, 1_500);
        clock.came(1_000_000, 900_000);
        assert_eq!(clock.best(), None);
        clock.went(900_000, 1_000_100);
        assert_eq!(clock.best(), Some(Alignment { offset_micros: -100_050, error_micros: 50 }));
    }

    #[test]
    fn old_bounds_are_forgotten() {
        let mut clock = ClockAlignment::default();
        clock.came(0, 100);
        clock.went(100, 100);
        for second in 1..=40 {
            let at = second * 1_000_000;
            // It drifts by 20 microseconds a second, the other way.
            clock.came(at, at + 20 * second + 500);
            clock.went(at + 20 * second, at + 500);
        }
        let best = clock.best();
        assert!(best.is_some_and(|best| (600..=900).contains(&best.offset_micros)), "{best:?}");
    }

    #[test]
    fn any_numbers_are_borne() {
        let mut clock = ClockAlignment::default();
        for (client, server) in [(0, u64::MAX), (u64::MAX, 0), (1, 2), (u64::MAX / 2, u64::MAX / 2 + 9)] {
            clock.came(client, server);
            clock.went(server, client);
            clock.best();
        }
    }
}
