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

    /// Writes the biases to each pixel of `output`.
    pub(crate) fn fill_with_bias(&self, output: &mut [f32]) {
        for pixel in output.chunks_exact_mut(self.columns) {
            pixel.copy_from_slice(&self.bias[..self.columns]);
        }
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
    /// Where the run starts, in values from the row's input.
    pub(crate) offset: usize,
    /// Its length in values.
    pub(crate) len: usize,
    /// The weight row that its first value meets.
    pub(crate) weights: usize,
}

/// Where rows lie: in lines, all as long, such as the rows of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) lines: usize,
    /// Rows in a line.
    pub(crate) rows: usize,
    /// From a row's input to that of the next one in its line, in values.
    pub(crate) input_step: usize,
    /// From a line's input to the next one's, in values.
    pub(crate) input_line: usize,
    /// From a line's output to the next one's, in f32.
    pub(crate) output_line: usize,
}

impl Grid {
    /// `rows` rows, one after the other.
    pub(crate) const fn line(rows: usize, input_step: usize) -> Self {
        Self { lines: 1, rows, input_step, input_line: 0, output_line: 0 }
    }

    const fn is_empty(&self) -> bool {
        self.lines == 0 || self.rows == 0
    }

    /// How far from the first row's input the last one's is, in values.
    const fn input_reach(&self) -> usize {
        (self.lines - 1) * self.input_line + (self.rows - 1) * self.input_step
    }

    /// What the output of all rows takes, gaps between lines included.
    const fn output_len(&self, columns: usize) -> usize {
        (self.lines - 1) * self.output_line + self.rows * columns
    }

    /// Cuts the grid into blocks of about [`ROW_BLOCK`] rows: lines, and rows of each.
    fn blocks(self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let lines = (ROW_BLOCK / self.rows).clamp(1, self.lines);
        let rows = self.rows.min(ROW_BLOCK);
        (0..self.lines).step_by(lines).flat_map(move |line| {
            let lines = line..self.lines.min(line + lines);
            (0..self.rows).step_by(rows).map(move |row| (lines.clone(), row..self.rows.min(row + rows)))
        })
    }
}

/// What sums start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The biases.
    Bias,
    /// What the output holds.
    Output,
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
    /// What is added before the activation, and what after.
    const fn apart(residual: Option<Self>) -> (Option<&'a [f32]>, Option<&'a [f32]>) {
        match residual {
            Some(Self::Before(values)) => (Some(values), None),
            Some(Self::After(values)) => (None, Some(values)),
            None => (None, None),
        }
    }

    pub(crate) const fn values(self) -> &'a [f32] {
        match self {
            Self::After(values) | Self::Before(values) => values,
        }
    }

    /// The `len` values from `first` on.
    pub(crate) fn slice_from(self, first: usize, len: usize) -> Self {
        match self {
            Self::After(values) => Self::After(&values[first..][..len]),
            Self::Before(values) => Self::Before(&values[first..][..len]),
        }
    }
}

/// An activation too long to be part of every tile, and the residual; applied to rows that are still in the cache.
pub(crate) type Late<'a> = (Activation, Option<Residual<'a>>);

/// `values = activation(values)`, the residual added before or after.
#[inline(always)]
pub(crate) fn apply_late<V: Vector>(activation: Activation, residual: Option<Residual<'_>>, values: &mut [f32]) {
    let len = values.len();
    assert!(residual.is_none_or(|residual| residual.values().len() == len));
    let (before, after) = Residual::apart(residual);
    for at in (0..len).step_by(V::LANES) {
        // SAFETY: at most `len - at` values from `at` on, of slices of length `len`.
        unsafe {
            let mut value: V = load_up_to(values.as_ptr().add(at), len - at);
            if let Some(before) = before {
                value = value.add(load_up_to(before.as_ptr().add(at), len - at));
            }
            value = activation.apply_one(value);
            if let Some(after) = after {
                value = value.add(load_up_to(after.as_ptr().add(at), len - at));
            }
            store_up_to(value, values.as_mut_ptr().add(at), len - at);
        }
    }
}

/// Rows of a matrix product: `output[row] = activation(start + input[row] * weights)`, and a residual.
pub(crate) struct Rows<'a> {
    pub(crate) weights: Panels<'a>,
    pub(crate) start: Start,
    pub(crate) activation: Activation,
    /// The input of the first row.
    pub(crate) input: &'a [f32],
    /// The input of one row, in runs.
    pub(crate) segments: &'a [Segment],
    pub(crate) grid: Grid,
    /// In the output's layout.
    pub(crate) residual: Option<Residual<'a>>,
    pub(crate) output: &'a mut [f32],
}

impl Rows<'_> {
    /// Computes all rows.
    #[inline(always)]
    pub(crate) fn compute<V: Vector>(mut self) {
        if self.grid.is_empty() {
            return;
        }
        let Panels { panels, bias, depth, columns } = self.weights;
        let reach = self.segments.iter().map(|s| s.offset + s.len).max().unwrap_or(0);
        assert!(self.input.len() >= self.grid.input_reach() + reach);
        assert!(self.segments.iter().all(|s| s.weights + s.len <= depth));
        assert!(self.output.len() >= self.grid.output_len(columns));
        assert!(self.residual.is_none_or(|r| r.values().len() == self.output.len()));
        assert!(panels.len() >= panels_len(V::LANES, depth, columns));
        assert!(bias.is_none_or(|b| b.len() >= columns.next_multiple_of(V::LANES)));
        let late = self.activation.is_long().then_some((self.activation, self.residual));
        if late.is_some() {
            (self.activation, self.residual) = (Activation::None, None);
        }
        // SAFETY: the lengths of input, weights, bias, residual and output were checked above.
        unsafe { V::blocks(&mut self, late) };
    }

    /// How many values one output is summed over.
    fn depth(&self) -> usize {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Computes all rows in tiles of `M` rows, and what comes `late` for each block of them.
    ///
    /// # Safety
    /// The lengths were checked by [`compute`](Self::compute).
    #[inline(always)]
    pub(crate) unsafe fn blocks<V: Vector, const M: usize>(&mut self, late: Option<Late<'_>>) {
        let depth = self.depth();
        for (lines, rows) in self.grid.blocks() {
            for start in (0..depth.max(1)).step_by(DEPTH_BLOCK) {
                let block = start..depth.min(start + DEPTH_BLOCK);
                // SAFETY: the caller's promise; the blocks are within lines, rows and depth.
                unsafe { self.panels::<V, M>(lines.clone(), rows.clone(), block) };
            }
            if let Some((activation, residual)) = late {
                lines.for_each(|line| self.apply_late::<V>(activation, residual, line, rows.clone()));
            }
        }
    }

    #[inline(always)]
    fn apply_late<V: Vector>(
        &mut self,
        activation: Activation,
        residual: Option<Residual<'_>>,
        line: usize,
        rows: Range<usize>,
    ) {
        let (first, columns) = (line * self.grid.output_line, self.weights.columns);
        let values = first + rows.start * columns..first + rows.end * columns;
        let residual = residual.map(|residual| residual.slice_from(values.start, values.len()));
        apply_late::<V>(activation, residual, &mut self.output[values]);
    }

    /// Computes `rows` of `lines` over `depth`, panel by panel.
    #[inline(always)]
    unsafe fn panels<V: Vector, const M: usize>(
        &mut self,
        lines: Range<usize>,
        rows: Range<usize>,
        depth: Range<usize>,
    ) {
        let columns = self.weights.columns;
        let mut panel = self.weights.panels.as_ptr();
        for column in (0..columns).step_by(PANEL * V::LANES) {
            let width = panel_width(V::LANES, columns - column);
            for line in lines.clone() {
                let tile = Tile { line, column, panel, depth: depth.clone() };
                // SAFETY: panels are laid out as `pack` does, in the same steps.
                unsafe {
                    if width > V::LANES {
                        self.tiles::<V, M, PANEL>(rows.clone(), &tile);
                    } else {
                        self.tiles::<V, M, 1>(rows.clone(), &tile);
                    }
                }
            }
            // SAFETY: so long is a panel.
            panel = unsafe { panel.add(width * self.weights.depth) };
        }
    }

    #[inline(always)]
    unsafe fn tiles<V: Vector, const M: usize, const N: usize>(&mut self, rows: Range<usize>, tile: &Tile) {
        let depth = self.depth();
        let mut row = rows.start;
        // SAFETY: the tiles are within `rows`.
        unsafe {
            while row + M <= rows.end {
                self.tile::<V, M, N>(row, tile);
                row += M;
            }
            if row < rows.end && rows.len() > M && self.start == Start::Bias {
                // The last tile starts early and computes a few rows again, to the same values, once the others are
                // done.
                if tile.depth.end == depth {
                    self.tile::<V, M, N>(rows.end - M, &Tile { depth: 0..depth, ..*tile });
                }
                return;
            }
            while M > 8 && row + 8 <= rows.end {
                self.tile::<V, 8, N>(row, tile);
                row += 8;
            }
            while row + 4 <= rows.end {
                self.tile::<V, 4, N>(row, tile);
                row += 4;
            }
            while row + 2 <= rows.end {
                self.tile::<V, 2, N>(row, tile);
                row += 2;
            }
            if row < rows.end {
                self.tile::<V, 1, N>(row, tile);
            }
        }
    }

    /// Computes `M` rows of a line from `row` on.
    ///
    /// # Safety
    /// The rows are in the grid, and the panel has a row of `N` vectors for each of the weights' depth.
    #[inline(always)]
    unsafe fn tile<V: Vector, const M: usize, const N: usize>(&mut self, row: usize, tile: &Tile) {
        let Grid { input_step, input_line, output_line, .. } = self.grid;
        let columns = self.weights.columns;
        let at = tile.line * output_line + row * columns + tile.column;
        let left = columns - tile.column;
        // SAFETY: the segments are within input and weights, and `at` is the tile's place in the output.
        unsafe {
            let mut sums = self.start::<V, M, N>(at, tile);
            let mut passed = 0;
            for segment in self.segments {
                let (begin, end) = (tile.depth.start.max(passed), tile.depth.end.min(passed + segment.len));
                let first = tile.line * input_line + row * input_step + segment.offset;
                let input = self.input.as_ptr().add(first);
                let mut weight = tile.panel.add((segment.weights + begin.saturating_sub(passed)) * N * V::LANES);
                for k in begin..end {
                    let mut columns = [V::splat(0.0); N];
                    for (n, value) in columns.iter_mut().enumerate() {
                        *value = V::load(weight.add(n * V::LANES));
                    }
                    for (m, sum) in sums.iter_mut().enumerate() {
                        let value = V::splat(*input.add(m * input_step + k - passed));
                        for (s, w) in sum.iter_mut().zip(columns) {
                            *s = value.mul_add(w, *s);
                        }
                    }
                    weight = weight.add(N * V::LANES);
                }
                passed += segment.len;
            }
            if tile.depth.end == passed {
                self.finish(at, left, &mut sums);
            }
            self.store(at, left, sums);
        }
    }

    /// What a tile's sums start from: the biases, or what the output holds.
    ///
    /// # Safety
    /// `at` is the place of a tile of `M` rows in the output.
    #[inline(always)]
    unsafe fn start<V: Vector, const M: usize, const N: usize>(&self, at: usize, tile: &Tile) -> [[V; N]; M] {
        let mut sums = [[V::splat(0.0); N]; M];
        if self.start == Start::Output || tile.depth.start > 0 {
            // SAFETY: the caller's promise.
            unsafe { add(self.output, at, self.weights.columns, self.weights.columns - tile.column, &mut sums) };
        } else if let Some(bias) = self.weights.bias {
            for sum in &mut sums {
                for (n, value) in sum.iter_mut().enumerate() {
                    // SAFETY: the bias is padded to whole vectors.
                    *value = unsafe { V::load(bias.as_ptr().add(tile.column + n * V::LANES)) };
                }
            }
        }
        sums
    }

    /// Applies the activation and adds the residual.
    ///
    /// # Safety
    /// `at` is the place of a tile of `M` rows in the output, whose first row has `left` columns from there on.
    #[inline(always)]
    unsafe fn finish<V: Vector, const M: usize, const N: usize>(&self, at: usize, left: usize, sums: &mut [[V; N]; M]) {
        let columns = self.weights.columns;
        let (before, after) = Residual::apart(self.residual);
        // SAFETY: the caller's promise; a residual has the output's layout.
        unsafe {
            if let Some(values) = before {
                add(values, at, columns, left, sums);
            }
            self.activation.apply(sums);
            if let Some(values) = after {
                add(values, at, columns, left, sums);
            }
        }
    }

    /// # Safety
    /// As for [`finish`](Self::finish).
    #[inline(always)]
    unsafe fn store<V: Vector, const M: usize, const N: usize>(&mut self, at: usize, left: usize, sums: [[V; N]; M]) {
        let whole = left >= N * V::LANES;
        for (m, sum) in sums.iter().enumerate() {
            // SAFETY: of each row, at most the columns left are written.
            unsafe {
                let to = self.output.as_mut_ptr().add(at + m * self.weights.columns);
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

/// `sums += values`, rows of `columns` values.
///
/// # Safety
/// From `at` on, `values` have `M` rows, the first with `left` columns from there on.
#[inline(always)]
unsafe fn add<V: Vector, const M: usize, const N: usize>(
    values: &[f32],
    at: usize,
    columns: usize,
    left: usize,
    sums: &mut [[V; N]; M],
) {
    for (m, sum) in sums.iter_mut().enumerate() {
        for (n, value) in sum.iter_mut().enumerate() {
            let from = at + m * columns + n * V::LANES;
            // SAFETY: at most the columns left are read.
            *value = value.add(unsafe { load_up_to(values.as_ptr().add(from), left - n * V::LANES) });
        }
    }
}

/// A place in a matrix product: a line of rows, and a panel's columns over some of the depth.
struct Tile {
    line: usize,
    column: usize,
    panel: *const f32,
    depth: Range<usize>,
}
