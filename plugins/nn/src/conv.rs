//! Dense convolution of any window: padded input rows in scratch, then matrix tiles along each output row.

use std::sync::Arc;

use crate::activation::Activation;
use crate::gemm::{PackedWeights, Residual, Rows, Segment};
use crate::pool::Pool;
use crate::shape::Shape;
use crate::simd::{Kernel, Level, Vector};
use crate::window::{Window, pad_row};

/// A dense convolution with its weights packed for one level.
#[derive(Debug)]
pub struct Conv2d {
    level: Level,
    window: Window,
    input_channels: usize,
    weights: Arc<PackedWeights>,
    segments: Segments,
    activation: Activation,
}

/// The most runs that a pixel's input may have: windows are at most so high, dilated ones of at most so many taps.
const MOST_SEGMENTS: usize = 16;

#[derive(Clone, Copy, Debug, Default)]
struct Segments {
    list: [Segment; MOST_SEGMENTS],
    count: usize,
}

impl Segments {
    fn new(window: &Window, channels: usize) -> Self {
        let mut segments = Self::default();
        let row_len = window.columns.padded() * channels;
        let (runs, run) = match window.columns.dilation {
            1 => (1, window.columns.kernel),
            _ => (window.columns.kernel, 1),
        };
        for row in 0..window.rows.kernel {
            for tap in 0..runs {
                let offset = row * row_len + tap * window.columns.dilation * channels;
                segments.list[segments.count] = Segment { offset, len: run * channels };
                segments.count += 1;
            }
        }
        segments
    }
}

impl Conv2d {
    /// Packs `weights`, stored as output channel, window row, window column, input channel.
    ///
    /// # Panics
    /// When the weights' length does not fit the window, the channels and the biases, or a window has more than 16
    /// rows, or, when dilated, taps.
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
        Self { level, window, input_channels, weights, segments: Segments::new(&window, input_channels), activation }
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
        let padded_len = self.window.columns.padded() * self.input_channels;
        let scratch_len = padded_len * self.window.rows.kernel;
        let work = shape.width * shape.channels * self.weights.depth;
        pool.rows(output, shape.height, work, scratch_len, |first, output, scratch| {
            let scratch = &mut scratch[..scratch_len];
            self.level.run(ConvRows { conv: self, input, first, residual, output, scratch, padded_len });
        });
    }
}

struct ConvRows<'a> {
    conv: &'a Conv2d,
    input: &'a [f32],
    first: usize,
    residual: Option<Residual<'a>>,
    output: &'a mut [f32],
    scratch: &'a mut [f32],
    padded_len: usize,
}

impl Kernel for ConvRows<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Conv2d { window, input_channels, weights, segments, activation, .. } = self.conv;
        let width = window.columns.output;
        for (i, output) in self.output.chunks_exact_mut(width * weights.columns).enumerate() {
            for (tap, padded) in self.scratch.chunks_exact_mut(self.padded_len).enumerate() {
                let source = window.rows.source(self.first + i, tap);
                pad_row(&window.columns, *input_channels, self.input, source, padded);
            }
            let at = (self.first + i) * output.len();
            let rows = Rows {
                weights: weights.view(),
                activation: *activation,
                input: self.scratch,
                segments: &segments.list[..segments.count],
                input_step: window.columns.stride * input_channels,
                count: width,
                residual: self.residual.map(|residual| residual.slice(at..at + output.len())),
                output,
            };
            rows.compute::<V>();
        }
    }
}
