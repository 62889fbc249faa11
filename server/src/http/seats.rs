//! How many of something there are, all in all and of one address, against limits that may change at any time.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// Counts those that are taken.
#[derive(Default)]
pub(super) struct Seats {
    taken: watch::Sender<usize>,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// Taken by one session or connection, until it is dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
}

/// How many there may be.
#[derive(Clone, Copy)]
pub(super) struct Most {
    pub(super) of_all: usize,
    pub(super) of_an_address: usize,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// All are taken.
    All,
    /// Those of this address are.
    OfAddress,
}

impl Seats {
    /// Takes a seat for a client at `address`.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr, most: Most) -> Result<Seat, Full> {
        let address = counted_as(address);
        let mut by_address = self.by_address();
        let of_address = by_address.get(&address).copied().unwrap_or_default();
        if self.taken() >= most.of_all {
            return Err(Full::All);
        }
        if of_address >= most.of_an_address {
            return Err(Full::OfAddress);
        }
        by_address.insert(address, of_address + 1);
        self.taken.send_modify(|taken| *taken += 1);
        drop(by_address);
        Ok(Seat { seats: Arc::clone(self), address })
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        *self.taken.borrow()
    }

    /// Done when none is taken.
    pub(super) async fn all_free(&self) {
        // The sender is a part of `self`: waiting can't fail.
        let _ = self.taken.subscribe().wait_for(|taken| *taken == 0).await;
    }

    fn by_address(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut by_address = self.seats.by_address();
        if let Some(taken) = by_address.get_mut(&self.address) {
            *taken -= 1;
            if *taken == 0 {
                by_address.remove(&self.address);
            }
        }
        self.seats.taken.send_modify(|taken| *taken -= 1);
    }
}

/// Who has one address of IPv6 has the other 2^64 of its network, too.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_counted_by_address_and_given_back() {
        let seats = Arc::new(Seats::default());
        let most = Most { of_all: 3, of_an_address: 2 };
        let take = |address: &str| seats.take(address.parse().expect("an address"), most);
        let first = take("10.0.0.1").expect("room");
        let _second = take("::ffff:10.0.0.1").expect("room");
        assert_eq!(take("10.0.0.1").err(), Some(Full::OfAddress));
        let third = take("2001:db8::1").expect("room");
        assert_eq!(take("10.0.0.2").err(), Some(Full::All));
        drop(first);
        let _fourth = take("2001:db8::ffff:2").expect("room");
        drop(third);
        assert!(take("2001:db8::3").is_ok());
        assert_eq!(seats.taken(), 2);
    }
}
