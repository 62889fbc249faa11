//! Tiles of as many rows as the registers hold, two vectors wide.
//!
//! The inner loop reads a panel in order and broadcasts an input value, or a few that lie together, of each row. Rows and
//! depth are taken in blocks, so that a panel's block is read from the cache by all tiles of a block of rows.

use std::ops::Range;

use super::{Arithmetic, Grid, Late, Panels, Rows, Start, add};
use crate::simd::Vector;

/// Vectors of columns in a panel.
pub(super) const PANEL: usize = 2;
/// Steps that a tile goes through at a time: two vectors of weights of each are at most 64 KiB.
const DEPTH_BLOCK: usize = 512;

/// Numbers that are multiplied in registers.
pub(super) trait Tiled: Arithmetic {
    /// Values that a lane takes in a step. So many rows of a panel lie in each of its lanes, one after the other.
    const TOGETHER: usize;

    /// The next values of a row, in each lane.
    ///
    /// # Safety
    /// There are [`TOGETHER`](Self::TOGETHER) values at `input`.
    unsafe fn value<V: Vector>(input: *const Self::Number) -> V;

    fn add_product<V: Vector>(sum: V, value: V, weights: V) -> V;
}

impl<A: Tiled> Rows<'_, A> {
    /// Computes all rows in tiles of `M` rows, and what comes `late` for each block of them.
    ///
    /// # Safety
    /// The lengths were checked by [`compute`](Self::compute).
    #[inline(always)]
    pub(crate) unsafe fn tiled_blocks<V: Vector, const M: usize>(&mut self, late: Option<Late<'_>>) {
        let depth = self.depth();
        for (lines, rows) in self.grid.blocks() {
            for start in (0..depth.max(1)).step_by(DEPTH_BLOCK * A::TOGETHER) {
                let block = start..depth.min(start + DEPTH_BLOCK * A::TOGETHER);
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
            let columns_left = size.columns - column;
            let width = A::panel(V::LANES, columns_left);
            for line in lines.clone() {
                let tile = Tile { line, column, panel, width, depth: depth.clone() };
                // SAFETY: panels are laid out as they are packed, in the same steps.
                unsafe {
                    if columns_left > V::LANES {
                        self.tiles::<V, M, PANEL>(rows.clone(), &tile);
                    } else {
                        self.tiles::<V, M, 1>(rows.clone(), &tile);
                    }
                }
            }
            // SAFETY: so long is a panel.
            panel = unsafe { panel.add(width * size.rows::<A>()) };
        }
    }

    #[inline(always)]
    unsafe fn tiles<V: Vector, const M: usize, const N: usize>(&mut self, rows: Range<usize>, tile: &Tile<A>) {
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
    unsafe fn tile<V: Vector, const M: usize, const N: usize>(&mut self, row: usize, tile: &Tile<A>) {
        let Grid { input_step, input_line, output_line, .. } = self.grid;
        let at = tile.line * output_line + row * self.weights.size.columns + tile.column;
        // SAFETY: the segments are within input and weights, and `at` is the tile's place in the output.
        unsafe {
            let mut sums = self.start::<V, M, N>(at, tile);
            let mut passed = 0;
            for segment in self.segments {
                let Range { start, end } = tile.part_of(passed..passed + segment.len);
                let first = tile.line * input_line + row * input_step + segment.offset;
                let mut input = self.input.as_ptr().add(first + start);
                let mut weights = tile.panel.add((segment.weights + start) * tile.width);
                for _ in (start..end).step_by(A::TOGETHER) {
                    let mut columns = [V::splat(0.0); N];
                    for (n, value) in columns.iter_mut().enumerate() {
                        *value = V::load(weights.cast::<f32>().add(n * V::LANES));
                    }
                    for (m, sum) in sums.iter_mut().enumerate() {
                        let value = A::value::<V>(input.add(m * input_step));
                        for (sum, columns) in sum.iter_mut().zip(columns) {
                            *sum = A::add_product(*sum, value, columns);
                        }
                    }
                    input = input.add(A::TOGETHER);
                    weights = weights.add(A::TOGETHER * tile.width);
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
    unsafe fn start<V: Vector, const M: usize, const N: usize>(&self, at: usize, tile: &Tile<A>) -> [[V; N]; M] {
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
struct Tile<A: Arithmetic> {
    line: usize,
    column: usize,
    panel: *const A::Number,
    /// Columns of the panel.
    width: usize,
    depth: Range<usize>,
}

impl<A: Tiled> Tile<A> {
    /// What of a segment, which is at this place of the depth, is in the tile; from a value that begins a step.
    #[inline(always)]
    fn part_of(&self, segment: Range<usize>) -> Range<usize> {
        let within = |depth: usize| depth.saturating_sub(segment.start) / A::TOGETHER * A::TOGETHER;
        let end = if self.depth.end < segment.end { within(self.depth.end) } else { segment.len() };
        within(self.depth.start).min(end)..end
    }
}
