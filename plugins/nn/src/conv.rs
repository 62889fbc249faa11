//! Dense convolution of any window: padded input rows in scratch, then matrix tiles along each output row.

use crate::activation::Activation;
use crate::gemm::{PackedWeights, Rows, Segment};
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
    weights: PackedWeights,
    segments: Vec<Segment>,
    activation: Activation,
}

impl Conv2d {
    /// Packs `weights`, stored as output channel, window row, window column, input channel.
    ///
    /// # Panics
    /// When the weights' length does not fit the window, the channels and the biases.
    pub fn new(
        level: Level,
        window: Window,
        input_channels: usize,
        weights: &[f32],
        bias: &[f32],
        activation: Activation,
    ) -> Self {
        let depth = window.rows.kernel * window.columns.kernel * input_channels;
        let row_len = window.columns.padded() * input_channels;
        let mut segments = Vec::new();
        for row in 0..window.rows.kernel {
            if window.columns.dilation == 1 {
                segments.push(Segment { offset: row * row_len, len: window.columns.kernel * input_channels });
                continue;
            }
            for tap in 0..window.columns.kernel {
                let offset = row * row_len + tap * window.columns.dilation * input_channels;
                segments.push(Segment { offset, len: input_channels });
            }
        }
        let weights = PackedWeights::new(level, weights, bias, depth);
        Self { level, window, input_channels, weights, segments, activation }
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
        let shape = self.output();
        assert_eq!(output.len(), shape.len());
        let padded_len = self.window.columns.padded() * self.input_channels;
        let scratch_len = padded_len * self.window.rows.kernel;
        let work = shape.width * shape.channels * self.weights.depth;
        pool.rows(output, shape.height, work, scratch_len, |first, output, scratch| {
            let scratch = &mut scratch[..scratch_len];
            self.level.run(ConvRows { conv: self, input, first, output, scratch, padded_len });
        });
    }
}

struct ConvRows<'a> {
    conv: &'a Conv2d,
    input: &'a [f32],
    first: usize,
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
            let rows = Rows {
                weights,
                activation: *activation,
                input: self.scratch,
                segments,
                input_step: window.columns.stride * input_channels,
                count: width,
                residual: None,
                output,
            };
            rows.compute::<V>();
        }
    }
}
