//! Memory for a forward pass: images are cut out of one region, and their memory is used again when they are
//! dropped.
//!
//! A network asks for the same images in the same order for each frame. The first pass takes them from the heap
//! and finds out how large a region they need; later ones take nothing from the heap.
//! Invariant: two images in use never share memory, and the region moves only while none is in use.

use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::buffer::Buffer;

/// Images start at multiples of a cache line.
const LINE: usize = 16;

/// Where images get their memory from.
#[derive(Clone, Debug, Default)]
pub(super) struct Arena(Arc<Mutex<Region>>);

#[derive(Debug, Default)]
struct Region {
    memory: Buffer,
    /// Where `memory` begins and how long it is: images are reached by that alone, as a reference to the whole would
    /// claim theirs.
    bounds: Option<(NonNull<f32>, usize)>,
    /// What is not in use, in order, as if the region had no end.
    free: Vec<Range<usize>>,
    /// The end of what was ever in use at once.
    reach: usize,
    in_use: usize,
}

// SAFETY: `bounds` points into `memory`, which moves along.
unsafe impl Send for Region {}

impl Region {
    /// The first gap of this length.
    fn take(&mut self, len: usize) -> usize {
        if self.in_use == 0 {
            self.free.clear();
            self.free.push(0..usize::MAX);
            self.memory.grow(self.reach);
            self.bounds = Some((NonNull::from(&mut self.memory[..]).cast(), self.memory.len()));
        }
        self.in_use += 1;
        let at = self.free.iter().position(|gap| gap.len() >= len).unwrap_or(self.free.len() - 1);
        let start = self.free[at].start;
        self.free[at].start += len;
        if self.free[at].is_empty() {
            self.free.remove(at);
        }
        self.reach = self.reach.max(start + len);
        start
    }

    fn give_back(&mut self, range: Range<usize>) {
        self.in_use -= 1;
        let at = self.free.partition_point(|gap| gap.start < range.start);
        self.free.insert(at, range);
        if at + 1 < self.free.len() && self.free[at].end == self.free[at + 1].start {
            self.free[at].end = self.free.remove(at + 1).end;
        }
        if at > 0 && self.free[at - 1].end == self.free[at].start {
            self.free[at - 1].end = self.free.remove(at).end;
        }
    }
}

impl Arena {
    fn region(&self) -> MutexGuard<'_, Region> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most that was in use at once, in f32.
    pub(super) fn reach(&self) -> usize {
        self.region().reach
    }

    /// Memory for `len` values, of any value.
    pub(super) fn take(&self, len: usize) -> Memory {
        let padded = len.next_multiple_of(LINE).max(LINE);
        let mut region = self.region();
        let start = region.take(padded);
        let range = start..start + padded;
        match region.bounds.filter(|(_, len)| range.end <= *len) {
            Some((memory, _)) => {
                // SAFETY: the range is within the memory.
                let place = unsafe { memory.add(range.start) };
                Memory { place, len, owner: Owner::Arena(self.clone(), range) }
            }
            None => {
                let mut own = Buffer::zeroed(len);
                let place = NonNull::from(&mut own[..]).cast();
                Memory { place, len, owner: Owner::Heap(own, Some((self.clone(), range))) }
            }
        }
    }
}

/// The values of one image.
#[derive(Debug)]
pub(super) struct Memory {
    place: NonNull<f32>,
    len: usize,
    owner: Owner,
}

#[derive(Debug)]
enum Owner {
    Arena(Arena, Range<usize>),
    #[expect(dead_code, reason = "held for the memory that `place` points to")]
    Heap(Buffer, Option<(Arena, Range<usize>)>),
}

// SAFETY: a `Memory` is the only one that reads or writes its values.
unsafe impl Send for Memory {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for Memory {}

impl Memory {
    /// Values that outlive all frames.
    pub(super) fn own(values: &[f32]) -> Self {
        let mut own = Buffer::zeroed(values.len());
        own.copy_from_slice(values);
        Self { place: NonNull::from(&mut own[..]).cast(), len: values.len(), owner: Owner::Heap(own, None) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Owner::Arena(arena, range) | Owner::Heap(_, Some((arena, range))) = &self.owner {
            arena.region().give_back(range.clone());
        }
    }
}

impl Deref for Memory {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `place` points to `len` values, which nobody else has until this is dropped: the region moves
        // only while nothing is in use, and a buffer's memory stays where it is when the buffer moves.
        unsafe { std::slice::from_raw_parts(self.place.as_ptr(), self.len) }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.place.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_pass_takes_nothing_from_the_heap() {
        let arena = Arena::default();
        for pass in 0..3 {
            let (mut a, b) = (arena.take(100), arena.take(1000));
            a.fill(1.0);
            drop(b);
            let c = arena.take(900);
            assert_eq!(matches!(c.owner, Owner::Arena(..)), pass > 0);
            assert!(a.iter().all(|&value| value == 1.0));
            assert_eq!(c.len(), 900);
        }
        assert_eq!(arena.region().reach, 112 + 1008, "memory is used again");
        assert_eq!(arena.region().in_use, 0);
    }

    #[test]
    fn gaps_grow_together_again() {
        let arena = Arena::default();
        let images: Vec<_> = (0..4).map(|_| arena.take(16)).collect();
        let [a, b, c, d] = images.try_into().unwrap();
        drop(b);
        drop(d);
        drop(c);
        drop(arena.take(48));
        assert_eq!(arena.region().reach, 64);
        drop(a);
    }
}
