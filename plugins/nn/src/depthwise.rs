//! Depthwise convolution of any window (3x3 and 5x5 in practice), one filter per channel.
//!
//! The input rows under the window live in a ring of zero-padded rows in scratch, so every tile is an inner
//! tile and each input row is copied once.

use std::ops::Range;
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
    const fn ring_rows(&self) -> usize {
        (self.window.rows.kernel - 1) * self.window.rows.dilation + 1
    }

    /// Input rows that two neighbouring output rows both read.
    pub(crate) const fn shared_rows(&self) -> usize {
        self.ring_rows().saturating_sub(self.window.rows.stride)
    }

    /// How many input rows, padding included, so many output rows are made from.
    const fn rows_under(&self, outputs: usize) -> usize {
        (outputs - 1) * self.window.rows.stride + self.ring_rows()
    }

    /// Scratch for a ring of all channels, for one output row at a time, in f32.
    pub(crate) const fn ring_len(&self) -> usize {
        self.ring_len_for(1, self.channels)
    }

    /// Scratch for a ring of so many channels, for so many output rows at a time, in f32.
    pub(crate) const fn ring_len_for(&self, outputs: usize, channels: usize) -> usize {
        self.rows_under(outputs) * self.window.columns.padded() * channels + SLACK
    }
}

/// The input rows under the window, zero-padded, for one output row after the other, or for several.
pub(crate) struct Ring<'a> {
    conv: &'a Depthwise,
    memory: &'a mut [f32],
    /// The channels that it is of.
    channels: Range<usize>,
    /// Rows that it holds.
    rows: usize,
    /// The padded rows before this one are, or were, in memory.
    filled: usize,
}

/// What a ring's rows are made from.
pub(crate) trait RowSource {
    /// Writes input rows, without padding, each `step` after the one before.
    fn write<V: Vector>(&mut self, rows: Range<usize>, output: &mut [f32], step: usize);
}

impl<'a> Ring<'a> {
    /// A ring of all channels in `memory` of [`Depthwise::ring_len`] f32, of any value.
    pub(crate) const fn new(conv: &'a Depthwise, memory: &'a mut [f32]) -> Self {
        Self { conv, memory, channels: 0..conv.channels, rows: conv.rows_under(1), filled: 0 }
    }

    /// A ring of some channels, from a whole vector on, for so many output rows at a time, in `memory` of
    /// [`Depthwise::ring_len_for`] f32.
    pub(crate) fn of(conv: &'a Depthwise, memory: &'a mut [f32], channels: Range<usize>, outputs: usize) -> Self {
        assert!(channels.start.is_multiple_of(conv.level.lanes()) && channels.end <= conv.channels);
        Self { conv, memory, channels, rows: conv.rows_under(outputs), filled: 0 }
    }

    /// A padded row's length.
    const fn padded_len(&self) -> usize {
        self.conv.window.columns.padded() * (self.channels.end - self.channels.start)
    }

    /// Fills the ring for some output rows, which are below all earlier ones.
    #[inline(always)]
    pub(crate) fn advance<V: Vector>(&mut self, outputs: Range<usize>, source: &mut impl RowSource) {
        let rows = self.conv.window.rows;
        let top = outputs.start * rows.stride;
        let end = top + self.conv.rows_under(outputs.len());
        assert!(end - top <= self.rows);
        let (first, last) = (rows.before, rows.before + rows.input);
        let mut row = self.filled.max(top);
        while row < end {
            let slot = row % self.rows;
            // Rows that lie together in the ring, and are all padding or all not.
            let until = [first, last, end].into_iter().find(|&until| until > row).unwrap_or(end);
            let count = (until.min(end) - row).min(self.rows - slot);
            self.fill::<V>(slot, (first..last).contains(&row).then(|| row - first), count, source);
            row += count;
        }
        self.filled = end;
    }

    /// Fills `count` slots with input rows from `row` on, or with padding.
    #[inline(always)]
    fn fill<V: Vector>(&mut self, slot: usize, row: Option<usize>, count: usize, source: &mut impl RowSource) {
        let columns = self.conv.window.columns;
        let (padded_len, channels) = (self.padded_len(), self.channels.len());
        let slots = &mut self.memory[slot * padded_len..][..count * padded_len];
        let Some(row) = row else {
            slots.fill(0.0);
            return;
        };
        let (before, row_len) = (columns.before * channels, columns.input * channels);
        for slot in slots.chunks_exact_mut(padded_len) {
            slot[..before].fill(0.0);
            slot[before + row_len..].fill(0.0);
        }
        source.write::<V>(row..row + count, &mut slots[before..], padded_len);
    }

    /// Computes output row `row`, which the ring was filled for.
    #[inline(always)]
    pub(crate) fn compute<V: Vector>(&self, row: usize, residual: Residual<'_>, output: &mut [f32]) {
        let width = self.conv.window.columns.output;
        let residual = match residual {
            Residual::None => None,
            Residual::Row(row) => Some(row),
            Residual::Input => Some(self.input_row(row)),
        };
        assert!(self.memory.len() >= self.rows * self.padded_len() + SLACK);
        assert!(row * self.conv.window.rows.stride + self.conv.ring_rows() <= self.filled);
        assert_eq!(output.len(), width * self.channels.len());
        assert!(residual.is_none_or(|r| r.len() == output.len()));
        let activation = self.conv.activation;
        let (residual, late) = if activation.is_long() { (None, residual) } else { (residual, None) };
        for channel in (0..self.channels.len()).step_by(V::LANES) {
            let mut x = 0;
            // SAFETY: the lengths were checked; tiles end within the row.
            unsafe {
                while x + TILE <= width {
                    self.tile::<V, TILE>(row, x, channel, residual, output);
                    x += TILE;
                }
                if x < width && width > TILE {
                    self.tile::<V, TILE>(row, width - TILE, channel, residual, output);
                } else {
                    while x < width {
                        self.tile::<V, 1>(row, x, channel, residual, output);
                        x += 1;
                    }
                }
            }
        }
        if activation.is_long() {
            apply_late::<V>(activation, late.map(gemm::Residual::After), output);
        }
    }

    /// Computes one vector of the ring's channels, from number `channel` on, of `T` output pixels from `x` on.
    ///
    /// # Safety
    /// `x + T` pixels are within the row, `channel` is below the channels, and the slices have their lengths.
    #[inline(always)]
    unsafe fn tile<V: Vector, const T: usize>(
        &self,
        row: usize,
        x: usize,
        channel: usize,
        residual: Option<&[f32]>,
        output: &mut [f32],
    ) {
        let Window { rows, columns } = self.conv.window;
        let channels = self.channels.len();
        let (step, padded) = (columns.stride * channels, self.conv.channels.next_multiple_of(V::LANES));
        // SAFETY: taps and bias are padded to whole vectors; a vector that starts within the ring may reach
        // beyond its last pixel by less than `SLACK`, which the ring has.
        let mut sums = unsafe {
            let first = self.channels.start + channel;
            let mut sums = [[V::load(self.conv.bias.as_ptr().add(first))]; T];
            let mut weight = self.conv.taps.as_ptr().add(first);
            for tap in 0..rows.kernel {
                let slot = (row * rows.stride + tap * rows.dilation) % self.rows;
                let mut input = self.memory.as_ptr().add(slot * self.padded_len() + x * step + channel);
                for _ in 0..columns.kernel {
                    let factor = V::load(weight);
                    for (t, [sum]) in sums.iter_mut().enumerate() {
                        *sum = V::load(input.add(t * step)).mul_add(factor, *sum);
                    }
                    weight = weight.add(padded);
                    input = input.add(columns.dilation * channels);
                }
            }
            sums
        };
        self.conv.activation.apply(&mut sums);
        let count = channels - channel;
        for (t, [mut sum]) in sums.into_iter().enumerate() {
            let at = (x + t) * channels + channel;
            // SAFETY: `count` values at `at` are within pixel `x + t`.
            unsafe {
                if let Some(residual) = residual {
                    sum = sum.add(load_up_to(residual.as_ptr().add(at), count));
                }
                store_up_to(sum, output.as_mut_ptr().add(at), count);
            }
        }
    }

    /// The input row at the place of output row `row` of a convolution with stride 1.
    fn input_row(&self, row: usize) -> &[f32] {
        let Window { rows, columns } = self.conv.window;
        let slot = (row * rows.stride + rows.before) % self.rows * self.padded_len();
        &self.memory[slot + columns.before * self.channels.len()..][..columns.input * self.channels.len()]
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
pub(crate) struct Image<'a> {
    pub(crate) pixels: &'a [f32],
    pub(crate) row_len: usize,
}

impl Image<'_> {
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.pixels[row * self.row_len..][..self.row_len]
    }
}

impl RowSource for Image<'_> {
    #[inline(always)]
    fn write<V: Vector>(&mut self, rows: Range<usize>, output: &mut [f32], step: usize) {
        for (row, output) in rows.zip(output.chunks_mut(step)) {
            output[..self.row_len].copy_from_slice(self.row(row));
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
        let row_len = self.conv.window.columns.output * self.conv.channels;
        let mut ring = Ring::new(self.conv, self.scratch);
        let input = self.conv.input();
        let mut source = Image { pixels: self.input, row_len: input.width * input.channels };
        for (i, output) in self.output.chunks_exact_mut(row_len).enumerate() {
            ring.advance::<V>(self.first + i..self.first + i + 1, &mut source);
            let residual = self.residual.map_or(Residual::None, |r| Residual::Row(&r[i * row_len..][..row_len]));
            ring.compute::<V>(self.first + i, residual, output);
        }
    }
}
