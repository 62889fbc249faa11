//! Depthwise convolution of any window (3x3 and 5x5 in practice), one filter per channel.
//!
//! The input rows under the window live in a ring of zero-padded rows in scratch, so every tile is an inner
//! tile and each input row is copied once.

use crate::activation::Activation;
use crate::buffer::Buffer;
use crate::pool::Pool;
use crate::shape::Shape;
use crate::simd::{Kernel, Level, Vector, load_up_to, store_up_to};
use crate::window::{Window, pad_row};

/// Output pixels computed at a time, each in one register.
const TILE: usize = 8;
/// What a vector may read beyond the ring's last row.
const SLACK: usize = 16;

/// A depthwise convolution with its weights laid out for one level.
#[derive(Debug)]
pub struct Depthwise {
    level: Level,
    window: Window,
    channels: usize,
    /// Taps by channels, the channels rounded up to whole vectors.
    taps: Buffer,
    bias: Buffer,
    activation: Activation,
}

impl Depthwise {
    /// Lays out `weights`, stored as window row, window column, channel.
    ///
    /// # Panics
    /// When the weights' length does not fit the window and the biases.
    pub fn new(
        level: Level,
        window: Window,
        weights: &[f32],
        bias: &[f32],
        activation: Activation,
    ) -> Self {
        let channels = bias.len();
        let taps = window.rows.kernel * window.columns.kernel;
        assert_eq!(
            weights.len(),
            taps * channels,
            "weights are taps x channels"
        );
        let padded = channels.next_multiple_of(level.lanes());
        let mut packed = Buffer::zeroed(taps * padded);
        for (to, from) in packed
            .chunks_exact_mut(padded)
            .zip(weights.chunks_exact(channels))
        {
            to[..channels].copy_from_slice(from);
        }
        let mut packed_bias = Buffer::zeroed(padded);
        packed_bias[..channels].copy_from_slice(bias);
        Self {
            level,
            window,
            channels,
            taps: packed,
            bias: packed_bias,
            activation,
        }
    }

    /// The output image.
    pub fn output(&self) -> Shape {
        self.window.output(self.channels)
    }

    /// Computes `output` from `input`; `residual`, of the output's shape, is added after the activation.
    ///
    /// # Panics
    /// When a slice has not its image's length.
    pub fn run(
        &self,
        pool: &mut Pool,
        input: &[f32],
        residual: Option<&[f32]>,
        output: &mut [f32],
    ) {
        let shape = self.output();
        assert_eq!(
            input.len(),
            self.window.rows.input * self.window.columns.input * self.channels
        );
        assert_eq!(output.len(), shape.len());
        assert!(residual.is_none_or(|r| r.len() == output.len()));
        let work =
            shape.width * self.channels * self.window.rows.kernel * self.window.columns.kernel;
        pool.rows(
            output,
            shape.height,
            work,
            self.ring_len(),
            |first, output, scratch| {
                let residual =
                    residual.map(|r| &r[first * shape.width * self.channels..][..output.len()]);
                self.level.run(DepthwiseRows {
                    conv: self,
                    input,
                    first,
                    residual,
                    output,
                    scratch,
                });
            },
        );
    }

    /// Input rows from the window's first to its last.
    fn ring_rows(&self) -> usize {
        (self.window.rows.kernel - 1) * self.window.rows.dilation + 1
    }

    /// A padded row's length.
    fn padded_len(&self) -> usize {
        self.window.columns.padded() * self.channels
    }

    /// Scratch for the ring, in f32.
    fn ring_len(&self) -> usize {
        self.ring_rows() * self.padded_len() + SLACK
    }

    /// Computes output row `row` from the ring.
    #[inline(always)]
    fn row<V: Vector>(
        &self,
        ring: &[f32],
        row: usize,
        residual: Option<&[f32]>,
        output: &mut [f32],
    ) {
        let width = self.window.columns.output;
        assert!(ring.len() >= self.ring_len() && output.len() == width * self.channels);
        assert!(residual.is_none_or(|r| r.len() == output.len()));
        for channel in (0..self.channels).step_by(V::LANES) {
            let mut x = 0;
            // SAFETY: the lengths were checked; tiles end within the row.
            unsafe {
                while x + TILE <= width {
                    self.tile::<V, TILE>(ring, row, x, channel, residual, output);
                    x += TILE;
                }
                if x < width && width > TILE {
                    self.tile::<V, TILE>(ring, row, width - TILE, channel, residual, output);
                } else {
                    while x < width {
                        self.tile::<V, 1>(ring, row, x, channel, residual, output);
                        x += 1;
                    }
                }
            }
        }
    }

    /// Computes one vector of channels of `T` output pixels from `x` on.
    ///
    /// # Safety
    /// `x + T` pixels are within the row, `channel` is below the channels, and the slices have their lengths.
    #[inline(always)]
    unsafe fn tile<V: Vector, const T: usize>(
        &self,
        ring: &[f32],
        row: usize,
        x: usize,
        channel: usize,
        residual: Option<&[f32]>,
        output: &mut [f32],
    ) {
        let Window { rows, columns } = self.window;
        let (step, padded) = (
            columns.stride * self.channels,
            self.channels.next_multiple_of(V::LANES),
        );
        // SAFETY: taps and bias are padded to whole vectors; a vector that starts within the ring may reach
        // beyond its last pixel by less than `SLACK`, which the ring has.
        let mut sums = unsafe {
            let mut sums = [[V::load(self.bias.as_ptr().add(channel))]; T];
            let mut weight = self.taps.as_ptr().add(channel);
            for tap in 0..rows.kernel {
                let slot = (row * rows.stride + tap * rows.dilation) % self.ring_rows();
                let mut input = ring
                    .as_ptr()
                    .add(slot * self.padded_len() + x * step + channel);
                for _ in 0..columns.kernel {
                    let factor = V::load(weight);
                    for (t, [sum]) in sums.iter_mut().enumerate() {
                        *sum = V::load(input.add(t * step)).mul_add(factor, *sum);
                    }
                    weight = weight.add(padded);
                    input = input.add(columns.dilation * self.channels);
                }
            }
            sums
        };
        self.activation.apply(&mut sums);
        let count = self.channels - channel;
        for (t, [mut sum]) in sums.into_iter().enumerate() {
            let at = (x + t) * self.channels + channel;
            // SAFETY: `count` values at `at` are within pixel `x + t`.
            unsafe {
                if let Some(residual) = residual {
                    sum = sum.add(load_up_to(residual.as_ptr().add(at), count));
                }
                store_up_to(sum, output.as_mut_ptr().add(at), count);
            }
        }
    }
}

struct DepthwiseRows<'a> {
    conv: &'a Depthwise,
    input: &'a [f32],
    first: usize,
    residual: Option<&'a [f32]>,
    output: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl Kernel for DepthwiseRows<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let conv = self.conv;
        let Window { rows, columns } = conv.window;
        let (ring_rows, padded_len) = (conv.ring_rows(), conv.padded_len());
        let row_len = columns.output * conv.channels;
        let mut filled = self.first * rows.stride;
        for (i, output) in self.output.chunks_exact_mut(row_len).enumerate() {
            let row = self.first + i;
            let top = row * rows.stride;
            for padded_row in filled.max(top)..top + ring_rows {
                let slot = &mut self.scratch[padded_row % ring_rows * padded_len..][..padded_len];
                let source = padded_row
                    .checked_sub(rows.before)
                    .filter(|&at| at < rows.input);
                pad_row(&columns, conv.channels, self.input, source, slot);
            }
            filled = top + ring_rows;
            conv.row::<V>(
                self.scratch,
                row,
                self.residual.map(|r| &r[i * row_len..][..row_len]),
                output,
            );
        }
    }
}
