//! Four lanes of plain Rust, which compilers turn into SSE2 or NEON; also the reference of the tests.

use super::Vector;
use crate::gemm::{Late, Rows};

const LANES: usize = 4;

/// Four f32.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; LANES]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, op: impl Fn(f32, f32) -> f32) -> Self {
        let mut result = [0.0; LANES];
        for ((r, a), b) in result.iter_mut().zip(self.0).zip(other.0) {
            *r = op(a, b);
        }
        Self(result)
    }
}

impl Vector for Portable {
    const LANES: usize = LANES;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise; an array of f32 has the layout of `LANES` f32.
        Self(unsafe { from.cast::<[f32; LANES]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; LANES];
        for (i, lane) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: `i < count`, which the caller vouches for.
            *lane = unsafe { *from.add(i) };
        }
        Self(lanes)
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> Self {
        // SAFETY: the caller's promise.
        let bytes = unsafe { from.cast::<[u8; LANES]>().read_unaligned() };
        Self(bytes.map(f32::from))
    }

    #[inline(always)]
    unsafe fn gather(from: *const f32, places: *const i32) -> Self {
        let mut lanes = [0.0; 4];
        for (i, lane) in lanes.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *lane = unsafe { *from.offset(*places.add(i) as isize) };
        }
        Self(lanes)
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(self.0) };
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        for (i, lane) in self.0.iter().enumerate().take(count) {
            // SAFETY: `i < count`, which the caller vouches for.
            unsafe { *to.add(i) = *lane };
        }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        let bytes = self.0.map(|lane| (lane + super::ROUNDER).to_bits() as u8);
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[u8; LANES]>().write_unaligned(bytes) };
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        self.mul(factor).add(addend)
    }

    #[inline(always)]
    fn at_least(self, threshold: Self) -> Self {
        self.zip(threshold, |a, b| if a >= b { 1.0 } else { 0.0 })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        self.0.iter().sum()
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        self.0.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    fn first_at_least(self, value: f32) -> Option<usize> {
        self.0.iter().position(|&lane| lane >= value)
    }

    unsafe fn blocks(rows: &mut Rows<'_>, late: Option<Late<'_>>) {
        // SAFETY: the caller's promise.
        unsafe { rows.tiled_blocks::<Self, 4>(late) };
    }

    #[inline(always)]
    fn power_of_rounded(self) -> Self {
        Self(self.0.map(|lane| f32::from_bits((lane.to_bits() << 23).wrapping_add(0x3f80_0000))))
    }
}
