//! AVX-512 BF16: each of 16 lanes adds two products to a sum.

use std::arch::x86_64::*;

use half::bf16;

use super::tiles::Tiled;
use super::{Bf16, Late, Rows};
use crate::simd::Vector;

/// Rows whose sums the registers hold.
const TILE: usize = 12;
const LANES: usize = 16;

/// Whether this CPU's maker gave it more sums an instruction than f32 has, and not fewer instructions.
pub(super) fn is_fast() -> bool {
    let maker = __cpuid(0);
    [maker.ebx, maker.edx, maker.ecx].map(u32::to_le_bytes).as_flattened() == b"AuthenticAMD"
}

/// Rounds to the nearest number, halves to even.
///
/// # Safety
/// The CPU has the features; the slices are as long as each other.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn convert(from: &[f32], to: &mut [bf16]) {
    let whole = from.len() / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        // SAFETY: `LANES` values from `at` on are within both.
        unsafe {
            let numbers = _mm512_cvtneps_pbh(_mm512_loadu_ps(from.as_ptr().add(at)));
            _mm256_storeu_si256(to.as_mut_ptr().add(at).cast(), std::mem::transmute::<__m256bh, __m256i>(numbers));
        }
    }
    for (from, to) in from[whole..].iter().zip(&mut to[whole..]) {
        *to = bf16::from_f32(*from);
    }
}

/// Computes all rows, and what comes `late` for each block of them.
///
/// # Safety
/// As for [`Rows::blocks`]; the CPU has the features, and `V` is its vector of 16 lanes.
#[target_feature(enable = "avx512f,avx512bf16,avx2,fma")]
pub(super) unsafe fn blocks<V: Vector>(rows: &mut Rows<'_, Bf16>, late: Option<Late<'_>>) {
    // SAFETY: the caller's promise.
    unsafe { rows.tiled_blocks::<V, TILE>(late) };
}

impl Tiled for Bf16 {
    const TOGETHER: usize = 2;

    #[inline(always)]
    unsafe fn value<V: Vector>(input: *const bf16) -> V {
        // SAFETY: the caller's promise.
        V::splat(unsafe { input.cast::<f32>().read_unaligned() })
    }

    #[inline(always)]
    fn add_product<V: Vector>(sum: V, value: V, weights: V) -> V {
        const { assert!(size_of::<V>() == size_of::<__m512>() || V::LANES != LANES) };
        // SAFETY: only [`blocks`] comes here, whose vectors are 512 bits, any of which are numbers.
        unsafe {
            let [sum, value, weights] =
                [sum, value, weights].map(|vector| std::mem::transmute_copy::<V, __m512>(&vector));
            let pairs = |bits: __m512| std::mem::transmute::<__m512, __m512bh>(bits);
            std::mem::transmute_copy(&_mm512_dpbf16_ps(sum, pairs(value), pairs(weights)))
        }
    }
}
