//! Weights as tiles read them: panels of a few vectors of columns, each with all rows, one after the other.

use std::ops::Range;

use super::{Arithmetic, Single, Source};
use crate::buffer::Buffer;
use crate::simd::Level;

/// Biases are padded to a multiple of this many columns: a panel's on all levels.
pub(crate) const BIAS_MULTIPLE: usize = 32;

/// What is packed: `columns` outputs, each summed over `runs` runs of `run` values that lie together in the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) runs: usize,
    pub(crate) run: usize,
}

impl Size {
    /// How many values one output is summed over.
    pub(crate) const fn depth(self) -> usize {
        self.runs * self.run
    }

    /// Rows of a panel: depth, each run padded.
    pub(crate) const fn rows<A: Arithmetic>(self) -> usize {
        self.runs * self.run.next_multiple_of(A::RUN)
    }

    /// Values that all panels have.
    pub(crate) fn panels_len<A: Arithmetic>(self, lanes: usize) -> usize {
        let whole = A::panel(lanes, usize::MAX);
        let rest = self.columns % whole;
        let rest = if rest == 0 { 0 } else { A::panel(lanes, rest) };
        (self.columns / whole * whole + rest) * self.rows::<A>()
    }
}

/// Packed weights and biases.
#[derive(Debug)]
pub(crate) struct PackedWeights<A: Arithmetic = Single> {
    arithmetic: A,
    panels: Buffer<A::Number>,
    bias: Buffer,
    size: Size,
}

/// Packed weights wherever they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels<'a, A: Arithmetic = Single> {
    pub(super) arithmetic: A,
    pub(super) panels: &'a [A::Number],
    /// Padded; zeros when there is none.
    pub(super) bias: Option<&'a [f32]>,
    pub(super) size: Size,
}

impl<A: Arithmetic> PackedWeights<A> {
    /// Packs a row of `size.depth()` weights for each bias.
    pub(crate) fn new(arithmetic: A, level: Level, weights: &[f32], bias: &[f32], size: Size) -> Self {
        assert_eq!(bias.len(), size.columns, "a bias for each output channel");
        assert_eq!(weights.len(), size.columns * size.depth(), "weights are output channels x depth");
        let mut panels = Buffer::zeroed(size.panels_len::<A>(level.lanes()));
        let mut packed_bias = Buffer::zeroed(size.columns.next_multiple_of(BIAS_MULTIPLE));
        packed_bias[..size.columns].copy_from_slice(bias);
        pack::<A>(level.lanes(), size, |column, k| weights[column * size.depth() + k], &mut panels);
        Self { arithmetic, panels, bias: packed_bias, size }
    }

    pub(crate) fn view(&self) -> Panels<'_, A> {
        Panels { arithmetic: self.arithmetic, panels: &self.panels, bias: Some(&self.bias), size: self.size }
    }

    /// The columns of this range, which starts at a multiple of [`BIAS_MULTIPLE`].
    pub(crate) fn columns_in(&self, level: Level, range: Range<usize>) -> Panels<'_, A> {
        assert!(range.start.is_multiple_of(BIAS_MULTIPLE) && range.end <= self.size.columns);
        let before = Size { columns: range.start, ..self.size };
        Panels {
            arithmetic: self.arithmetic,
            panels: &self.panels[before.panels_len::<A>(level.lanes())..],
            bias: Some(&self.bias[range.start..]),
            size: Size { columns: range.len(), ..self.size },
        }
    }

    /// How they are multiplied.
    pub(crate) const fn arithmetic(&self) -> A {
        self.arithmetic
    }

    /// Outputs in a pixel.
    pub(crate) const fn columns(&self) -> usize {
        self.size.columns
    }

    /// Values that one output is summed over.
    pub(crate) const fn depth(&self) -> usize {
        self.size.depth()
    }

    /// Writes the biases to each pixel of `output`.
    pub(crate) fn fill_with_bias(&self, output: &mut [f32]) {
        for pixel in output.chunks_exact_mut(self.size.columns) {
            pixel.copy_from_slice(&self.bias[..self.size.columns]);
        }
    }
}

impl<'a, A: Arithmetic> Panels<'a, A> {
    /// Values that one output is summed over.
    pub(crate) const fn depth(&self) -> usize {
        self.size.depth()
    }

    /// Packs weights, in one run, into `memory`, of at least [`Size::panels_len`].
    pub(crate) fn pack(
        arithmetic: A,
        level: Level,
        size: Size,
        source: Source<'_>,
        memory: &'a mut [A::Number],
    ) -> Self {
        let (pixels, values) = if source.by_output { (size.columns, size.run) } else { (size.run, size.columns) };
        assert!(size.runs == 1 && source.values.len() >= (pixels - 1) * source.step + values);
        let panels = &mut memory[..size.panels_len::<A>(level.lanes())];
        arithmetic.pack(level.lanes(), size, source, panels);
        Self { arithmetic, panels, bias: None, size }
    }
}

#[inline(always)]
fn pack<A: Arithmetic>(lanes: usize, size: Size, weight: impl Fn(usize, usize) -> f32, mut panels: &mut [A::Number]) {
    let (mut first, padded) = (0, size.run.next_multiple_of(A::RUN));
    while first < size.columns {
        let width = A::panel(lanes, size.columns - first);
        let (panel, rest) = panels.split_at_mut(width * size.rows::<A>());
        for row in 0..size.rows::<A>() {
            let (run, k) = (row / padded, row % padded);
            for column in 0..width {
                let inside = k < size.run && first + column < size.columns;
                let value = if inside { weight(first + column, run * size.run + k) } else { 0.0 };
                panel[A::place(width, column, row)] = A::number(value);
            }
        }
        (panels, first) = (rest, first + width);
    }
}
