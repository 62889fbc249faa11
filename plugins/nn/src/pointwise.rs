//! Pointwise (1x1) convolution, with what often surrounds it done in the same pass: a gate and an addend on
//! its input, a residual on its output.

use crate::activation::Activation;
use crate::gemm::{Arithmetic, Grid, PackedWeights, Residual, Rows, Segment, Single, Size, Start};
use crate::pool::Pool;
use crate::shape::Shape;
use crate::simd::{Kernel, Level, Vector, load_up_to, store_up_to};

/// Pixels whose input is gated at a time: few enough to stay in the first-level cache, whole tiles on all levels.
const BLOCK: usize = 48;

/// A pointwise convolution with its weights packed for one level.
#[derive(Debug)]
pub struct Pointwise {
    level: Level,
    input: Shape,
    weights: PackedWeights,
    segment: [Segment; 1],
    activation: Activation,
}

/// What a pointwise convolution reads: `input * gate + addend`, and `residual`, added to its result.
#[derive(Clone, Copy, Debug)]
pub struct PointwiseInput<'a> {
    /// The input image.
    pub input: &'a [f32],
    /// One factor per input channel (a squeeze-excite gate).
    pub gate: Option<&'a [f32]>,
    /// An image of the input's shape; read only if there is a gate.
    pub addend: Option<&'a [f32]>,
    /// An image of the output's shape, added after the activation.
    pub residual: Option<&'a [f32]>,
}

impl<'a> PointwiseInput<'a> {
    /// The input alone.
    pub const fn plain(input: &'a [f32]) -> Self {
        Self { input, gate: None, addend: None, residual: None }
    }
}

impl Pointwise {
    /// Packs `weights`, stored as output channel, input channel.
    ///
    /// # Panics
    /// When the weights' length is not the product of the channels.
    pub fn new(level: Level, input: Shape, weights: &[f32], bias: &[f32], activation: Activation) -> Self {
        let depth = input.channels;
        let weights =
            PackedWeights::new(Single, level, weights, bias, Size { columns: bias.len(), runs: 1, run: depth });
        Self { level, input, weights, segment: [Segment { offset: 0, len: depth, weights: 0 }], activation }
    }

    /// The input image.
    pub(crate) const fn input(&self) -> Shape {
        self.input
    }

    /// The level that its weights are packed for.
    pub(crate) const fn level(&self) -> Level {
        self.level
    }

    /// The output image.
    pub fn output(&self) -> Shape {
        Shape { channels: self.weights.columns(), ..self.input }
    }

    /// The scratch memory that rows of pixels need, in f32.
    pub(crate) const fn scratch_len(&self) -> usize {
        BLOCK * self.input.channels
    }

    /// Checks the lengths of a source's images, the residual's aside.
    pub(crate) fn check(&self, source: &PointwiseInput<'_>) {
        assert_eq!(source.input.len(), self.input.len());
        assert!(source.gate.is_none_or(|g| g.len() == self.input.channels));
        assert!(source.addend.is_none_or(|a| a.len() == self.input.len()));
    }

    /// Computes `output`.
    ///
    /// # Panics
    /// When a slice has not its image's length.
    pub fn run(&self, pool: &mut Pool, source: PointwiseInput<'_>, output: &mut [f32]) {
        self.check(&source);
        assert_eq!(output.len(), self.output().len());
        assert!(source.residual.is_none_or(|r| r.len() == output.len()));
        let Shape { height, width, channels } = self.input;
        let work = width * channels * self.weights.columns();
        pool.rows(output, height, work, self.scratch_len(), |first, output, scratch| {
            self.level.run(PixelRows { conv: self, source, first: first * width, output, scratch });
        });
    }

    #[inline(always)]
    pub(crate) fn pixels<V: Vector>(&self, input: &[f32], residual: Option<&[f32]>, output: &mut [f32]) {
        let rows = Rows {
            weights: self.weights.view(),
            activation: self.activation,
            start: Start::Bias,
            input,
            segments: &self.segment,
            grid: Grid::line(output.len() / self.weights.columns(), self.input.channels),
            residual: residual.map(Residual::After),
            output,
        };
        rows.compute::<V>();
    }
}

/// Memory for pixels of another arithmetic than the input's: they stay in the second-level cache.
const CONVERTED_BYTES: usize = 256 * 1024;
/// Pixels that are converted together, at least and at most; whole tiles.
const CONVERTED: [usize; 2] = [32, 192];

/// `output = activation(input * weights + residual)` for pixels in any order.
pub(crate) fn multiply_pixels<A: Arithmetic>(
    level: Level,
    pool: &mut Pool,
    weights: &PackedWeights<A>,
    activation: Activation,
    input: &[f32],
    residual: Option<&[f32]>,
    output: &mut [f32],
) {
    let (depth, columns) = (weights.depth(), weights.columns());
    let pixels = output.len() / columns;
    assert!(input.len() == pixels * depth && output.len() == pixels * columns);
    assert!(residual.is_none_or(|r| r.len() == output.len()));
    let pixel_len = depth.next_multiple_of(A::RUN);
    let block = (CONVERTED_BYTES / size_of::<A::Number>() / pixel_len).clamp(CONVERTED[0], CONVERTED[1]);
    let block = block / CONVERTED[0] * CONVERTED[0];
    pool.rows(output, pixels, depth * columns, A::converted_len(block, depth), |first, output, scratch| {
        let residual = residual.map(|r| &r[first * columns..][..output.len()]);
        for (i, output) in output.chunks_mut(block * columns).enumerate() {
            let (first, count) = (first + i * block, output.len() / columns);
            let input = &input[first * depth..][..count * depth];
            let residual = residual.map(|r| Residual::Before(&r[i * block * columns..][..output.len()]));
            let converted = &mut scratch[..A::converted_len(count, depth)];
            weights.arithmetic().convert_pixels(input, depth, converted);
            let input = A::readable(input, converted);
            level.run(PlainPixels { weights, activation, input, residual, output });
        }
    });
}

/// The same for pixels that are already of whole runs.
pub(crate) fn multiply_numbers<A: Arithmetic>(
    level: Level,
    pool: &mut Pool,
    weights: &PackedWeights<A>,
    activation: Activation,
    input: &[A::Number],
    residual: Option<&[f32]>,
    output: &mut [f32],
) {
    let (pixel, columns) = (weights.depth().next_multiple_of(A::RUN), weights.columns());
    let pixels = output.len() / columns;
    assert!(input.len() == pixels * pixel && output.len() == pixels * columns);
    assert!(residual.is_none_or(|r| r.len() == output.len()));
    pool.rows(output, pixels, pixel * columns, 0, |first, output, _| {
        let residual = residual.map(|r| Residual::Before(&r[first * columns..][..output.len()]));
        let input = &input[first * pixel..][..output.len() / columns * pixel];
        level.run(PlainPixels { weights, activation, input, residual, output });
    });
}

/// A pointwise convolution as part of a larger step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear<'a, A: Arithmetic> {
    pub(crate) weights: &'a PackedWeights<A>,
    pub(crate) activation: Activation,
}

impl<A: Arithmetic> Linear<'_, A> {
    /// What [`row`](Self::row) needs to convert so many pixels, in f32.
    pub(crate) fn converted_len(&self, pixels: usize) -> usize {
        A::converted_len(pixels, self.weights.depth())
    }

    /// Computes some pixels; the residual is added before the activation.
    #[inline(always)]
    pub(crate) fn row<V: Vector>(
        &self,
        input: &[f32],
        converted: &mut [f32],
        residual: Option<&[f32]>,
        output: &mut [f32],
    ) {
        let Self { weights, activation } = *self;
        let depth = weights.depth();
        let converted = &mut converted[..self.converted_len(input.len() / depth)];
        weights.arithmetic().convert_pixels(input, depth, converted);
        let input = A::readable(input, converted);
        let residual = residual.map(Residual::Before);
        PlainPixels { weights, activation, input, residual, output }.run::<V>();
    }
}

/// Pixels whose inputs are padded to whole runs.
struct PlainPixels<'a, A: Arithmetic> {
    weights: &'a PackedWeights<A>,
    activation: Activation,
    input: &'a [A::Number],
    residual: Option<Residual<'a>>,
    output: &'a mut [f32],
}

impl<A: Arithmetic> Kernel for PlainPixels<'_, A> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let rows = Rows {
            weights: self.weights.view(),
            activation: self.activation,
            start: Start::Bias,
            input: self.input,
            segments: &[Segment { offset: 0, len: self.weights.depth(), weights: 0 }],
            grid: Grid::line(self.output.len() / self.weights.columns(), self.weights.depth().next_multiple_of(A::RUN)),
            residual: self.residual,
            output: self.output,
        };
        rows.compute::<V>();
    }
}

/// Consecutive pixels from number `first` on.
pub(crate) struct PixelRows<'a> {
    pub(crate) conv: &'a Pointwise,
    pub(crate) source: PointwiseInput<'a>,
    pub(crate) first: usize,
    pub(crate) output: &'a mut [f32],
    /// At least [`Pointwise::scratch_len`].
    pub(crate) scratch: &'a mut [f32],
}

impl Kernel for PixelRows<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let (depth, columns) = (self.conv.weights.depth(), self.conv.weights.columns());
        let end = self.first + self.output.len() / columns;
        let Some(gate) = self.source.gate else {
            let residual = self.source.residual.map(|r| &r[self.first * columns..end * columns]);
            let input = &self.source.input[self.first * depth..end * depth];
            self.conv.pixels::<V>(input, residual, self.output);
            return;
        };
        for (i, output) in self.output.chunks_mut(BLOCK * columns).enumerate() {
            let (first, count) = (self.first + i * BLOCK, output.len() / columns);
            let input = first * depth..(first + count) * depth;
            let block = &mut self.scratch[..count * depth];
            gate_block::<V>(&self.source.input[input.clone()], gate, self.source.addend.map(|a| &a[input]), block);
            let residual = self.source.residual.map(|r| &r[first * columns..][..output.len()]);
            self.conv.pixels::<V>(block, residual, output);
        }
    }
}

/// `output = input * gate + addend`, the gate repeated for each pixel.
#[inline(always)]
pub(crate) fn gate_block<V: Vector>(input: &[f32], gate: &[f32], addend: Option<&[f32]>, output: &mut [f32]) {
    let channels = gate.len();
    assert!(input.len() == output.len() && addend.is_none_or(|a| a.len() == input.len()));
    assert_eq!(input.len() % channels, 0);
    for channel in (0..channels).step_by(V::LANES) {
        let count = channels - channel;
        // SAFETY: at most `count` values from `channel` on are read and written, in each pixel, all in bounds.
        unsafe {
            let factor: V = load_up_to(gate.as_ptr().add(channel), count);
            for at in (channel..input.len()).step_by(channels) {
                let value: V = load_up_to(input.as_ptr().add(at), count);
                let value = match addend {
                    Some(addend) => value.mul_add(factor, load_up_to(addend.as_ptr().add(at), count)),
                    None => value.mul(factor),
                };
                store_up_to(value, output.as_mut_ptr().add(at), count);
            }
        }
    }
}
