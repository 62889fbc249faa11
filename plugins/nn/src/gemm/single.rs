//! Products of f32.

use super::tiles::{PANEL, Tiled};
use super::{Arithmetic, Late, Rows, Size, Source};
use crate::simd::Vector;

/// Numbers of 32 bits.
#[derive(Clone, Copy, Debug)]
pub struct Single;

impl Arithmetic for Single {
    type Number = f32;
    const RUN: usize = 1;

    /// The last panel has one vector, if that is enough.
    fn panel(lanes: usize, columns_left: usize) -> usize {
        if columns_left > lanes { PANEL * lanes } else { lanes }
    }

    #[inline(always)]
    fn place(width: usize, column: usize, row: usize) -> usize {
        row * width + column
    }

    fn pack(self, lanes: usize, size: Size, source: Source<'_>, mut panels: &mut [f32]) {
        let Source { values, step, by_output, factor } = source;
        let mut first = 0;
        while first < size.columns {
            let width = Self::panel(lanes, size.columns - first);
            let columns = width.min(size.columns - first);
            let (panel, rest) = panels.split_at_mut(width * size.run);
            if columns < width {
                panel.fill(0.0);
            }
            if by_output {
                for column in 0..columns {
                    let weights = &values[(first + column) * step..][..size.run];
                    for (row, weight) in panel.chunks_exact_mut(width).zip(weights) {
                        row[column] = weight * factor;
                    }
                }
            } else {
                for (k, row) in panel.chunks_exact_mut(width).enumerate() {
                    let weights = &values[k * step + first..][..columns];
                    row.iter_mut().zip(weights).for_each(|(to, weight)| *to = weight * factor);
                }
            }
            (panels, first) = (rest, first + width);
        }
    }

    #[inline(always)]
    fn number(value: f32) -> f32 {
        value
    }

    fn numbers(scratch: &mut [f32]) -> &mut [f32] {
        scratch
    }

    fn convert(self, from: &[f32], to: &mut [f32]) {
        to.copy_from_slice(from);
    }

    fn converted_len(_pixels: usize, _depth: usize) -> usize {
        0
    }

    fn convert_pixels(self, _from: &[f32], _depth: usize, _to: &mut [f32]) {}

    fn convert_rows<'a>(
        self,
        from: &'a [f32],
        step: usize,
        _depth: usize,
        _count: usize,
        _scratch: &'a mut [f32],
    ) -> (&'a [f32], usize) {
        (from, step)
    }

    fn readable<'a>(input: &'a [f32], _converted: &'a [f32]) -> &'a [f32] {
        input
    }

    #[inline(always)]
    unsafe fn blocks<V: Vector>(rows: &mut Rows<'_>, late: Option<Late<'_>>) {
        // SAFETY: the caller's promise.
        unsafe { V::blocks(rows, late) };
    }
}

impl Tiled for Single {
    const TOGETHER: usize = 1;

    #[inline(always)]
    unsafe fn value<V: Vector>(input: *const f32) -> V {
        // SAFETY: the caller's promise.
        V::splat(unsafe { *input })
    }

    #[inline(always)]
    fn add_product<V: Vector>(sum: V, value: V, weights: V) -> V {
        value.mul_add(weights, sum)
    }
}
