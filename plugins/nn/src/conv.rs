//! Dense convolution of any window: matrix tiles over bands of padded input rows, or, where taps are far from each other,
//! tap by tap straight from the input.

use std::sync::Arc;

use crate::activation::Activation;
use crate::gemm::{Grid, PackedWeights, Residual, Rows, Segment, Start, apply_late};
use crate::pool::Pool;
use crate::shape::{Axis, Shape};
use crate::simd::{Kernel, Level, Vector};
use crate::window::{Window, pad_row};

/// A dense convolution with its weights packed for one level.
#[derive(Debug)]
pub struct Conv2d {
    level: Level,
    window: Window,
    input_channels: usize,
    weights: Arc<PackedWeights>,
    activation: Activation,
}

/// The most rows that a window of neighbouring taps may have.
const MOST_ROWS: usize = 16;
/// Output pixels that are computed from one band of padded rows, if a row has not more.
const BAND: usize = 192;

impl Conv2d {
    /// Packs `weights`, stored as output channel, window row, window column, input channel.
    ///
    /// # Panics
    /// When the weights' length does not fit the window, the channels and the biases, or a window has more than 16 rows.
    pub fn new(
        level: Level,
        window: Window,
        input_channels: usize,
        weights: &[f32],
        bias: &[f32],
        activation: Activation,
    ) -> Self {
        let depth = window.rows.kernel * window.columns.kernel * input_channels;
        let weights = Arc::new(PackedWeights::new(level, weights, bias, depth));
        Self::sharing(level, window, input_channels, weights, activation)
    }

    /// A convolution with weights that others use, too.
    pub(crate) fn sharing(
        level: Level,
        window: Window,
        input_channels: usize,
        weights: Arc<PackedWeights>,
        activation: Activation,
    ) -> Self {
        assert!(window.rows.kernel <= MOST_ROWS, "a window has at most {MOST_ROWS} rows");
        Self { level, window, input_channels, weights, activation }
    }

    /// The output image.
    pub fn output(&self) -> Shape {
        self.window.output(self.weights.columns)
    }

    /// Computes `output` from `input`.
    ///
    /// # Panics
    /// When a slice has not the image's length.
    pub fn run(&self, pool: &mut Pool, input: &[f32], output: &mut [f32]) {
        self.run_with(pool, input, None, output);
    }

    /// The same with a residual.
    pub(crate) fn run_with(&self, pool: &mut Pool, input: &[f32], residual: Option<Residual<'_>>, output: &mut [f32]) {
        let shape = self.output();
        assert_eq!(input.len(), self.window.rows.input * self.window.columns.input * self.input_channels);
        assert_eq!(output.len(), shape.len());
        let work = shape.width * shape.channels * self.weights.depth;
        let scratch_len = if self.by_taps() { 0 } else { self.band_len() };
        pool.rows(output, shape.height, work, scratch_len, |first, output, scratch| {
            let scratch = &mut scratch[..scratch_len];
            self.level.run(ConvRows { conv: self, input, first, residual, output, scratch });
        });
    }

    /// Whether taps are far from each other, or there is only one: then each is a matrix product of its own, of the
    /// pixels for which it does not lie in the padding.
    const fn by_taps(&self) -> bool {
        let Window { rows, columns } = self.window;
        rows.dilation > 1 || columns.dilation > 1 || rows.kernel * columns.kernel == 1
    }

    /// Output rows that are computed from one band.
    fn band_rows(&self) -> usize {
        (BAND / self.window.columns.output.max(1)).clamp(1, self.window.rows.output)
    }

    /// A row with its padding.
    const fn padded_len(&self) -> usize {
        self.window.columns.padded() * self.input_channels
    }

    fn band_len(&self) -> usize {
        let rows = self.window.rows;
        ((self.band_rows() - 1) * rows.stride + rows.kernel) * self.padded_len()
    }
}

struct ConvRows<'a> {
    conv: &'a Conv2d,
    input: &'a [f32],
    first: usize,
    residual: Option<Residual<'a>>,
    output: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl Kernel for ConvRows<'_> {
    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let row_len = self.conv.window.columns.output * self.conv.weights.columns;
        let residual = self.residual.map(|residual| residual.slice_from(self.first * row_len, self.output.len()));
        self.residual = residual;
        if self.conv.by_taps() {
            self.taps::<V>();
        } else {
            self.bands::<V>(row_len);
        }
    }
}

impl ConvRows<'_> {
    /// Computes all rows from bands of padded input rows.
    #[inline(always)]
    fn bands<V: Vector>(self, row_len: usize) {
        let Conv2d { window, input_channels, weights, activation, .. } = self.conv;
        let padded_len = self.conv.padded_len();
        let segments = window_rows(window, *input_channels, padded_len);
        let rows = self.conv.band_rows();
        for (i, output) in self.output.chunks_mut(rows * row_len).enumerate() {
            let lines = output.len() / row_len;
            let top = (self.first + i * rows) * window.rows.stride;
            let padded =
                self.scratch.chunks_exact_mut(padded_len).take((lines - 1) * window.rows.stride + window.rows.kernel);
            for (row, padded) in padded.enumerate() {
                let source = (top + row).checked_sub(window.rows.before).filter(|&row| row < window.rows.input);
                pad_row(&window.columns, *input_channels, self.input, source, padded);
            }
            let rows = Rows {
                weights: weights.view(),
                start: Start::Bias,
                activation: *activation,
                input: self.scratch,
                segments: &segments[..window.rows.kernel],
                grid: Grid {
                    lines,
                    rows: window.columns.output,
                    input_step: window.columns.stride * input_channels,
                    input_line: window.rows.stride * padded_len,
                    output_line: row_len,
                },
                residual: self.residual.map(|residual| residual.slice_from(i * rows * row_len, output.len())),
                output,
            };
            rows.compute::<V>();
        }
    }

    /// Computes all rows tap by tap, straight from the input.
    #[inline(always)]
    fn taps<V: Vector>(mut self) {
        let Conv2d { window, weights, activation, .. } = self.conv;
        let (height, width) = (self.output.len() / weights.columns / window.columns.output, window.columns.output);
        let lines = self.first..self.first + height;
        let taps = (0..window.rows.kernel).flat_map(|row| (0..window.columns.kernel).map(move |column| (row, column)));
        let covers = |&(row, column): &(usize, usize)| {
            window.rows.reached(row, &lines) == lines && window.columns.reached(column, &(0..width)) == (0..width)
        };
        // Where it lies in the padding for no pixel, it comes last, and brings what follows the sum.
        let last = taps.clone().find(covers);
        if window.rows.kernel * window.columns.kernel > 1 {
            weights.fill_with_bias(self.output);
            for tap in taps.filter(|&tap| Some(tap) != last) {
                self.tap::<V>(tap, Start::Output, Activation::None, None);
            }
        }
        match last {
            Some(tap) if window.rows.kernel * window.columns.kernel > 1 => {
                self.tap::<V>(tap, Start::Output, *activation, self.residual);
            }
            Some(tap) => self.tap::<V>(tap, Start::Bias, *activation, self.residual),
            None => apply_late::<V>(*activation, self.residual, self.output),
        }
    }

    /// Adds what the tap in this row and column of the window sees.
    #[inline(always)]
    fn tap<V: Vector>(
        &mut self,
        (row, column): (usize, usize),
        start: Start,
        activation: Activation,
        residual: Option<Residual<'_>>,
    ) {
        let Conv2d { window, input_channels, weights, .. } = self.conv;
        let (columns, row_len) = (weights.columns, window.columns.output * weights.columns);
        let lines = window.rows.reached(row, &(self.first..self.first + self.output.len() / row_len));
        let pixels = window.columns.reached(column, &(0..window.columns.output));
        if lines.is_empty() || pixels.is_empty() {
            return;
        }
        let input_line = window.columns.input * input_channels;
        let source = |axis: &Axis, output: usize, tap: usize| output * axis.stride + tap * axis.dilation - axis.before;
        let input = source(&window.rows, lines.start, row) * input_line
            + source(&window.columns, pixels.start, column) * input_channels;
        let at = (lines.start - self.first) * row_len + pixels.start * columns;
        let rows = Rows {
            weights: weights.view(),
            start,
            activation,
            input: &self.input[input..],
            segments: &[Segment {
                offset: 0,
                len: *input_channels,
                weights: (row * window.columns.kernel + column) * input_channels,
            }],
            grid: Grid {
                lines: lines.len(),
                rows: pixels.len(),
                input_step: window.columns.stride * input_channels,
                input_line: window.rows.stride * input_line,
                output_line: row_len,
            },
            residual: residual.map(|residual| residual.slice_from(at, self.output.len() - at)),
            output: &mut self.output[at..],
        };
        rows.compute::<V>();
    }
}

/// The runs of a window of neighbouring taps over padded rows: one for each of its rows.
fn window_rows(window: &Window, channels: usize, padded_len: usize) -> [Segment; MOST_ROWS] {
    let len = window.columns.kernel * channels;
    std::array::from_fn(|row| Segment { offset: row * padded_len, len, weights: row * len })
}
