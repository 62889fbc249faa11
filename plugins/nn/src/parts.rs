//! How the threads of a section write to one slice: each its own part.

/// A slice that several threads write disjoint parts of.
pub(crate) struct Parts<T> {
    start: *mut T,
    len: usize,
}

// SAFETY: `slice` hands out disjoint parts only, by its contract, so this sends `&mut [T]` to other threads.
unsafe impl<T: Send> Sync for Parts<T> {}

impl<T> Parts<T> {
    pub(crate) fn new(slice: &mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len() }
    }

    /// # Safety
    /// The slice given to `new` is still borrowed, and no other part in use overlaps `begin..end`.
    #[expect(clippy::mut_from_ref, reason = "the contract forbids overlapping parts")]
    pub(crate) unsafe fn slice(&self, begin: usize, end: usize) -> &mut [T] {
        assert!(begin <= end && end <= self.len);
        // SAFETY: in bounds by the assertion, unaliased by the contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(begin), end - begin) }
    }
}
