//! How much a client may say in a second, and how long it may say nothing.

use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::LimitSettings;

/// Nobody is kept from being heard for longer than that by one message: limits may be raised meanwhile.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// What may still come: it fills up to the allowance of a second, in a second.
#[derive(Default)]
pub(super) struct Allowance(Option<(f64, Instant)>);

impl Allowance {
    /// What is left now.
    fn left(&self, per_second: f64, now: Instant) -> f64 {
        let filled = |(left, at): (f64, Instant)| left + per_second * now.duration_since(at).as_secs_f64();
        self.0.map_or(per_second, filled).min(per_second)
    }

    /// Takes one, if one is left.
    pub(super) fn try_take(&mut self, per_second: f64) -> bool {
        let now = Instant::now();
        let left = self.left(per_second, now);
        let is_there = left >= 1.0;
        self.0 = Some((left - f64::from(u8::from(is_there)), now));
        is_there
    }

    /// Takes `amount`, be it there or not; how long it takes until nothing is owed.
    fn take(&mut self, per_second: f64, amount: f64, now: Instant) -> Duration {
        let left = self.left(per_second, now) - amount;
        self.0 = Some((left, now));
        Duration::from_secs_f64((-left / per_second).clamp(0.0, LONGEST_REST.as_secs_f64()))
    }
}

/// How fast a client talks.
#[derive(Default)]
pub(super) struct Pace {
    messages: Allowance,
    bytes: Allowance,
}

impl Pace {
    /// How long to wait with the next message after one of `len_bytes`; `None` when that may come at once.
    pub(super) fn rest_after(&mut self, len_bytes: usize, limits: &LimitSettings) -> Option<Duration> {
        let now = Instant::now();
        let messages = self.messages.take(limits.max_messages_per_second.into(), 1.0, now);
        let bytes = self.bytes.take(limits.max_bytes_per_second as f64, len_bytes as f64, now);
        Some(messages.max(bytes)).filter(|rest| !rest.is_zero())
    }
}

/// What to do about a client that says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// Ask whether it is there.
    Ask,
    /// Take it for gone.
    Gone,
}

/// How long nothing has come. Its timer is set anew when it ends, not with every message.
pub(super) struct Silence {
    since: Instant,
    has_asked: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Default for Silence {
    fn default() -> Self {
        Self { since: Instant::now(), has_asked: false, timer: None }
    }
}

impl Silence {
    /// Something came.
    pub(super) fn heard(&mut self) {
        (self.since, self.has_asked) = (Instant::now(), false);
    }

    /// Done when nothing came for half of `timeout_millis`, and again when nothing came for all of it.
    pub(super) async fn noticed(&mut self, timeout_millis: u64) -> Idle {
        let timeout = Duration::from_millis(timeout_millis);
        loop {
            let due = self.since + if self.has_asked { timeout } else { timeout / 2 };
            if Instant::now() >= due {
                let idle = if self.has_asked { Idle::Gone } else { Idle::Ask };
                self.has_asked = true;
                return idle;
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if timer.deadline() > due || timer.is_elapsed() {
                timer.as_mut().reset(due);
            }
            timer.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn as_many_as_in_a_second_may_come_at_once_and_then_one_by_one() {
        let mut allowance = Allowance::default();
        assert_eq!((0..20).filter(|_| allowance.try_take(10.0)).count(), 10);
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!((0..20).filter(|_| allowance.try_take(10.0)).count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_owes_waits_until_nothing_is_owed_and_never_for_long() {
        let (mut allowance, now) = (Allowance::default(), Instant::now());
        assert_eq!(allowance.take(100.0, 100.0, now), Duration::ZERO);
        assert_eq!(allowance.take(100.0, 10.0, now), Duration::from_millis(100));
        assert_eq!(allowance.take(100.0, 1e9, now), LONGEST_REST);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_asked_about_once_and_then_it_is_the_end() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        assert_eq!((silence.noticed(1000).await, start.elapsed().as_millis()), (Idle::Ask, 500));
        silence.heard();
        assert_eq!((silence.noticed(1000).await, start.elapsed().as_millis()), (Idle::Ask, 1000));
        assert_eq!((silence.noticed(1000).await, start.elapsed().as_millis()), (Idle::Gone, 1500));
    }
}
