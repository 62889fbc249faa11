//! Depthwise convolution of any window (3x3 and 5x5 in practice), one filter per channel.
//!
//! The input rows under the window live in a ring of zero-padded rows in scratch, so every tile is an inner
//! tile and each input row is copied once.

use std::sync::Arc;

use crate::activation::Activation;
use crate::buffer::Buffer;
use crate::gemm::{self, apply_late};
use crate::pool::Pool;
use crate::shape::Shape;
use crate::simd::{Kernel, Level, Vector, load_up_to, store_up_to};
use crate::window::Window;

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
    taps: Arc<Buffer>,
    bias: Arc<Buffer>,
    activation: Activation,
}

impl Depthwise {
    /// Lays out `weights`, stored as window row, window column, channel.
    ///
    /// # Panics
    /// When the weights' length does not fit the window and the biases.
    pub fn new(level: Level, window: Window, weights: &[f32], bias: &[f32], activation: Activation) -> Self {
        let channels = bias.len();
        let taps = window.rows.kernel * window.columns.kernel;
        assert_eq!(weights.len(), taps * channels, "weights are taps x channels");
        let padded = channels.next_multiple_of(level.lanes());
        let mut packed = Buffer::zeroed(taps * padded);
        for (to, from) in packed.chunks_exact_mut(padded).zip(weights.chunks_exact(channels)) {
            to[..channels].copy_from_slice(from);
        }
        let mut packed_bias = Buffer::zeroed(padded);
        packed_bias[..channels].copy_from_slice(bias);
        Self { level, window, channels, taps: Arc::new(packed), bias: Arc::new(packed_bias), activation }
    }

    /// The same filters over another image; a window of the same taps.
    pub(crate) fn over(&self, window: Window) -> Self {
        assert_eq!(window.rows.kernel * window.columns.kernel, self.window.rows.kernel * self.window.columns.kernel);
        Self { window, taps: Arc::clone(&self.taps), bias: Arc::clone(&self.bias), ..*self }
    }

    /// The input image.
    pub(crate) const fn input(&self) -> Shape {
        Shape { height: self.window.rows.input, width: self.window.columns.input, channels: self.channels }
    }

    /// Work per output row, in multiply-accumulates.
    pub(crate) const fn work(&self) -> usize {
        self.window.columns.output * self.channels * self.window.rows.kernel * self.window.columns.kernel
    }

    /// The level that its weights are laid out for.
    pub(crate) const fn level(&self) -> Level {
        self.level
    }

    /// The output image.
    pub fn output(&self) -> Shape {
        self.window.output(self.channels)
    }

    /// Computes `output` from `input`; `residual`, of the output's shape, is added after the activation.
    ///
    /// # Panics
    /// When a slice has not its image's length.
    pub fn run(&self, pool: &mut Pool, input: &[f32], residual: Option<&[f32]>, output: &mut [f32]) {
        let shape = self.output();
        assert_eq!(input.len(), self.input().len());
        assert_eq!(output.len(), shape.len());
        assert!(residual.is_none_or(|r| r.len() == output.len()));
        pool.rows(output, shape.height, self.work(), self.ring_len(), |first, output, scratch| {
            let residual = residual.map(|r| &r[first * shape.width * self.channels..][..output.len()]);
            self.level.run(DepthwiseRows { conv: self, input, first, residual, output, scratch });
        });
    }

    /// Input rows from the window's first to its last.
    fn ring_rows(&self) -> usize {
        (self.window.rows.kernel - 1) * self.window.rows.dilation + 1
    }

    /// Input rows that two neighbouring output rows both read.
    pub(crate) const fn shared_rows(&self) -> usize {
        ((self.window.rows.kernel - 1) * self.window.rows.dilation + 1).saturating_sub(self.window.rows.stride)
    }

    /// A padded row's length.
    fn padded_len(&self) -> usize {
        self.window.columns.padded() * self.channels
    }

    /// Scratch for the ring, in f32.
    pub(crate) fn ring_len(&self) -> usize {
        self.ring_rows() * self.padded_len() + SLACK
    }

    /// Computes output row `row` from the ring.
    #[inline(always)]
    fn row<V: Vector>(&self, ring: &[f32], row: usize, residual: Option<&[f32]>, output: &mut [f32]) {
        let width = self.window.columns.output;
        assert!(ring.len() >= self.ring_len() && output.len() == width * self.channels);
        assert!(residual.is_none_or(|r| r.len() == output.len()));
        let (residual, late) = if self.activation.is_long() { (None, residual) } else { (residual, None) };
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
        if self.activation.is_long() {
            apply_late::<V>(self.activation, late.map(gemm::Residual::After), output);
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
        let (step, padded) = (columns.stride * self.channels, self.channels.next_multiple_of(V::LANES));
        // SAFETY: taps and bias are padded to whole vectors; a vector that starts within the ring may reach
        // beyond its last pixel by less than `SLACK`, which the ring has.
        let mut sums = unsafe {
            let mut sums = [[V::load(self.bias.as_ptr().add(channel))]; T];
            let mut weight = self.taps.as_ptr().add(channel);
            for tap in 0..rows.kernel {
                let slot = (row * rows.stride + tap * rows.dilation) % self.ring_rows();
                let mut input = ring.as_ptr().add(slot * self.padded_len() + x * step + channel);
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

/// The input rows under the window, zero-padded, for one output row after the other.
pub(crate) struct Ring<'a> {
    conv: &'a Depthwise,
    memory: &'a mut [f32],
    /// The padded rows before this one are, or were, in memory.
    filled: usize,
}

/// What a ring's rows are made from.
pub(crate) trait RowSource {
    /// Writes input row `row`, without padding.
    fn write<V: Vector>(&mut self, row: usize, output: &mut [f32]);
}

impl<'a> Ring<'a> {
    /// A ring in `memory` of [`Depthwise::ring_len`] f32, of any value.
    pub(crate) const fn new(conv: &'a Depthwise, memory: &'a mut [f32]) -> Self {
        Self { conv, memory, filled: 0 }
    }

    /// Fills the ring for output row `row`, which is below all later ones.
    #[inline(always)]
    pub(crate) fn advance<V: Vector>(&mut self, row: usize, source: &mut impl RowSource) {
        let Window { rows, columns } = self.conv.window;
        let (ring_rows, padded_len) = (self.conv.ring_rows(), self.conv.padded_len());
        let (before, row_len) = (columns.before * self.conv.channels, columns.input * self.conv.channels);
        let top = row * rows.stride;
        for padded_row in self.filled.max(top)..top + ring_rows {
            let slot = &mut self.memory[padded_row % ring_rows * padded_len..][..padded_len];
            let Some(row) = padded_row.checked_sub(rows.before).filter(|&at| at < rows.input) else {
                slot.fill(0.0);
                continue;
            };
            slot[..before].fill(0.0);
            source.write::<V>(row, &mut slot[before..before + row_len]);
            slot[before + row_len..].fill(0.0);
        }
        self.filled = top + ring_rows;
    }

    /// Computes output row `row`, which the ring was filled for.
    #[inline(always)]
    pub(crate) fn compute<V: Vector>(&self, row: usize, residual: Residual<'_>, output: &mut [f32]) {
        let residual = match residual {
            Residual::None => None,
            Residual::Row(row) => Some(row),
            Residual::Input => Some(self.input_row(row)),
        };
        self.conv.row::<V>(self.memory, row, residual, output);
    }

    /// The input row at the place of output row `row` of a convolution with stride 1.
    fn input_row(&self, row: usize) -> &[f32] {
        let Window { rows, columns } = self.conv.window;
        let slot = (row * rows.stride + rows.before) % self.conv.ring_rows() * self.conv.padded_len();
        &self.memory[slot + columns.before * self.conv.channels..][..columns.input * self.conv.channels]
    }
}

/// What is added to an output row.
#[derive(Clone, Copy)]
pub(crate) enum Residual<'a> {
    None,
    Row(&'a [f32]),
    /// The input itself.
    Input,
}

/// Rows copied from an image.
struct Image<'a> {
    pixels: &'a [f32],
}

impl RowSource for Image<'_> {
    #[inline(always)]
    fn write<V: Vector>(&mut self, row: usize, output: &mut [f32]) {
        output.copy_from_slice(&self.pixels[row * output.len()..][..output.len()]);
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
        let row_len = self.conv.window.columns.output * self.conv.channels;
        let mut ring = Ring::new(self.conv, self.scratch);
        let mut source = Image { pixels: self.input };
        for (i, output) in self.output.chunks_exact_mut(row_len).enumerate() {
            ring.advance::<V>(self.first + i, &mut source);
            let residual = self.residual.map_or(Residual::None, |r| Residual::Row(&r[i * row_len..][..row_len]));
            ring.compute::<V>(self.first + i, residual, output);
        }
    }
}
