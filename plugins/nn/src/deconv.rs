//! Transposed convolution of a 2x2 window with stride 2: each input pixel becomes a 2x2 block of output pixels.
//!
//! Nothing overlaps, so it is a pointwise convolution to four times the channels, dealt out to two rows.

use crate::activation::Activation;
use crate::pointwise::Pointwise;
use crate::pool::Pool;
use crate::shape::Shape;
use crate::simd::{Kernel, Level, Vector, load_up_to, store_up_to};

/// A 2x2 transposed convolution with its weights packed for one level.
#[derive(Debug)]
pub struct Deconv2x2 {
    level: Level,
    blocks: Pointwise,
    input: Shape,
    channels: usize,
    activation: Activation,
}

impl Deconv2x2 {
    /// Packs `weights`, stored as output channel, block row, block column, input channel.
    ///
    /// # Panics
    /// When the weights' length does not fit the channels.
    pub fn new(level: Level, input: Shape, weights: &[f32], bias: &[f32], activation: Activation) -> Self {
        let (channels, depth) = (bias.len(), input.channels);
        assert_eq!(weights.len(), channels * 4 * depth, "weights are output channels x 2 x 2 x input channels");
        let order = (0..4).flat_map(|place| (0..channels).map(move |channel| (place, channel)));
        let columns: Vec<f32> =
            order.flat_map(|(place, channel)| &weights[(channel * 4 + place) * depth..][..depth]).copied().collect();
        let blocks = Pointwise::new(level, input, &columns, &bias.repeat(4), Activation::None);
        Self { level, blocks, input, channels, activation }
    }

    /// The input image.
    pub(crate) const fn input(&self) -> Shape {
        self.input
    }

    /// The scratch memory that a row needs, in f32.
    pub(crate) const fn scratch_len(&self) -> usize {
        self.input.width * 4 * self.channels
    }

    /// The level that its weights are packed for.
    pub(crate) const fn level(&self) -> Level {
        self.level
    }

    /// The output image.
    pub fn output(&self) -> Shape {
        Shape { height: self.input.height * 2, width: self.input.width * 2, channels: self.channels }
    }

    /// Computes `output` from `input`.
    ///
    /// # Panics
    /// When a slice has not the image's length.
    pub fn run(&self, pool: &mut Pool, input: &[f32], output: &mut [f32]) {
        assert!(input.len() == self.input.len() && output.len() == self.output().len());
        let Shape { height, width, channels } = self.input;
        let blocks_len = self.scratch_len();
        pool.rows(output, height, blocks_len * channels, blocks_len, |first, output, scratch| {
            let input = &input[first * width * channels..];
            self.level.run(BlockRows { deconv: self, input, output, scratch: &mut scratch[..blocks_len] });
        });
    }

    /// Computes two output rows from one input row.
    #[inline(always)]
    pub(crate) fn row<V: Vector>(&self, input: &[f32], blocks: &mut [f32], output: &mut [f32]) {
        self.blocks.pixels::<V>(input, None, blocks);
        let (upper, lower) = output.split_at_mut(output.len() / 2);
        match self.channels {
            1 => deal::<2>(blocks, upper, lower),
            2 => deal::<4>(blocks, upper, lower),
            channels => deal_runs(2 * channels, blocks, upper, lower),
        }
        let len = output.len();
        for at in (0..len).step_by(V::LANES) {
            // SAFETY: at most `len - at` values from `at` on.
            unsafe {
                let value: V = load_up_to(output.as_ptr().add(at), len - at);
                store_up_to(self.activation.apply_one(value), output.as_mut_ptr().add(at), len - at);
            }
        }
    }
}

/// Deals runs of `N` values to the two rows in turn.
#[inline(always)]
fn deal<const N: usize>(blocks: &[f32], upper: &mut [f32], lower: &mut [f32]) {
    let rows = upper.as_chunks_mut::<N>().0.iter_mut().zip(lower.as_chunks_mut::<N>().0);
    for ((upper, lower), pair) in rows.zip(blocks.as_chunks::<N>().0.as_chunks::<2>().0) {
        [*upper, *lower] = *pair;
    }
}

/// [`deal`] for runs of any length.
#[inline(always)]
fn deal_runs(run: usize, blocks: &[f32], upper: &mut [f32], lower: &mut [f32]) {
    let rows = upper.chunks_exact_mut(run).zip(lower.chunks_exact_mut(run));
    for ((upper, lower), pair) in rows.zip(blocks.chunks_exact(2 * run)) {
        upper.copy_from_slice(&pair[..run]);
        lower.copy_from_slice(&pair[run..]);
    }
}

struct BlockRows<'a> {
    deconv: &'a Deconv2x2,
    input: &'a [f32],
    output: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl Kernel for BlockRows<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let row_len = self.deconv.input.width * self.deconv.input.channels;
        let rows = self.output.chunks_exact_mut(self.scratch.len());
        for (input, output) in self.input.chunks_exact(row_len).zip(rows) {
            self.deconv.row::<V>(input, self.scratch, output);
        }
    }
}
