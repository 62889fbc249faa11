//! AVX-512F and AVX2 with FMA.
//!
//! The intrinsics need instructions that the build may not assume; every block here relies on the module's
//! invariant that such a value exists only below [`run_avx512`] or [`run_avx2`].

use std::arch::x86_64::*;

use crate::gemm::{Late, Rows};

use super::{Kernel, Vector};

/// # Safety
/// The CPU has AVX-512F.
#[target_feature(enable = "avx512f,avx2,fma")]
pub(crate) unsafe fn run_avx512(kernel: impl Kernel) {
    kernel.run::<Avx512>();
}

/// # Safety
/// The CPU has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn run_avx2(kernel: impl Kernel) {
    kernel.run::<Avx2>();
}

/// Sixteen f32.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

/// Eight f32.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256);

#[inline(always)]
fn first_lanes(count: usize) -> __mmask16 {
    (1u16 << count) - 1
}

impl Vector for Avx512 {
    const LANES: usize = 16;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise and the module's invariant.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: masked lanes are not touched; the caller vouches for the others.
        Self(unsafe { _mm512_maskz_loadu_ps(first_lanes(count), from) })
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> Self {
        // SAFETY: the caller's promise and the module's invariant.
        Self(unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))) })
    }

    #[inline(always)]
    unsafe fn gather(from: *const f32, places: *const i32) -> Self {
        // SAFETY: the caller's promise and the module's invariant.
        Self(unsafe { _mm512_i32gather_ps::<4>(_mm512_loadu_si512(places.cast()), from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise and the module's invariant.
        unsafe { _mm512_storeu_ps(to, self.0) };
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: masked lanes are not touched; the caller vouches for the others.
        unsafe { _mm512_mask_storeu_ps(to, first_lanes(count), self.0) };
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        // SAFETY: the caller's promise and the module's invariant.
        unsafe { _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(self.0))) };
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe { _mm512_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe { _mm512_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe { _mm512_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    fn at_least(self, threshold: Self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe {
            let mask = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(self.0, threshold.0);
            _mm512_maskz_mov_ps(mask, _mm512_set1_ps(1.0))
        })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: the module's invariant.
        unsafe { _mm512_reduce_add_ps(self.0) }
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        // SAFETY: the module's invariant.
        unsafe { _mm512_reduce_max_ps(self.0) }
    }

    #[inline(always)]
    fn first_at_least(self, value: f32) -> Option<usize> {
        // SAFETY: the module's invariant.
        let mask = unsafe { _mm512_cmp_ps_mask::<_CMP_GE_OQ>(self.0, _mm512_set1_ps(value)) };
        (mask != 0).then(|| mask.trailing_zeros() as usize)
    }

    #[inline(always)]
    unsafe fn blocks(rows: &mut Rows<'_>, late: Option<Late<'_>>) {
        /// Compiled once, not in every kernel that multiplies: it is the largest part of each.
        ///
        /// # Safety
        /// As [`Rows::tiled_blocks`] says, and the CPU has the features.
        #[target_feature(enable = "avx512f,avx2,fma")]
        unsafe fn compiled_once(rows: &mut Rows<'_>, late: Option<Late<'_>>) {
            // SAFETY: the caller's promise.
            unsafe { rows.tiled_blocks::<Avx512, 12>(late) };
        }
        // SAFETY: the caller's promise and the module's invariant.
        unsafe { compiled_once(rows, late) };
    }

    #[inline(always)]
    fn power_of_rounded(self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe {
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(self.0));
            _mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(0x3f80_0000)))
        })
    }
}

/// A mask whose first `count` lanes are set: a window into ones followed by zeros.
///
/// # Safety
/// `count <= 8`, below [`run_avx2`].
#[inline(always)]
unsafe fn avx2_mask(count: usize) -> __m256i {
    const WINDOW: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: at most 8 + 8 entries from the start of 16.
    unsafe { _mm256_loadu_si256(WINDOW.as_ptr().add(8 - count).cast()) }
}

impl Vector for Avx2 {
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise and the module's invariant.
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: masked lanes are not touched; the caller vouches for the others.
        Self(unsafe { _mm256_maskload_ps(from, avx2_mask(count)) })
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> Self {
        // SAFETY: the caller's promise and the module's invariant.
        Self(unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()))) })
    }

    #[inline(always)]
    unsafe fn gather(from: *const f32, places: *const i32) -> Self {
        // SAFETY: the caller's promise and the module's invariant.
        Self(unsafe { _mm256_i32gather_ps::<4>(from, _mm256_loadu_si256(places.cast())) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise and the module's invariant.
        unsafe { _mm256_storeu_ps(to, self.0) };
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: masked lanes are not touched; the caller vouches for the others.
        unsafe { _mm256_maskstore_ps(to, avx2_mask(count), self.0) };
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        // SAFETY: the caller's promise and the module's invariant.
        unsafe {
            let numbers = _mm256_cvtps_epi32(self.0);
            let low = _mm256_castsi256_si128(numbers);
            let words = _mm_packus_epi32(low, _mm256_extracti128_si256::<1>(numbers));
            _mm_storel_epi64(to.cast(), _mm_packus_epi16(words, words));
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe { _mm256_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe { _mm256_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe { _mm256_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    fn at_least(self, threshold: Self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe {
            let mask = _mm256_cmp_ps::<_CMP_GE_OQ>(self.0, threshold.0);
            _mm256_and_ps(mask, _mm256_set1_ps(1.0))
        })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: the module's invariant.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        // SAFETY: the module's invariant.
        unsafe {
            let four = _mm_max_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    fn first_at_least(self, value: f32) -> Option<usize> {
        // SAFETY: the module's invariant.
        let mask = unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(self.0, _mm256_set1_ps(value))) };
        (mask != 0).then(|| mask.trailing_zeros() as usize)
    }

    #[inline(always)]
    unsafe fn blocks(rows: &mut Rows<'_>, late: Option<Late<'_>>) {
        /// Compiled once, not in every kernel that multiplies: it is the largest part of each.
        ///
        /// # Safety
        /// As [`Rows::tiled_blocks`] says, and the CPU has the features.
        #[target_feature(enable = "avx2,fma")]
        unsafe fn compiled_once(rows: &mut Rows<'_>, late: Option<Late<'_>>) {
            // SAFETY: the caller's promise.
            unsafe { rows.tiled_blocks::<Avx2, 6>(late) };
        }
        // SAFETY: the caller's promise and the module's invariant.
        unsafe { compiled_once(rows, late) };
    }

    #[inline(always)]
    fn power_of_rounded(self) -> Self {
        // SAFETY: the module's invariant.
        Self(unsafe {
            let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(self.0));
            _mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(0x3f80_0000)))
        })
    }
}
