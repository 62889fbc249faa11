//! Products of bf16, summed as f32.
//!
//! Rows are taken 16 at a time and columns 32: what AMX's tiles hold. Weights lie in pairs of rows, as both AMX and
//! AVX-512 read them. Sums go through a small buffer, from which they are finished by the vectors of f32.

use std::ops::Range;

use half::bf16;

use super::{Arithmetic, Grid, Late, Panels, Rows};
use crate::simd::{Level, Vector};

/// Columns of a panel.
pub(super) const COLUMNS: usize = 32;
/// Rows that are computed together.
pub(super) const ROWS: usize = 16;
/// Values of a run that are taken together.
const RUN: usize = 32;
/// Rows that are finished together.
const FINISHED: usize = 4;

/// Numbers of 16 bits, 8 of them exponent, and what multiplies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bf16 {
    /// Plain Rust: what the others are tested against.
    Plain,
    /// AVX-512 BF16: 16 sums of two products an instruction.
    #[cfg(target_arch = "x86_64")]
    Dot,
    /// AMX: 256 sums of 32 products an instruction.
    #[cfg(target_arch = "x86_64")]
    Amx,
}

/// The sums of two groups of rows.
#[repr(C, align(64))]
pub(super) struct Sums(pub(super) [[[f32; COLUMNS]; ROWS]; 2]);

/// A segment as the instructions want it: where its input and its weights are, and its length in [`RUN`]s.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Steps {
    pub(super) input_bytes: usize,
    pub(super) weights_bytes: usize,
    pub(super) count: usize,
}

/// The most segments of a row.
const MOST_SEGMENTS: usize = 16;

/// A product of two groups of rows with a panel.
pub(super) struct Product<'a> {
    pub(super) inputs: [*const bf16; 2],
    /// From a row to the next, in values.
    pub(super) input_step: usize,
    pub(super) rows: usize,
    pub(super) panel: *const bf16,
    pub(super) steps: &'a [Steps],
}

impl Bf16 {
    /// The fastest, if it is faster than f32.
    pub fn best(level: Level) -> Option<Self> {
        Self::available(level).pop().filter(|best| match best {
            Self::Plain => false,
            // Intel's cores take four times as long for it as AMD's do: half as fast as f32.
            #[cfg(target_arch = "x86_64")]
            Self::Dot => super::dot::is_fast(),
            #[cfg(target_arch = "x86_64")]
            Self::Amx => true,
        })
    }

    /// The name as reports print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            #[cfg(target_arch = "x86_64")]
            Self::Dot => "avx512-bf16",
            #[cfg(target_arch = "x86_64")]
            Self::Amx => "amx",
        }
    }

    /// What this CPU has for a level, the slowest first.
    pub fn available(level: Level) -> Vec<Self> {
        #[allow(unused_mut, reason = "other machines have no more")]
        let mut found = vec![Self::Plain];
        #[cfg(target_arch = "x86_64")]
        if level.lanes() == ROWS && std::arch::is_x86_feature_detected!("avx512bf16") {
            found.push(Self::Dot);
            if super::amx::is_available() {
                found.push(Self::Amx);
            }
        }
        found
    }
}

impl Arithmetic for Bf16 {
    type Number = bf16;
    const RUN: usize = RUN;

    fn panel(_lanes: usize, _columns_left: usize) -> usize {
        COLUMNS
    }

    #[inline(always)]
    fn place(width: usize, column: usize, row: usize) -> usize {
        row / 2 * 2 * width + 2 * column + row % 2
    }

    #[inline(always)]
    fn number(value: f32) -> bf16 {
        bf16::from_f32(value)
    }

    fn numbers(scratch: &mut [f32]) -> &mut [bf16] {
        // SAFETY: two numbers of 16 bits take the place of one f32, and any bits are one.
        unsafe { std::slice::from_raw_parts_mut(scratch.as_mut_ptr().cast(), 2 * scratch.len()) }
    }

    fn convert(self, from: &[f32], to: &mut [bf16]) {
        assert_eq!(from.len(), to.len());
        match self {
            Self::Plain => from.iter().zip(to).for_each(|(from, to)| *to = bf16::from_f32(*from)),
            // SAFETY: `available` found the instructions.
            #[cfg(target_arch = "x86_64")]
            Self::Dot | Self::Amx => unsafe { super::dot::convert(from, to) },
        }
    }

    fn converted_len(pixels: usize, depth: usize) -> usize {
        pixels * depth.next_multiple_of(RUN) / 2
    }

    fn convert_pixels(self, from: &[f32], depth: usize, to: &mut [f32]) {
        let (to, padded) = (Self::numbers(to), depth.next_multiple_of(RUN));
        if padded == depth {
            self.convert(from, to);
            return;
        }
        for (from, to) in from.chunks_exact(depth).zip(to.chunks_exact_mut(padded)) {
            let (values, padding) = to.split_at_mut(depth);
            self.convert(from, values);
            padding.fill(bf16::ZERO);
        }
    }

    fn readable<'a>(_input: &'a [f32], converted: &'a [f32]) -> &'a [bf16] {
        // SAFETY: as in `numbers`.
        unsafe { std::slice::from_raw_parts(converted.as_ptr().cast(), 2 * converted.len()) }
    }

    #[inline(always)]
    unsafe fn blocks<V: Vector>(rows: &mut Rows<'_, Self>, late: Option<Late<'_>>) {
        assert!((1..=MOST_SEGMENTS).contains(&rows.segments.len()) && rows.segments.iter().all(|s| s.len > 0));
        #[cfg(target_arch = "x86_64")]
        let _tiles = (rows.weights.arithmetic == Self::Amx).then(|| super::amx::Tiles::of(rows.grid.rows.min(ROWS)));
        for (lines, line_rows) in rows.grid.blocks() {
            // SAFETY: the caller's promise.
            unsafe { rows.block::<V>(lines.clone(), line_rows.clone()) };
            rows.apply_late::<V>(late, lines, line_rows);
        }
    }
}

impl Product<'_> {
    /// Computes the sums.
    ///
    /// # Safety
    /// The rows' inputs and the panel reach as far as the steps say.
    #[inline(always)]
    unsafe fn compute(&self, arithmetic: Bf16, sums: &mut Sums) {
        // SAFETY: the caller's promise; `available` found the instructions.
        unsafe {
            match arithmetic {
                Bf16::Plain => self.compute_plainly(sums),
                #[cfg(target_arch = "x86_64")]
                Bf16::Dot => super::dot::multiply(self, sums),
                #[cfg(target_arch = "x86_64")]
                Bf16::Amx => super::amx::multiply(self, sums),
            }
        }
    }

    /// # Safety
    /// As for [`compute`](Self::compute).
    unsafe fn compute_plainly(&self, sums: &mut Sums) {
        for (input, sums) in self.inputs.into_iter().zip(&mut sums.0) {
            for (row, sums) in sums.iter_mut().take(self.rows).enumerate() {
                *sums = [0.0; COLUMNS];
                for step in self.steps {
                    for k in 0..step.count * RUN {
                        // SAFETY: the caller's promise.
                        unsafe {
                            let value = *input.byte_add(step.input_bytes).add(row * self.input_step + k);
                            let weights = self.panel.byte_add(step.weights_bytes);
                            for (column, sum) in sums.iter_mut().enumerate() {
                                let weight = *weights.add(Bf16::place(COLUMNS, column, k));
                                *sum += value.to_f32() * weight.to_f32();
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A group of rows: the first `skipped` are computed again, only so that it has as many as the others.
#[derive(Clone, Copy)]
struct Group {
    line: usize,
    first: usize,
    skipped: usize,
}

impl Rows<'_, Bf16> {
    /// Group number `index` of a block's rows.
    fn group(&self, lines: &Range<usize>, rows: &Range<usize>, index: usize) -> Group {
        let in_line = rows.len().div_ceil(ROWS);
        let start = rows.start + index % in_line * ROWS;
        let first = start.min(rows.end.saturating_sub(ROWS));
        Group { line: lines.start + index / in_line, first, skipped: start - first }
    }

    /// Computes `rows` of `lines`, panel by panel.
    ///
    /// # Safety
    /// The lengths were checked by [`compute`](Self::compute).
    #[inline(always)]
    unsafe fn block<V: Vector>(&mut self, lines: Range<usize>, rows: Range<usize>) {
        let Panels { arithmetic, panels, size, .. } = self.weights;
        let Grid { rows: rows_of_line, input_step, input_line, .. } = self.grid;
        let mut steps = [Steps::default(); MOST_SEGMENTS];
        for (step, segment) in steps.iter_mut().zip(self.segments) {
            *step = Steps {
                input_bytes: segment.offset * size_of::<bf16>(),
                weights_bytes: segment.weights * COLUMNS * size_of::<bf16>(),
                count: segment.len.div_ceil(RUN),
            };
        }
        let steps = &steps[..self.segments.len()];
        let groups = lines.len() * rows.len().div_ceil(ROWS);
        let mut sums = Sums([[[0.0; COLUMNS]; ROWS]; 2]);
        for column in (0..size.columns).step_by(COLUMNS) {
            let panel = panels[column * size.rows::<Bf16>()..].as_ptr();
            for first in (0..groups).step_by(2) {
                // The last one may be alone.
                let pair = [first, (first + 1).min(groups - 1)].map(|index| self.group(&lines, &rows, index));
                let inputs =
                    pair.map(|group| self.input[group.line * input_line + group.first * input_step..].as_ptr());
                let product = Product { inputs, input_step, rows: rows_of_line.min(ROWS), panel, steps };
                // SAFETY: the caller's promise; the groups are within lines and rows.
                unsafe {
                    product.compute(arithmetic, &mut sums);
                    for (group, sums) in pair.into_iter().zip(&sums.0).take(groups - first) {
                        self.finish_group::<V>(group, column, &sums[..product.rows]);
                    }
                }
            }
        }
    }

    /// Finishes the sums of a group, and writes them.
    ///
    /// # Safety
    /// The group is within the grid.
    #[inline(always)]
    unsafe fn finish_group<V: Vector>(&mut self, group: Group, column: usize, sums: &[[f32; COLUMNS]]) {
        let columns = self.weights.size.columns;
        let at = group.line * self.grid.output_line + group.first * columns + column;
        let left = (columns - column).min(COLUMNS);
        for vector in (0..left).step_by(2 * V::LANES) {
            let mut row = group.skipped;
            // SAFETY: the caller's promise.
            unsafe {
                while row < sums.len() {
                    let (at, count) = (at + row * columns + vector, sums.len() - row);
                    match (left - vector > V::LANES, count >= FINISHED) {
                        (true, true) => self.finish_rows::<V, FINISHED, 2>(at, column + vector, &sums[row..], vector),
                        (true, false) => self.finish_rows::<V, 1, 2>(at, column + vector, &sums[row..], vector),
                        (false, true) => self.finish_rows::<V, FINISHED, 1>(at, column + vector, &sums[row..], vector),
                        (false, false) => self.finish_rows::<V, 1, 1>(at, column + vector, &sums[row..], vector),
                    }
                    row += if count >= FINISHED { FINISHED } else { 1 };
                }
            }
        }
    }

    /// # Safety
    /// `at` is the place of the first of `M` rows in the output, and of `column` in it; there are so many sums.
    #[inline(always)]
    unsafe fn finish_rows<V: Vector, const M: usize, const N: usize>(
        &mut self,
        at: usize,
        column: usize,
        from: &[[f32; COLUMNS]],
        vector: usize,
    ) {
        let mut sums = [[V::splat(0.0); N]; M];
        // SAFETY: the caller's promise; a panel has whole vectors.
        unsafe {
            for (sum, from) in sums.iter_mut().zip(from) {
                for (n, value) in sum.iter_mut().enumerate() {
                    *value = V::load(from.as_ptr().add(vector + n * V::LANES));
                }
            }
            self.add_start(at, column, &mut sums);
            self.finish(at, column, &mut sums);
            self.store(at, column, sums);
        }
    }
}
