//! Products of f32: tiles of as many rows as the registers hold, two vectors wide.
//!
//! The inner loop reads a panel in order and broadcasts one input value per row. Rows and depth are taken in blocks,
//! so that a panel's block is read from the cache by all tiles of a block of rows.

use std::ops::Range;

use super::{Arithmetic, Grid, Late, Panels, Rows, Size, Source, Start, add};
use crate::simd::Vector;

/// Vectors of columns in a panel.
const PANEL: usize = 2;
/// Weight rows that a tile goes through at a time: two vectors of each are at most 64 KiB.
const DEPTH_BLOCK: usize = 512;

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

impl Rows<'_> {
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
            self.apply_late::<V>(late, lines, rows);
        }
    }

    /// Computes `rows` of `lines` over `depth`, panel by panel.
    #[inline(always)]
    unsafe fn panels<V: Vector, const M: usize>(
        &mut self,
        lines: Range<usize>,
        rows: Range<usize>,
        depth: Range<usize>,
    ) {
        let Panels { panels, size, .. } = self.weights;
        let mut panel = panels.as_ptr();
        for column in (0..size.columns).step_by(PANEL * V::LANES) {
            let width = Single::panel(V::LANES, size.columns - column);
            for line in lines.clone() {
                let tile = Tile { line, column, panel, depth: depth.clone() };
                // SAFETY: panels are laid out as they are packed, in the same steps.
                unsafe {
                    if width > V::LANES {
                        self.tiles::<V, M, PANEL>(rows.clone(), &tile);
                    } else {
                        self.tiles::<V, M, 1>(rows.clone(), &tile);
                    }
                }
            }
            // SAFETY: so long is a panel.
            panel = unsafe { panel.add(width * size.rows::<Single>()) };
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
                // The last tile, as small as it may be, starts early and computes a few rows again, to the same values,
                // once the others are done.
                if tile.depth.end == depth {
                    let tile = Tile { depth: 0..depth, ..*tile };
                    match rows.end - row {
                        0..=4 => self.tile::<V, 4, N>(rows.end - 4, &tile),
                        5..=8 if M > 8 => self.tile::<V, 8, N>(rows.end - 8, &tile),
                        _ => self.tile::<V, M, N>(rows.end - M, &tile),
                    }
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
    /// The rows are in the grid, and the panel has a row of `N` vectors for each of the weights' rows.
    #[inline(always)]
    unsafe fn tile<V: Vector, const M: usize, const N: usize>(&mut self, row: usize, tile: &Tile) {
        let Grid { input_step, input_line, output_line, .. } = self.grid;
        let at = tile.line * output_line + row * self.weights.size.columns + tile.column;
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
                self.finish(at, tile.column, &mut sums);
            }
            self.store(at, tile.column, sums);
        }
    }

    /// What a tile's sums start from: the biases, or what the output holds.
    ///
    /// # Safety
    /// `at` is the place of a tile of `M` rows in the output.
    #[inline(always)]
    unsafe fn start<V: Vector, const M: usize, const N: usize>(&self, at: usize, tile: &Tile) -> [[V; N]; M] {
        let mut sums = [[V::splat(0.0); N]; M];
        let columns = self.weights.size.columns;
        // SAFETY: the caller's promise.
        unsafe {
            if tile.depth.start > 0 {
                add(self.output, at, columns, columns - tile.column, &mut sums);
            } else {
                self.add_start(at, tile.column, &mut sums);
            }
        }
        sums
    }
}

/// A place in a matrix product: a line of rows, and a panel's columns over some of the depth.
struct Tile {
    line: usize,
    column: usize,
    panel: *const f32,
    depth: Range<usize>,
}
