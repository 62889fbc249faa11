//! The matrix tile that dense, pointwise and transposed convolution and attention share.
//!
//! Output pixels are rows and output channels columns; weights are packed into panels of two vectors of columns,
//! so the inner loop reads them in order and broadcasts one input value per row. Rows and depth are taken in
//! blocks, so that a panel's block is read from the cache by all tiles of a block of rows.

use std::ops::Range;

use crate::activation::Activation;
use crate::buffer::Buffer;
use crate::simd::{Level, Vector, load_up_to, store_up_to};

/// Vectors of columns in a panel.
const PANEL: usize = 2;
/// Rows that go through all panels together; whole tiles on all levels.
const ROW_BLOCK: usize = 192;
/// Weight rows that a tile goes through at a time: two vectors of each are at most 64 KiB.
const DEPTH_BLOCK: usize = 512;

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

/// Packed weights wherever they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels<'a> {
    panels: &'a [f32],
    /// Padded to whole vectors; zeros when there is none.
    bias: Option<&'a [f32]>,
    depth: usize,
    columns: usize,
}

impl PackedWeights {
    /// Packs `columns` rows of `depth` weights, as TFLite stores them (output channel first).
    pub(crate) fn new(level: Level, weights: &[f32], bias: &[f32], depth: usize) -> Self {
        let columns = bias.len();
        assert_eq!(weights.len(), columns * depth, "weights are output channels x depth");
        let mut panels = Buffer::zeroed(panels_len(level.lanes(), depth, columns));
        let mut packed_bias = Buffer::zeroed(columns.next_multiple_of(level.lanes()));
        packed_bias[..columns].copy_from_slice(bias);
        pack(level.lanes(), depth, columns, |column, k| weights[column * depth + k], &mut panels);
        Self { panels, bias: packed_bias, depth, columns }
    }

    pub(crate) fn view(&self) -> Panels<'_> {
        Panels { panels: &self.panels, bias: Some(&self.bias), depth: self.depth, columns: self.columns }
    }
}

/// What packed weights take, in f32.
pub(crate) const fn panels_len(lanes: usize, depth: usize, columns: usize) -> usize {
    columns.next_multiple_of(lanes) * depth
}

/// Packs `weight(column, k)` into the first [`panels_len`] of `panels`.
#[inline(always)]
fn pack(lanes: usize, depth: usize, columns: usize, weight: impl Fn(usize, usize) -> f32, panels: &mut [f32]) {
    let mut at = 0;
    for first in (0..columns).step_by(PANEL * lanes) {
        let width = panel_width(lanes, columns - first);
        for k in 0..depth {
            let row = &mut panels[at..at + width];
            for (column, value) in row.iter_mut().enumerate() {
                *value = if first + column < columns { weight(first + column, k) } else { 0.0 };
            }
            at += width;
        }
    }
}

const fn panel_width(lanes: usize, columns_left: usize) -> usize {
    if columns_left > lanes { PANEL * lanes } else { lanes }
}

impl<'a> Panels<'a> {
    /// Packs `weight(column, k)` into `memory`, of at least [`panels_len`].
    #[inline(always)]
    pub(crate) fn pack<V: Vector>(
        depth: usize,
        columns: usize,
        weight: impl Fn(usize, usize) -> f32,
        memory: &'a mut [f32],
    ) -> Self {
        let panels = &mut memory[..panels_len(V::LANES, depth, columns)];
        pack(V::LANES, depth, columns, weight, panels);
        Self { panels, bias: None, depth, columns }
    }
}

/// A run of input values that meets consecutive weight rows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Segment {
    /// Where the run starts, in f32 from the row's input.
    pub(crate) offset: usize,
    /// Its length in f32.
    pub(crate) len: usize,
}

/// What is added to each output, in the output's layout.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Residual<'a> {
    /// To what the activation makes.
    After(&'a [f32]),
    /// To what the activation gets.
    Before(&'a [f32]),
}

impl<'a> Residual<'a> {
    pub(crate) const fn values(self) -> &'a [f32] {
        match self {
            Self::After(values) | Self::Before(values) => values,
        }
    }

    pub(crate) fn slice(self, range: Range<usize>) -> Self {
        match self {
            Self::After(values) => Self::After(&values[range]),
            Self::Before(values) => Self::Before(&values[range]),
        }
    }
}

/// An activation too long to be part of every tile, and the residual; applied to rows that are still in the cache.
pub(crate) type Late<'a> = (Activation, Option<Residual<'a>>);

/// `values = activation(values) + residual`.
#[inline(always)]
pub(crate) fn apply_late<V: Vector>(activation: Activation, residual: Option<&[f32]>, values: &mut [f32]) {
    let len = values.len();
    for at in (0..len).step_by(V::LANES) {
        // SAFETY: at most `len - at` values from `at` on, of slices of length `len`.
        unsafe {
            let mut value = activation.apply_one(load_up_to::<V>(values.as_ptr().add(at), len - at));
            if let Some(residual) = residual {
                value = value.add(load_up_to(residual.as_ptr().add(at), len - at));
            }
            store_up_to(value, values.as_mut_ptr().add(at), len - at);
        }
    }
}

/// Rows of a matrix product: `output[row] = activation(bias + input[row] * weights)`, and a residual.
pub(crate) struct Rows<'a> {
    pub(crate) weights: Panels<'a>,
    pub(crate) activation: Activation,
    /// The input of the first row.
    pub(crate) input: &'a [f32],
    /// The input of one row in runs whose lengths sum to the weights' depth.
    pub(crate) segments: &'a [Segment],
    /// From a row's input to the next row's, in f32.
    pub(crate) input_step: usize,
    pub(crate) count: usize,
    /// `count * columns` values.
    pub(crate) residual: Option<Residual<'a>>,
    pub(crate) output: &'a mut [f32],
}

impl Rows<'_> {
    /// Computes all rows.
    #[inline(always)]
    pub(crate) fn compute<V: Vector>(mut self) {
        if self.count == 0 {
            return;
        }
        let Panels { panels, bias, depth, columns } = self.weights;
        let reach = self.segments.iter().map(|s| s.offset + s.len).max().unwrap_or(0);
        assert!(self.input.len() >= (self.count - 1) * self.input_step + reach);
        assert_eq!(self.segments.iter().map(|s| s.len).sum::<usize>(), depth);
        assert_eq!(self.output.len(), self.count * columns);
        assert!(self.residual.is_none_or(|r| r.values().len() == self.output.len()));
        assert!(panels.len() >= panels_len(V::LANES, depth, columns));
        assert!(bias.is_none_or(|b| b.len() >= columns.next_multiple_of(V::LANES)));
        let late = self.activation.is_long().then_some((self.activation, self.residual));
        if let Some((_, residual)) = late {
            self.activation = Activation::None;
            self.residual = residual.filter(|residual| matches!(residual, Residual::Before(_)));
        }
        // SAFETY: the lengths of input, weights, bias, residual and output were checked above.
        unsafe { V::blocks(&mut self, late) };
    }

    /// Computes all rows in tiles of `M` rows, and what comes `late` for each block of them.
    ///
    /// # Safety
    /// The lengths were checked by [`compute`](Self::compute).
    #[inline(always)]
    pub(crate) unsafe fn blocks<V: Vector, const M: usize>(&mut self, late: Option<Late<'_>>) {
        let depth = self.weights.depth;
        for first in (0..self.count).step_by(ROW_BLOCK) {
            let rows = first..self.count.min(first + ROW_BLOCK);
            for start in (0..depth.max(1)).step_by(DEPTH_BLOCK) {
                let block = start..depth.min(start + DEPTH_BLOCK);
                // SAFETY: the caller's promise; the blocks are within rows and depth.
                unsafe { self.panels::<V, M>(rows.clone(), block) };
            }
            if let Some((activation, residual)) = late {
                let values = rows.start * self.weights.columns..rows.end * self.weights.columns;
                let residual = residual.and_then(|residual| match residual {
                    Residual::After(addend) => Some(&addend[values.clone()]),
                    Residual::Before(_) => None,
                });
                apply_late::<V>(activation, residual, &mut self.output[values]);
            }
        }
    }

    /// Computes `rows` over `depth`, panel by panel.
    #[inline(always)]
    unsafe fn panels<V: Vector, const M: usize>(&mut self, rows: Range<usize>, depth: Range<usize>) {
        let columns = self.weights.columns;
        let mut panel = self.weights.panels.as_ptr();
        for column in (0..columns).step_by(PANEL * V::LANES) {
            let width = panel_width(V::LANES, columns - column);
            // SAFETY: panels are laid out as `pack` does, in the same steps.
            unsafe {
                let block = panel.add(depth.start * width);
                if width > V::LANES {
                    self.tiles::<V, M, PANEL>(rows.clone(), column, block, depth.clone());
                } else {
                    self.tiles::<V, M, 1>(rows.clone(), column, block, depth.clone());
                }
                panel = panel.add(width * self.weights.depth);
            }
        }
    }

    #[inline(always)]
    unsafe fn tiles<V: Vector, const M: usize, const N: usize>(
        &mut self,
        rows: Range<usize>,
        column: usize,
        panel: *const f32,
        depth: Range<usize>,
    ) {
        let mut row = rows.start;
        // SAFETY: the tiles are within `rows`, or, if all depth is in one block, below their end.
        unsafe {
            while row + M <= rows.end {
                self.tile::<V, M, N>(row, column, panel, depth.clone());
                row += M;
            }
            if row < rows.end && rows.end > M && depth.len() == self.weights.depth {
                // The last tile starts early and computes a few rows again, to the same values.
                self.tile::<V, M, N>(rows.end - M, column, panel, depth);
                return;
            }
            while row + 4 <= rows.end {
                self.tile::<V, 4, N>(row, column, panel, depth.clone());
                row += 4;
            }
            while row < rows.end {
                self.tile::<V, 1, N>(row, column, panel, depth.clone());
                row += 1;
            }
        }
    }

    /// Computes `M` rows from `row` on and `N` vectors from `column` on, over `depth`, whose weights start at `panel`.
    #[inline(always)]
    unsafe fn tile<V: Vector, const M: usize, const N: usize>(
        &mut self,
        row: usize,
        column: usize,
        panel: *const f32,
        depth: Range<usize>,
    ) {
        // SAFETY: the bias is padded to whole vectors; the segments are the caller's promise; a panel has a row
        // of `N` vectors for each of `depth`.
        let mut sums = unsafe {
            let mut sums = self.start::<V, M, N>(row, column, depth.start);
            let mut weight = panel;
            let mut passed = 0;
            for segment in self.segments {
                let (begin, end) = (depth.start.max(passed), depth.end.min(passed + segment.len));
                let input = self.input.as_ptr().add(row * self.input_step + segment.offset);
                for k in begin..end {
                    let mut columns = [V::splat(0.0); N];
                    for (n, value) in columns.iter_mut().enumerate() {
                        *value = V::load(weight.add(n * V::LANES));
                    }
                    for (m, sum) in sums.iter_mut().enumerate() {
                        let value = V::splat(*input.add(m * self.input_step + k - passed));
                        for (s, w) in sum.iter_mut().zip(columns) {
                            *s = value.mul_add(w, *s);
                        }
                    }
                    weight = weight.add(N * V::LANES);
                }
                passed += segment.len;
            }
            sums
        };
        // SAFETY: `row + M <= count`, and a vector's tail beyond the columns is neither read nor written.
        unsafe {
            if depth.end == self.weights.depth {
                self.finish(row, column, &mut sums);
            }
            self.store(row, column, sums);
        }
    }

    /// What a tile's sums start from: the biases, or what the blocks of depth before this one left.
    ///
    /// # Safety
    /// Rows `row` to `row + M` exist, and `column` is below the columns.
    #[inline(always)]
    unsafe fn start<V: Vector, const M: usize, const N: usize>(
        &self,
        row: usize,
        column: usize,
        depth: usize,
    ) -> [[V; N]; M] {
        let mut sums = [[V::splat(0.0); N]; M];
        let columns = self.weights.columns;
        for (m, sum) in sums.iter_mut().enumerate() {
            for (n, value) in sum.iter_mut().enumerate() {
                let column = column + n * V::LANES;
                // SAFETY: the bias is padded to whole vectors; of the output at most the columns left are read.
                unsafe {
                    if depth > 0 {
                        *value = load_up_to(self.output.as_ptr().add((row + m) * columns + column), columns - column);
                    } else if let Some(bias) = self.weights.bias {
                        *value = V::load(bias.as_ptr().add(column));
                    }
                }
            }
        }
        sums
    }

    /// Applies the activation and adds the residual.
    ///
    /// # Safety
    /// Rows `row` to `row + M` exist, and `column` is below the columns.
    #[inline(always)]
    unsafe fn finish<V: Vector, const M: usize, const N: usize>(
        &self,
        row: usize,
        column: usize,
        sums: &mut [[V; N]; M],
    ) {
        let (before, after) = match self.residual {
            Some(Residual::Before(values)) => (Some(values), None),
            Some(Residual::After(values)) => (None, Some(values)),
            None => (None, None),
        };
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(values) = before {
                self.add(values, row, column, sums);
            }
            self.activation.apply(sums);
            if let Some(values) = after {
                self.add(values, row, column, sums);
            }
        }
    }

    /// # Safety
    /// Rows `row` to `row + M` exist, and `column` is below the columns.
    #[inline(always)]
    unsafe fn add<V: Vector, const M: usize, const N: usize>(
        &self,
        values: &[f32],
        row: usize,
        column: usize,
        sums: &mut [[V; N]; M],
    ) {
        let columns = self.weights.columns;
        for (m, sum) in sums.iter_mut().enumerate() {
            for (n, value) in sum.iter_mut().enumerate() {
                let column = column + n * V::LANES;
                // SAFETY: at most the columns left are read.
                *value = value
                    .add(unsafe { load_up_to(values.as_ptr().add((row + m) * columns + column), columns - column) });
            }
        }
    }

    /// # Safety
    /// Rows `row` to `row + M` exist, and `column` is below the columns.
    #[inline(always)]
    unsafe fn store<V: Vector, const M: usize, const N: usize>(
        &mut self,
        row: usize,
        column: usize,
        sums: [[V; N]; M],
    ) {
        let columns = self.weights.columns;
        let left = columns - column;
        let whole = left >= N * V::LANES;
        for (m, sum) in sums.iter().enumerate() {
            // SAFETY: of each row, at most the columns left are written.
            unsafe {
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
