//! Clients' pictures, taken along while somebody captures, and only then.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// All pictures of a capture together are not larger.
const LARGEST_LEN_BYTES: usize = 64 << 20;

/// What a capture brought.
#[derive(Debug, Default)]
pub struct Taken {
    /// The encoded frame of each trace.
    pub pictures: HashMap<[u8; 16], Vec<u8>>,
    /// How many there was no room for.
    pub left_out: u64,
    len_bytes: usize,
}

#[derive(Default)]
pub(super) struct Pictures {
    is_on: AtomicBool,
    taken: Mutex<Taken>,
}

impl Pictures {
    /// Without a capture this is a look at a flag.
    pub(super) fn take(&self, trace_id: [u8; 16], picture: &[u8]) {
        if !self.is_on.load(Ordering::Acquire) {
            return;
        }
        let mut taken = self.taken();
        // The capture may have ended meanwhile; and of two frames of one trace the first is enough.
        if !self.is_on.load(Ordering::Acquire) || taken.pictures.contains_key(&trace_id) {
            return;
        }
        if taken.len_bytes + picture.len() > LARGEST_LEN_BYTES {
            taken.left_out += 1;
            return;
        }
        taken.len_bytes += picture.len();
        taken.pictures.insert(trace_id, picture.to_vec());
    }

    pub(super) async fn capture(&self, duration: Duration) -> Option<Taken> {
        if self.is_on.swap(true, Ordering::AcqRel) {
            return None;
        }
        // Whoever goes away meanwhile ends the capture.
        let on = On(self);
        tokio::time::sleep(duration).await;
        let taken = std::mem::take(&mut *self.taken());
        drop(on);
        Some(taken)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A capture that goes on.
struct On<'a>(&'a Pictures);

impl Drop for On<'_> {
    fn drop(&mut self) {
        self.0.is_on.store(false, Ordering::Release);
        *self.0.taken() = Taken::default();
    }
}
