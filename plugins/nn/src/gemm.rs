//! The matrix tile that dense, pointwise and transposed convolution share.
//!
//! Output pixels are rows and output channels columns; weights are packed at load into panels of two vectors
//! of columns, so the inner loop reads them in order and broadcasts one input value per row.

use crate::activation::Activation;
use crate::buffer::Buffer;
use crate::simd::{Level, Vector, load_up_to};

/// Vectors of columns in a panel.
const PANEL: usize = 2;

/// Weights in panels, each `depth` rows of two vectors (the last panel of one, if that is enough), and biases.
#[derive(Debug)]
pub(crate) struct PackedWeights {
    panels: Buffer,
    bias: Buffer,
    /// Values that one output is summed over.
    pub(crate) depth: usize,
    /// Outputs in a pixel.
    pub(crate) columns: usize,
}

impl PackedWeights {
    /// Packs `columns` rows of `depth` weights, as TFLite stores them (output channel first).
    pub(crate) fn new(level: Level, weights: &[f32], bias: &[f32], depth: usize) -> Self {
        let columns = bias.len();
        assert_eq!(weights.len(), columns * depth, "weights are output channels x depth");
        let lanes = level.lanes();
        let mut panels = Buffer::zeroed(columns.div_ceil(lanes) * lanes * depth);
        let mut packed_bias = Buffer::zeroed(columns.div_ceil(lanes) * lanes);
        packed_bias[..columns].copy_from_slice(bias);
        let mut at = 0;
        for first in (0..columns).step_by(PANEL * lanes) {
            let width = if columns - first > lanes { PANEL * lanes } else { lanes };
            for k in 0..depth {
                for column in first..columns.min(first + width) {
                    panels[at + column - first] = weights[column * depth + k];
                }
                at += width;
            }
        }
        Self { panels, bias: packed_bias, depth, columns }
    }
}

/// A run of input values that meets consecutive weight rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// Where the run starts, in f32 from the row's input.
    pub(crate) offset: usize,
    /// Its length in f32.
    pub(crate) len: usize,
}

/// Rows of a matrix product: `output[row] = act(bias + input[row] * weights) + residual[row]`.
pub(crate) struct Rows<'a> {
    pub(crate) weights: &'a PackedWeights,
    pub(crate) activation: Activation,
    /// The input of the first row.
    pub(crate) input: &'a [f32],
    /// The input of one row in runs whose lengths sum to the weights' depth.
    pub(crate) segments: &'a [Segment],
    /// From a row's input to the next row's, in f32.
    pub(crate) input_step: usize,
    pub(crate) count: usize,
    /// `count * columns` values, added after the activation.
    pub(crate) residual: Option<&'a [f32]>,
    pub(crate) output: &'a mut [f32],
}

impl Rows<'_> {
    /// Computes all rows.
    ///
    #[inline(always)]
    pub(crate) fn compute<V: Vector>(mut self) {
        if self.count == 0 {
            return;
        }
        let columns = self.weights.columns;
        let reach = self.segments.iter().map(|s| s.offset + s.len).max().unwrap_or(0);
        assert!(self.input.len() >= (self.count - 1) * self.input_step + reach);
        assert_eq!(self.segments.iter().map(|s| s.len).sum::<usize>(), self.weights.depth);
        assert_eq!(self.output.len(), self.count * columns);
        assert!(self.residual.is_none_or(|r| r.len() == self.output.len()));
        // SAFETY: the lengths of input, weights, residual and output were checked above.
        unsafe {
            match V::TILE_ROWS {
                12 => self.tiles::<V, 12>(),
                8 => self.tiles::<V, 8>(),
                6 => self.tiles::<V, 6>(),
                _ => self.tiles::<V, 4>(),
            }
        }
    }

    #[inline(always)]
    unsafe fn tiles<V: Vector, const M: usize>(&mut self) {
        let mut row = 0;
        while row + M <= self.count {
            // SAFETY: the caller's promise.
            unsafe { self.tile_row::<V, M>(row) };
            row += M;
        }
        if row < self.count && self.count > M {
            // The last tile starts early and computes a few rows again, to the same values.
            // SAFETY: `count - M` rows precede it.
            unsafe { self.tile_row::<V, M>(self.count - M) };
        } else {
            while row < self.count {
                // SAFETY: the caller's promise.
                unsafe { self.tile_row::<V, 1>(row) };
                row += 1;
            }
        }
    }

    /// Computes `M` rows from `row`, panel by panel.
    #[inline(always)]
    unsafe fn tile_row<V: Vector, const M: usize>(&mut self, row: usize) {
        let columns = self.weights.columns;
        let mut panel = self.weights.panels.as_ptr();
        let mut column = 0;
        while column < columns {
            // SAFETY: panels are laid out as `PackedWeights::new` does, in the same steps.
            unsafe {
                if columns - column > V::LANES {
                    self.tile::<V, M, PANEL>(row, column, panel);
                    panel = panel.add(PANEL * V::LANES * self.weights.depth);
                } else {
                    self.tile::<V, M, 1>(row, column, panel);
                }
            }
            column += PANEL * V::LANES;
        }
    }

    #[inline(always)]
    unsafe fn tile<V: Vector, const M: usize, const N: usize>(&mut self, row: usize, column: usize, panel: *const f32) {
        // SAFETY: the bias is padded to whole vectors; the segments are the caller's promise; a panel has
        // `depth` rows of `N` vectors.
        let mut sums = unsafe {
            let bias = self.weights.bias.as_ptr().add(column);
            let mut sums = [[V::splat(0.0); N]; M];
            for sum in &mut sums {
                for (n, value) in sum.iter_mut().enumerate() {
                    *value = V::load(bias.add(n * V::LANES));
                }
            }
            let mut weight = panel;
            for segment in self.segments {
                let input = self.input.as_ptr().add(row * self.input_step + segment.offset);
                for k in 0..segment.len {
                    let mut columns = [V::splat(0.0); N];
                    for (n, value) in columns.iter_mut().enumerate() {
                        *value = V::load(weight.add(n * V::LANES));
                    }
                    for (m, sum) in sums.iter_mut().enumerate() {
                        let value = V::splat(*input.add(m * self.input_step + k));
                        for (s, w) in sum.iter_mut().zip(columns) {
                            *s = value.mul_add(w, *s);
                        }
                    }
                    weight = weight.add(N * V::LANES);
                }
            }
            sums
        };
        self.activation.apply(&mut sums);
        // SAFETY: `row + M <= count`, and a vector's tail beyond the columns is neither read nor written.
        unsafe { self.finish(row, column, sums) };
    }

    /// Adds the residual to a tile and stores it.
    ///
    /// # Safety
    /// Rows `row` to `row + M` exist, and `column` is below the columns.
    #[inline(always)]
    unsafe fn finish<V: Vector, const M: usize, const N: usize>(
        &mut self,
        row: usize,
        column: usize,
        mut sums: [[V; N]; M],
    ) {
        let columns = self.weights.columns;
        let left = columns - column;
        // SAFETY: of each row, at most the columns left are read and written.
        unsafe {
            if let Some(residual) = self.residual {
                for (m, sum) in sums.iter_mut().enumerate() {
                    let from = residual.as_ptr().add((row + m) * columns + column);
                    for (n, value) in sum.iter_mut().enumerate() {
                        *value = value.add(load_up_to(from.add(n * V::LANES), left - n * V::LANES));
                    }
                }
            }
            let whole = left >= N * V::LANES;
            for (m, sum) in sums.iter().enumerate() {
                let to = self.output.as_mut_ptr().add((row + m) * columns + column);
                for (n, value) in sum.iter().enumerate() {
                    if whole || n + 1 < N {
                        value.store(to.add(n * V::LANES));
                    } else {
                        value.store_first(to.add(n * V::LANES), left - n * V::LANES);
                    }
                }
            }
        }
    }
}
