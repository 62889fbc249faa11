//! Matrix products, which dense, pointwise and transposed convolution and attention share.
//!
//! Output pixels are rows and output channels columns; weights are packed into panels of a few vectors of columns.
//! What follows a sum (residual, activation) is applied to a tile before it is written, or, where that would be too
//! long a loop, to a block of rows that is still in the cache.
#![allow(
    private_interfaces,
    private_bounds,
    unreachable_pub,
    reason = "what is public here can't be named outside of this crate"
)]

#[cfg(target_arch = "x86_64")]
mod amx;
mod bf16;
#[cfg(target_arch = "x86_64")]
mod dot;
mod packed;
mod single;
mod tiles;

use std::fmt::Debug;
use std::ops::Range;

pub use bf16::Bf16;
pub(crate) use packed::{BIAS_MULTIPLE, PackedWeights, Panels, Size};
pub use single::Single;

use crate::activation::Activation;
use crate::buffer::Bits;
use crate::simd::{Vector, load_up_to, store_up_to};

/// Rows that go through all panels together; whole tiles on all levels.
const ROW_BLOCK: usize = 192;

/// The numbers that products are computed in, and by which instructions.
pub trait Arithmetic: Copy + Debug + Send + Sync + 'static {
    /// What inputs and weights are stored as; sums are f32.
    type Number: Bits;
    /// Runs of input values are read in multiples of so many, and weights are padded by zeros to it.
    const RUN: usize;

    /// Columns of the next panel, on vectors of `lanes` f32.
    fn panel(lanes: usize, columns_left: usize) -> usize;
    /// Where in a panel of `width` columns a weight is.
    fn place(width: usize, column: usize, row: usize) -> usize;
    /// Packs weights that lie as `source` says into [`Size::panels_len`] numbers.
    fn pack(self, lanes: usize, size: Size, source: Source<'_>, panels: &mut [Self::Number]);
    /// The number for a weight.
    fn number(value: f32) -> Self::Number;
    /// Scratch memory for numbers.
    fn numbers(scratch: &mut [f32]) -> &mut [Self::Number];
    /// Converts input values.
    fn convert(self, from: &[f32], to: &mut [Self::Number]);
    /// Memory for converted pixels of `depth` values each, in f32; none where input values are read as they are.
    fn converted_len(pixels: usize, depth: usize) -> usize;
    /// Converts pixels of `depth` values, each padded to whole runs.
    fn convert_pixels(self, from: &[f32], depth: usize, to: &mut [f32]);
    /// Rows of `depth` values, `step` apart: where they are, or converted to `scratch`; and how far they are apart then.
    fn convert_rows<'a>(
        self,
        from: &'a [f32],
        step: usize,
        depth: usize,
        count: usize,
        scratch: &'a mut [f32],
    ) -> (&'a [Self::Number], usize);
    /// What is read: the input, or what it was converted to.
    fn readable<'a>(input: &'a [f32], converted: &'a [f32]) -> &'a [Self::Number];
    /// Computes all rows, and what comes `late` for each block of them.
    ///
    /// # Safety
    /// The lengths were checked by [`Rows::compute`].
    unsafe fn blocks<V: Vector>(rows: &mut Rows<'_, Self>, late: Option<Late<'_>>);
}

/// A matrix that is packed when it is used: its values are those of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) values: &'a [f32],
    /// From a pixel to the next.
    pub(crate) step: usize,
    /// Whether a pixel holds what one output is summed over, or one value for each output.
    pub(crate) by_output: bool,
    /// What all values are multiplied by.
    pub(crate) factor: f32,
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
pub(crate) struct Rows<'a, A: Arithmetic = Single> {
    pub(crate) weights: Panels<'a, A>,
    pub(crate) start: Start,
    pub(crate) activation: Activation,
    /// The input of the first row. Runs may be read further, to a multiple of [`Arithmetic::RUN`] values.
    pub(crate) input: &'a [A::Number],
    /// The input of one row, in runs.
    pub(crate) segments: &'a [Segment],
    pub(crate) grid: Grid,
    /// In the output's layout.
    pub(crate) residual: Option<Residual<'a>>,
    pub(crate) output: &'a mut [f32],
}

impl<A: Arithmetic> Rows<'_, A> {
    /// Computes all rows.
    #[inline(always)]
    pub(crate) fn compute<V: Vector>(mut self) {
        if self.grid.is_empty() {
            return;
        }
        let Panels { panels, bias, size, .. } = self.weights;
        let padded = |segment: &Segment| segment.len.next_multiple_of(A::RUN);
        let reach = self.segments.iter().map(|s| s.offset + padded(s)).max().unwrap_or(0);
        assert!(self.input.len() >= self.grid.input_reach() + reach);
        assert!(self.segments.iter().all(|s| s.weights + padded(s) <= size.rows::<A>()));
        assert!(self.output.len() >= self.grid.output_len(size.columns));
        assert!(self.residual.is_none_or(|r| r.values().len() == self.output.len()));
        assert!(panels.len() >= size.panels_len::<A>(V::LANES));
        assert!(bias.is_none_or(|b| b.len() >= size.columns.next_multiple_of(V::LANES)));
        let late = self.activation.is_long().then_some((self.activation, self.residual));
        if late.is_some() {
            (self.activation, self.residual) = (Activation::None, None);
        }
        // SAFETY: the lengths of input, weights, bias, residual and output were checked above.
        unsafe { A::blocks::<V>(&mut self, late) };
    }

    /// How many values one output is summed over.
    fn depth(&self) -> usize {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    #[inline(always)]
    fn apply_late<V: Vector>(&mut self, late: Option<Late<'_>>, lines: Range<usize>, rows: Range<usize>) {
        let Some((activation, residual)) = late else { return };
        let columns = self.weights.size.columns;
        for line in lines {
            let first = line * self.grid.output_line;
            let values = first + rows.start * columns..first + rows.end * columns;
            let residual = residual.map(|residual| residual.slice_from(values.start, values.len()));
            apply_late::<V>(activation, residual, &mut self.output[values]);
        }
    }

    /// Adds what sums start from.
    ///
    /// # Safety
    /// `at` is the place of a tile of `M` rows in the output, and of `column` in its first row.
    #[inline(always)]
    unsafe fn add_start<V: Vector, const M: usize, const N: usize>(
        &self,
        at: usize,
        column: usize,
        sums: &mut [[V; N]; M],
    ) {
        let columns = self.weights.size.columns;
        match (self.start, self.weights.bias) {
            // SAFETY: the caller's promise.
            (Start::Output, _) => unsafe { add(self.output, at, columns, columns - column, sums) },
            (Start::Bias, None) => {}
            (Start::Bias, Some(bias)) => {
                for sum in sums {
                    for (n, value) in sum.iter_mut().enumerate() {
                        // SAFETY: the bias is padded to whole panels.
                        *value = value.add(unsafe { V::load(bias.as_ptr().add(column + n * V::LANES)) });
                    }
                }
            }
        }
    }

    /// Applies the activation and adds the residual.
    ///
    /// # Safety
    /// As for [`add_start`](Self::add_start).
    #[inline(always)]
    unsafe fn finish<V: Vector, const M: usize, const N: usize>(
        &self,
        at: usize,
        column: usize,
        sums: &mut [[V; N]; M],
    ) {
        let columns = self.weights.size.columns;
        let (before, after) = Residual::apart(self.residual);
        // SAFETY: the caller's promise; a residual has the output's layout.
        unsafe {
            if let Some(values) = before {
                add(values, at, columns, columns - column, sums);
            }
            self.activation.apply(sums);
            if let Some(values) = after {
                add(values, at, columns, columns - column, sums);
            }
        }
    }

    /// # Safety
    /// As for [`add_start`](Self::add_start).
    #[inline(always)]
    unsafe fn store<V: Vector, const M: usize, const N: usize>(&mut self, at: usize, column: usize, sums: [[V; N]; M]) {
        let columns = self.weights.size.columns;
        let left = columns - column;
        let whole = left >= N * V::LANES;
        for (m, sum) in sums.iter().enumerate() {
            // SAFETY: of each row, at most the columns left are written.
            unsafe {
                let to = self.output.as_mut_ptr().add(at + m * columns);
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
