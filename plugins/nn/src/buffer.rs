//! Memory for activations and packed weights, aligned to a cache line and to the widest vector.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use half::bf16;

const LINE_BYTES: usize = 64;

/// Numbers of which zero is zero bits, any bits are one, and a cache line holds some without a rest.
///
/// # Safety
/// That is so.
pub unsafe trait Bits: Copy + Debug + Send + Sync + 'static {}

// SAFETY: floats of 32 bits.
unsafe impl Bits for f32 {}
// SAFETY: floats of 16 bits.
unsafe impl Bits for bf16 {}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; LINE_BYTES]);

/// A slice of numbers that starts on a cache line.
#[derive(Clone, Debug)]
pub struct Buffer<T: Bits = f32> {
    lines: Vec<Line>,
    len: usize,
    numbers: PhantomData<T>,
}

impl<T: Bits> Default for Buffer<T> {
    fn default() -> Self {
        Self { lines: Vec::new(), len: 0, numbers: PhantomData }
    }
}

impl<T: Bits> Buffer<T> {
    const LINE: usize = LINE_BYTES / size_of::<T>();

    /// `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        Self { lines: vec![Line([0; LINE_BYTES]); len.div_ceil(Self::LINE)], len, numbers: PhantomData }
    }

    /// Makes the buffer at least `len` long; what it held is kept.
    pub fn grow(&mut self, len: usize) {
        if len > self.len {
            self.lines.resize(len.div_ceil(Self::LINE), Line([0; LINE_BYTES]));
            self.len = len;
        }
    }
}

impl<T: Bits> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `lines` holds at least `len` contiguous numbers, any bits of which are one.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Bits> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}
