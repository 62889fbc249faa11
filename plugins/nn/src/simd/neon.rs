//! NEON, which every 64-bit ARM CPU has.

use std::arch::aarch64::*;

use crate::gemm::{Late, Rows};

use super::Vector;

/// Four f32.
#[derive(Clone, Copy)]
pub(crate) struct Neon(float32x4_t);

impl Vector for Neon {
    const LANES: usize = 4;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: the architecture's baseline has NEON.
        Self(unsafe { vdupq_n_f32(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { vld1q_f32(from) })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; 4];
        for (i, lane) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: `i < count`, which the caller vouches for.
            *lane = unsafe { *from.add(i) };
        }
        // SAFETY: four f32.
        Self(unsafe { vld1q_f32(lanes.as_ptr()) })
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> Self {
        // SAFETY: the caller's promise.
        let lanes = unsafe { from.cast::<[u8; 4]>().read_unaligned() }.map(f32::from);
        // SAFETY: four f32.
        Self(unsafe { vld1q_f32(lanes.as_ptr()) })
    }

    #[inline(always)]
    unsafe fn gather(from: *const f32, places: *const i32) -> Self {
        let mut lanes = [0.0; 4];
        for (i, lane) in lanes.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *lane = unsafe { *from.offset(*places.add(i) as isize) };
        }
        // SAFETY: four f32.
        Self(unsafe { vld1q_f32(lanes.as_ptr()) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { vst1q_f32(to, self.0) };
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        let mut lanes = [0.0; 4];
        // SAFETY: four f32; `i < count`, which the caller vouches for.
        unsafe {
            vst1q_f32(lanes.as_mut_ptr(), self.0);
            for (i, lane) in lanes.iter().enumerate().take(count) {
                *to.add(i) = *lane;
            }
        }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        // SAFETY: the caller's promise; eight bytes are stored to a local, four of them copied.
        unsafe {
            let words = vqmovn_u32(vcvtnq_u32_f32(self.0));
            let mut bytes = [0; 8];
            vst1_u8(bytes.as_mut_ptr(), vqmovn_u16(vcombine_u16(words, words)));
            to.copy_from_nonoverlapping(bytes.as_ptr(), 4);
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: the architecture's baseline has NEON.
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: the architecture's baseline has NEON.
        Self(unsafe { vsubq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: the architecture's baseline has NEON.
        Self(unsafe { vmulq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: the architecture's baseline has NEON.
        Self(unsafe { vdivq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: the architecture's baseline has NEON.
        Self(unsafe { vmaxq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: the architecture's baseline has NEON.
        Self(unsafe { vminq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: the architecture's baseline has NEON.
        Self(unsafe { vfmaq_f32(addend.0, self.0, factor.0) })
    }

    #[inline(always)]
    fn at_least(self, threshold: Self) -> Self {
        // SAFETY: the architecture's baseline has NEON.
        Self(unsafe {
            let ones = vreinterpretq_u32_f32(vdupq_n_f32(1.0));
            vreinterpretq_f32_u32(vandq_u32(vcgeq_f32(self.0, threshold.0), ones))
        })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: the architecture's baseline has NEON.
        unsafe { vaddvq_f32(self.0) }
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        // SAFETY: the architecture's baseline has NEON.
        unsafe { vmaxvq_f32(self.0) }
    }

    #[inline(always)]
    fn first_at_least(self, value: f32) -> Option<usize> {
        let mut lanes = [0.0; 4];
        // SAFETY: four f32 are written to an array of four.
        unsafe { vst1q_f32(lanes.as_mut_ptr(), self.0) };
        lanes.iter().position(|&lane| lane >= value)
    }

    unsafe fn blocks(rows: &mut Rows<'_>, late: Option<Late<'_>>) {
        // SAFETY: the caller's promise.
        unsafe { rows.tiled_blocks::<Self, 8>(late) };
    }

    #[inline(always)]
    fn power_of_rounded(self) -> Self {
        // SAFETY: the architecture's baseline has NEON.
        Self(unsafe {
            let exponent = vshlq_n_u32::<23>(vreinterpretq_u32_f32(self.0));
            vreinterpretq_f32_u32(vaddq_u32(exponent, vdupq_n_u32(0x3f80_0000)))
        })
    }
}
