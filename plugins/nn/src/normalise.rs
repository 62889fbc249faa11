//! Layer norm, group norm and softmax.

use crate::activation::{Activation, exp};
use crate::pool::Pool;
use crate::shape::Shape;
use crate::simd::{Kernel, Level, Vector, load_up_to, store_up_to};

/// Pixels are summed in so many parts whatever the threads, so that results do not depend on their number.
const PARTS: usize = 32;

/// Scale and shift of each channel, and what is added to the variance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Affine<'a> {
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) epsilon: f32,
}

/// `output = (pixel - mean) / sqrt(variance + epsilon) * scale + shift`, over the channels of each pixel.
pub(crate) fn layer_norm(level: Level, pool: &mut Pool, affine: Affine<'_>, input: &[f32], output: &mut [f32]) {
    let channels = affine.scale.len();
    assert!(affine.shift.len() == channels && input.len() == output.len() && input.len().is_multiple_of(channels));
    pool.rows(output, input.len() / channels, 4 * channels, 0, |first, output, _| {
        let input = &input[first * channels..][..output.len()];
        level.run(LayerNormRows { affine, input, output });
    });
}

struct LayerNormRows<'a> {
    affine: Affine<'a>,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Kernel for LayerNormRows<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Affine { scale, shift, epsilon } = self.affine;
        let channels = scale.len();
        for (input, output) in self.input.chunks_exact(channels).zip(self.output.chunks_exact_mut(channels)) {
            let mean = sum_of::<V>(input, 0.0) / channels as f32;
            let variance = squares_of::<V>(input, mean) / channels as f32;
            let factor = V::splat(1.0 / (variance + epsilon).sqrt());
            let mean = V::splat(mean);
            for at in (0..channels).step_by(V::LANES) {
                let count = channels - at;
                // SAFETY: at most `count` values from `at` on, of slices of `channels` values.
                unsafe {
                    let value: V = load_up_to(input.as_ptr().add(at), count);
                    let scale: V = load_up_to(scale.as_ptr().add(at), count);
                    let shift: V = load_up_to(shift.as_ptr().add(at), count);
                    let value = value.sub(mean).mul(factor).mul_add(scale, shift);
                    store_up_to(value, output.as_mut_ptr().add(at), count);
                }
            }
        }
    }
}

/// The sum of all values less `offset`.
#[inline(always)]
fn sum_of<V: Vector>(values: &[f32], offset: f32) -> f32 {
    let (whole, rest) = values.split_at(values.len() / V::LANES * V::LANES);
    let mut sum = V::splat(0.0);
    for part in whole.chunks_exact(V::LANES) {
        // SAFETY: a chunk is a whole vector.
        sum = sum.add(unsafe { V::load(part.as_ptr()) }.sub(V::splat(offset)));
    }
    sum.sum() + rest.iter().map(|value| value - offset).sum::<f32>()
}

/// The sum of the squares of all values less `mean`.
#[inline(always)]
fn squares_of<V: Vector>(values: &[f32], mean: f32) -> f32 {
    let (whole, rest) = values.split_at(values.len() / V::LANES * V::LANES);
    let mut sum = V::splat(0.0);
    for part in whole.chunks_exact(V::LANES) {
        // SAFETY: a chunk is a whole vector.
        let value = unsafe { V::load(part.as_ptr()) }.sub(V::splat(mean));
        sum = value.mul_add(value, sum);
    }
    sum.sum() + rest.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>()
}

/// Normalises each of `groups` groups of channels over all pixels of an image, in place.
pub(crate) fn group_norm(
    level: Level,
    pool: &mut Pool,
    affine: Affine<'_>,
    groups: usize,
    activation: Activation,
    shape: Shape,
    image: &mut [f32],
) {
    let Shape { channels, .. } = shape;
    let pixels = shape.pixels();
    assert!(image.len() == shape.len() && channels.is_multiple_of(groups) && affine.scale.len() == channels);
    let count = (pixels * channels / groups) as f32;
    let means: Vec<_> = channel_sums(pool, image, channels, |value, _| value)
        .chunks_exact(channels / groups)
        .map(|sums| sums.iter().sum::<f32>() / count)
        .collect();
    let squares = channel_sums(pool, image, channels, |value, channel| {
        let difference = value - means[channel * groups / channels];
        difference * difference
    });
    let mut factors = vec![0.0; 2 * channels];
    for (group, sums) in squares.chunks_exact(channels / groups).enumerate() {
        let deviation = (sums.iter().sum::<f32>() / count + affine.epsilon).sqrt();
        for channel in group * (channels / groups)..(group + 1) * (channels / groups) {
            let factor = affine.scale[channel] / deviation;
            factors[channel] = factor;
            factors[channels + channel] = affine.shift[channel] - means[group] * factor;
        }
    }
    let (scale, shift) = factors.split_at(channels);
    pool.rows(image, pixels, channels, 0, |_, pixels, _| level.run(ScaledPixels { scale, shift, activation, pixels }));
}

/// The sum over all pixels of `term(value, channel)`, for each channel.
fn channel_sums(pool: &mut Pool, image: &[f32], channels: usize, term: impl Fn(f32, usize) -> f32 + Sync) -> Vec<f32> {
    let pixels = image.len() / channels;
    let mut partial = vec![0.0; PARTS * channels];
    pool.rows(&mut partial, PARTS, image.len() / PARTS, 0, |first, sums, _| {
        for (i, sums) in sums.chunks_exact_mut(channels).enumerate() {
            let part = first + i;
            let part = &image[pixels * part / PARTS * channels..pixels * (part + 1) / PARTS * channels];
            for pixel in part.chunks_exact(channels) {
                for (channel, (sum, value)) in sums.iter_mut().zip(pixel).enumerate() {
                    *sum += term(*value, channel);
                }
            }
        }
    });
    let mut sums = partial.split_off((PARTS - 1) * channels);
    for part in partial.chunks_exact(channels) {
        sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    sums
}

struct ScaledPixels<'a> {
    scale: &'a [f32],
    shift: &'a [f32],
    activation: Activation,
    pixels: &'a mut [f32],
}

impl Kernel for ScaledPixels<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let channels = self.scale.len();
        for pixel in self.pixels.chunks_exact_mut(channels) {
            for at in (0..channels).step_by(V::LANES) {
                let count = channels - at;
                // SAFETY: at most `count` values from `at` on, of slices of `channels` values.
                unsafe {
                    let value: V = load_up_to(pixel.as_ptr().add(at), count);
                    let scale = load_up_to(self.scale.as_ptr().add(at), count);
                    let shift = load_up_to(self.shift.as_ptr().add(at), count);
                    let value = self.activation.apply_one(value.mul_add(scale, shift));
                    store_up_to(value, pixel.as_mut_ptr().add(at), count);
                }
            }
        }
    }
}

/// The softmax of each row of `len` values, in place.
pub(crate) fn softmax(level: Level, pool: &mut Pool, len: usize, values: &mut [f32]) {
    assert!(values.len().is_multiple_of(len));
    let rows = values.len() / len;
    pool.rows(values, rows, 16 * len, 0, |_, rows, _| level.run(SoftmaxRows { len, rows }));
}

struct SoftmaxRows<'a> {
    len: usize,
    rows: &'a mut [f32],
}

impl Kernel for SoftmaxRows<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        // Not `for_each`: what is not inlined into a `#[target_feature]` function calls each vector instruction.
        for row in self.rows.chunks_exact_mut(self.len) {
            softmax_row::<V>(row);
        }
    }
}

/// Subtracted from exponentials, of which the largest is 1. What is not to be seen becomes 0 in place of a number so
/// small that every product with it takes the processor a hundred cycles; what counts stays what it is.
const NEGLIGIBLE: f32 = 1e-30;

/// The softmax of one row, in place.
#[inline(always)]
pub(crate) fn softmax_row<V: Vector>(row: &mut [f32]) {
    let factor = V::splat(1.0 / exponentials::<V>(row));
    let len = row.len();
    for at in (0..len).step_by(V::LANES) {
        // SAFETY: at most `len - at` values from `at` on.
        unsafe {
            let value: V = load_up_to(row.as_ptr().add(at), len - at);
            store_up_to(value.mul(factor), row.as_mut_ptr().add(at), len - at);
        }
    }
}

/// The exponentials of one row, less its largest value, in place; returns their sum.
#[inline(always)]
pub(crate) fn exponentials<V: Vector>(row: &mut [f32]) -> f32 {
    let (whole, rest) = row.split_at_mut(row.len() / V::LANES * V::LANES);
    let mut largest = V::splat(f32::MIN);
    for part in whole.chunks_exact(V::LANES) {
        // SAFETY: a chunk is a whole vector.
        largest = unsafe { V::load(part.as_ptr()) }.max(largest);
    }
    let largest = rest.iter().copied().fold(largest.largest(), f32::max);
    let mut sum = V::splat(0.0);
    for part in whole.chunks_exact_mut(V::LANES) {
        // SAFETY: a chunk is a whole vector.
        unsafe {
            let value = exponential(V::load(part.as_ptr()), largest);
            value.store(part.as_mut_ptr());
            sum = sum.add(value);
        }
    }
    if !rest.is_empty() {
        // SAFETY: so many values are left.
        unsafe {
            let value: V = V::load_first(rest.as_ptr(), rest.len());
            exponential(value, largest).store_first(rest.as_mut_ptr(), rest.len());
        }
    }
    sum.sum() + rest.iter().sum::<f32>()
}

/// `exp(value - largest)`, or 0 if that is negligible.
#[inline(always)]
fn exponential<V: Vector>(value: V, largest: f32) -> V {
    exp(value.sub(V::splat(largest))).sub(V::splat(NEGLIGIBLE)).max(V::splat(0.0))
}
