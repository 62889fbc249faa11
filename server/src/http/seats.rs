//! How many sessions there are, against a limit that may change at any time.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts those that are taken.
#[derive(Default)]
pub(super) struct Seats(watch::Sender<usize>);

/// Taken by one session, until it is dropped.
pub(super) struct Seat(Arc<Seats>);

impl Seats {
    /// Takes a seat, unless `max` are taken.
    pub(super) fn take(self: &Arc<Self>, max: usize) -> Option<Seat> {
        let is_taken = self.0.send_if_modified(|taken| {
            let has_room = *taken < max;
            *taken += usize::from(has_room);
            has_room
        });
        is_taken.then(|| Seat(Arc::clone(self)))
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        *self.0.borrow()
    }

    /// Done when none is taken.
    pub(super) async fn all_free(&self) {
        // The sender is a part of `self`: waiting can't fail.
        let _ = self.0.subscribe().wait_for(|taken| *taken == 0).await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.send_modify(|taken| *taken -= 1);
    }
}
