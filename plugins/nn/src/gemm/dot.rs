//! AVX-512 BF16: each of 16 lanes adds two products to a sum.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use half::bf16;

use super::bf16::{COLUMNS, Product, ROWS, Sums};

/// Rows whose sums the registers hold.
const TILE: usize = 8;
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

/// Computes `sums`.
///
/// # Safety
/// The rows' inputs and the panel reach as far as the steps say, and the CPU has the features.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn multiply(product: &Product<'_>, sums: &mut MaybeUninit<Sums>) {
    for (group, input) in product.inputs.into_iter().enumerate() {
        let mut row = 0;
        // SAFETY: the caller's promise; the rows are within the product's.
        unsafe {
            let sums: *mut f32 = sums.as_mut_ptr().cast::<f32>().add(group * ROWS * COLUMNS);
            while row + TILE <= product.rows.min(ROWS) {
                tile::<TILE>(product, input.add(row * product.input_step), sums.add(row * COLUMNS));
                row += TILE;
            }
            while row < product.rows.min(ROWS) {
                tile::<1>(product, input.add(row * product.input_step), sums.add(row * COLUMNS));
                row += 1;
            }
        }
    }
}

/// # Safety
/// As for [`multiply`]; there are `M` rows, and room for their sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn tile<const M: usize>(product: &Product<'_>, input: *const bf16, to: *mut f32) {
    let mut sums = [[_mm512_setzero_ps(); 2]; M];
    for step in product.steps {
        // SAFETY: the caller's promise.
        unsafe {
            let mut values: *const i32 = input.byte_add(step.input_bytes).cast();
            let mut weights: *const f32 = product.panel.byte_add(step.weights_bytes).cast();
            for _ in 0..step.count * LANES {
                let columns = [pairs(_mm512_loadu_ps(weights)), pairs(_mm512_loadu_ps(weights.add(LANES)))];
                for (m, sum) in sums.iter_mut().enumerate() {
                    let value = values.byte_add(m * product.input_step * size_of::<bf16>()).read_unaligned();
                    let value = pairs(_mm512_castsi512_ps(_mm512_set1_epi32(value)));
                    sum[0] = _mm512_dpbf16_ps(sum[0], value, columns[0]);
                    sum[1] = _mm512_dpbf16_ps(sum[1], value, columns[1]);
                }
                values = values.add(1);
                weights = weights.add(COLUMNS);
            }
        }
    }
    for (m, sum) in sums.iter().enumerate() {
        // SAFETY: the caller's promise; a row of sums has two vectors.
        unsafe {
            _mm512_storeu_ps(to.add(m * COLUMNS), sum[0]);
            _mm512_storeu_ps(to.add(m * COLUMNS + LANES), sum[1]);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn pairs(bits: __m512) -> __m512bh {
    // SAFETY: both are 512 bits, any of which are numbers.
    unsafe { std::mem::transmute(bits) }
}
