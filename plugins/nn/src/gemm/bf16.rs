//! Products of bf16, summed as f32.
//!
//! Weights lie in panels of 32 columns and in pairs of rows, as both AMX and AVX-512 read them. AVX-512 goes through them
//! by the tiles of f32. For AMX rows are taken 16 at a time, what its tiles hold, and sums go through a small buffer, from
//! which they are finished by the vectors of f32.

use std::mem::MaybeUninit;
use std::ops::Range;

use half::bf16;

use super::{Arithmetic, Grid, Late, Panels, Rows, Size, Source};
use crate::simd::{Level, Vector};

/// Columns of a panel.
pub(super) const COLUMNS: usize = 32;
/// Rows that are computed together.
pub(super) const ROWS: usize = 16;
/// Values of a run that are taken together.
const RUN: usize = 32;
/// Values that are packed together.
const PACKED: usize = 32;
/// Rows that are finished together.
const FINISHED: usize = 4;

/// Numbers of 16 bits, 8 of them exponent, and instructions that this CPU was found to have to multiply them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bf16(Products);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Products {
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
    /// Packs a panel of which each pixel is a column.
    fn pack_outputs(self, columns: Range<usize>, run: usize, source: Source<'_>, panel: &mut [bf16]) {
        for (column, pixel) in columns.enumerate() {
            for (i, values) in source.values[pixel * source.step..][..run].chunks(PACKED).enumerate() {
                let numbers = self.scaled(values, source.factor);
                let pairs = panel[i * PACKED * COLUMNS..].chunks_exact_mut(2 * COLUMNS);
                for (row, pair) in pairs.zip(numbers[..values.len()].chunks(2)) {
                    row[2 * column..][..pair.len()].copy_from_slice(pair);
                }
            }
        }
    }

    /// Packs a panel of which each pixel is a row.
    fn pack_inputs(self, columns: Range<usize>, run: usize, source: Source<'_>, panel: &mut [bf16]) {
        let pixel = |k: usize| self.scaled(&source.values[k * source.step..][columns.clone()], source.factor);
        for (i, pair) in panel.chunks_exact_mut(2 * COLUMNS).take(run.div_ceil(2)).enumerate() {
            let upper = pixel(2 * i);
            let lower = if 2 * i + 1 < run { pixel(2 * i + 1) } else { [bf16::ZERO; PACKED] };
            for (pair, (upper, lower)) in pair.as_chunks_mut::<2>().0.iter_mut().zip(upper.into_iter().zip(lower)) {
                *pair = [upper, lower];
            }
        }
    }

    /// Up to [`PACKED`] values times `factor`, and zeros.
    fn scaled(self, values: &[f32], factor: f32) -> [bf16; PACKED] {
        let (mut scaled, mut numbers) = ([0.0; PACKED], [bf16::ZERO; PACKED]);
        scaled.iter_mut().zip(values).for_each(|(to, value)| *to = value * factor);
        self.convert(&scaled, &mut numbers);
        numbers
    }

    /// The fastest, if it is faster than f32.
    pub fn best(level: Level) -> Option<Self> {
        Self::available(level).pop().filter(|best| match best.0 {
            Products::Plain => false,
            // Intel's cores take four times as long for it as AMD's do: half as fast as f32.
            #[cfg(target_arch = "x86_64")]
            Products::Dot => super::dot::is_fast(),
            #[cfg(target_arch = "x86_64")]
            Products::Amx => true,
        })
    }

    /// The name as reports print it.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Products::Plain => "plain",
            #[cfg(target_arch = "x86_64")]
            Products::Dot => "avx512-bf16",
            #[cfg(target_arch = "x86_64")]
            Products::Amx => "amx",
        }
    }

    /// What this CPU has for a level, the slowest first.
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "other machines have none"))]
    pub fn available(level: Level) -> Vec<Self> {
        #[allow(unused_mut, reason = "other machines have no more")]
        let mut found = vec![Self(Products::Plain)];
        #[cfg(target_arch = "x86_64")]
        if level.lanes() == ROWS && std::arch::is_x86_feature_detected!("avx512bf16") {
            found.push(Self(Products::Dot));
            if super::amx::is_available() {
                found.push(Self(Products::Amx));
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

    fn pack(self, _lanes: usize, size: Size, source: Source<'_>, panels: &mut [bf16]) {
        let rows = size.rows::<Self>();
        for (i, panel) in panels.chunks_exact_mut(rows * COLUMNS).enumerate() {
            let columns = i * COLUMNS..size.columns.min((i + 1) * COLUMNS);
            if rows > size.run || columns.len() < COLUMNS {
                panel.fill(bf16::ZERO);
            }
            if source.by_output {
                self.pack_outputs(columns, size.run, source, panel);
            } else {
                self.pack_inputs(columns, size.run, source, panel);
            }
        }
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
        match self.0 {
            Products::Plain => from.iter().zip(to).for_each(|(from, to)| *to = bf16::from_f32(*from)),
            // SAFETY: `available` found the instructions.
            #[cfg(target_arch = "x86_64")]
            Products::Dot | Products::Amx => unsafe { super::dot::convert(from, to) },
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

    fn convert_rows<'a>(
        self,
        from: &'a [f32],
        step: usize,
        depth: usize,
        count: usize,
        scratch: &'a mut [f32],
    ) -> (&'a [bf16], usize) {
        let padded = depth.next_multiple_of(RUN);
        let to = &mut Self::numbers(scratch)[..count * padded];
        for (row, to) in to.chunks_exact_mut(padded).enumerate() {
            let (values, padding) = to.split_at_mut(depth);
            self.convert(&from[row * step..][..depth], values);
            padding.fill(bf16::ZERO);
        }
        (to, padded)
    }

    fn readable<'a>(_input: &'a [f32], converted: &'a [f32]) -> &'a [bf16] {
        // SAFETY: as in `numbers`.
        unsafe { std::slice::from_raw_parts(converted.as_ptr().cast(), 2 * converted.len()) }
    }

    #[inline(always)]
    unsafe fn blocks<V: Vector>(rows: &mut Rows<'_, Self>, late: Option<Late<'_>>) {
        #[cfg(target_arch = "x86_64")]
        if rows.weights.arithmetic.0 == Products::Dot {
            // SAFETY: the caller's promise; `available` found the instructions, on a level of so many lanes.
            return unsafe { super::dot::blocks::<V>(rows, late) };
        }
        assert!((1..=MOST_SEGMENTS).contains(&rows.segments.len()) && rows.segments.iter().all(|s| s.len > 0));
        for (lines, line_rows) in rows.grid.blocks() {
            // SAFETY: the caller's promise.
            unsafe { rows.block::<V>(lines.clone(), line_rows.clone()) };
            rows.apply_late::<V>(late, lines, line_rows);
        }
    }
}

impl Product<'_> {
    /// Computes the sums of as many rows as there are.
    ///
    /// # Safety
    /// The rows' inputs and the panel reach as far as the steps say.
    #[inline(always)]
    unsafe fn compute(&self, arithmetic: Bf16, sums: &mut MaybeUninit<Sums>) {
        // SAFETY: the caller's promise; `available` found the instructions.
        unsafe {
            match arithmetic.0 {
                Products::Plain => self.compute_plainly(sums),
                #[cfg(target_arch = "x86_64")]
                Products::Amx => super::amx::multiply(self, sums),
                #[cfg(target_arch = "x86_64")]
                Products::Dot => unreachable!("its sums stay in registers"),
            }
        }
    }

    /// # Safety
    /// As for [`compute`](Self::compute).
    unsafe fn compute_plainly(&self, to: &mut MaybeUninit<Sums>) {
        let to: *mut [[f32; COLUMNS]; ROWS] = to.as_mut_ptr().cast();
        for (group, input) in self.inputs.into_iter().enumerate() {
            for row in 0..self.rows {
                let mut sums = [0.0; COLUMNS];
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
                // SAFETY: so many groups and rows are there.
                unsafe { to.add(group).cast::<[f32; COLUMNS]>().add(row).write(sums) };
            }
        }
    }
}

/// A group of rows: the first `skipped` are computed again, only so that it has as many as the others.
#[derive(Clone, Copy)]
struct Group {
    line: usize,
    row: usize,
    skipped: usize,
}

/// How a block's rows are grouped: into as few groups as there can be, all of the same height, or nearly so.
struct Groups {
    lines: Range<usize>,
    rows: Range<usize>,
    /// Lines whose inputs follow each other are one.
    joined: bool,
    /// Groups of a line, or of all lines if they are one.
    in_line: usize,
    /// Rows of each group.
    height: usize,
}

impl Groups {
    #[inline(always)]
    fn of(grid: &Grid, lines: Range<usize>, rows: Range<usize>) -> Self {
        let joined = rows.len() == grid.rows && grid.input_line == grid.rows * grid.input_step;
        let len = if joined { lines.len() * rows.len() } else { rows.len() };
        let in_line = len.div_ceil(ROWS);
        Self { lines, rows, joined, in_line, height: len.div_ceil(in_line) }
    }

    #[inline(always)]
    fn count(&self) -> usize {
        if self.joined { self.in_line } else { self.lines.len() * self.in_line }
    }

    #[inline(always)]
    fn get(&self, index: usize) -> Group {
        let Self { lines, rows, height, .. } = self;
        if self.joined {
            let start = index * height;
            let first = start.min(lines.len() * rows.len() - height);
            Group { line: lines.start + first / rows.len(), row: first % rows.len(), skipped: start - first }
        } else {
            let start = rows.start + index % self.in_line * height;
            let row = start.min(rows.end - height);
            Group { line: lines.start + index / self.in_line, row, skipped: start - row }
        }
    }
}

impl Rows<'_, Bf16> {
    /// Computes `rows` of `lines`, panel by panel.
    ///
    /// # Safety
    /// The lengths were checked by [`compute`](Self::compute).
    #[inline(always)]
    unsafe fn block<V: Vector>(&mut self, lines: Range<usize>, rows: Range<usize>) {
        let Panels { arithmetic, panels, size, .. } = self.weights;
        let Grid { input_step, input_line, .. } = self.grid;
        let mut steps = [Steps::default(); MOST_SEGMENTS];
        for (step, segment) in steps.iter_mut().zip(self.segments) {
            *step = Steps {
                input_bytes: segment.offset * size_of::<bf16>(),
                weights_bytes: segment.weights * COLUMNS * size_of::<bf16>(),
                count: segment.len.div_ceil(RUN),
            };
        }
        let steps = &steps[..self.segments.len()];
        let groups = Groups::of(&self.grid, lines, rows);
        #[cfg(target_arch = "x86_64")]
        let _tiles = (arithmetic.0 == Products::Amx).then(|| super::amx::Tiles::of(groups.height));
        // Not zeroed: only what was computed is read.
        let mut sums = MaybeUninit::<Sums>::uninit();
        for column in (0..size.columns).step_by(COLUMNS) {
            let panel = panels[column * size.rows::<Bf16>()..].as_ptr();
            for first in (0..groups.count()).step_by(2) {
                // The last one may be alone.
                let pair = [groups.get(first), groups.get((first + 1).min(groups.count() - 1))];
                let [upper, lower] = pair;
                let inputs = [
                    self.input[upper.line * input_line + upper.row * input_step..].as_ptr(),
                    self.input[lower.line * input_line + lower.row * input_step..].as_ptr(),
                ];
                let product = Product { inputs, input_step, rows: groups.height, panel, steps };
                // SAFETY: the caller's promise; the groups are within lines and rows.
                unsafe {
                    product.compute(arithmetic, &mut sums);
                    let sums: *const [[f32; COLUMNS]; ROWS] = sums.as_ptr().cast();
                    for (i, group) in pair.into_iter().take(groups.count() - first).enumerate() {
                        let sums = std::slice::from_raw_parts(sums.add(i).cast(), product.rows);
                        self.finish_group::<V>(group, column, sums);
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
        let left = (columns - column).min(COLUMNS);
        let (mut line, mut row) = (group.line, group.row + group.skipped);
        let mut sums = &sums[group.skipped..];
        while !sums.is_empty() {
            while row >= self.grid.rows {
                (line, row) = (line + 1, row - self.grid.rows);
            }
            let at = line * self.grid.output_line + row * columns + column;
            let count = if sums.len().min(self.grid.rows - row) >= FINISHED { FINISHED } else { 1 };
            for vector in (0..left).step_by(2 * V::LANES) {
                let (at, column) = (at + vector, column + vector);
                // SAFETY: the caller's promise.
                unsafe {
                    match (left - vector > V::LANES, count == FINISHED) {
                        (true, true) => self.finish_rows::<V, FINISHED, 2>(at, column, sums, vector),
                        (true, false) => self.finish_rows::<V, 1, 2>(at, column, sums, vector),
                        (false, true) => self.finish_rows::<V, FINISHED, 1>(at, column, sums, vector),
                        (false, false) => self.finish_rows::<V, 1, 1>(at, column, sums, vector),
                    }
                }
            }
            sums = &sums[count..];
            row += count;
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
