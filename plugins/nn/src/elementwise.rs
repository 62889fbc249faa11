//! Passes over whole images that no convolution could absorb, and the global mean.

use crate::activation::Activation;
use crate::buffer::Buffer;
use crate::pointwise::gate_block;
use crate::pool::Pool;
use crate::shape::Shape;
use crate::simd::{Kernel, Level, Vector, load_up_to, store_up_to};

/// `output = activation(a + b)`.
///
/// # Panics
/// When the lengths differ.
pub fn add(level: Level, pool: &mut Pool, a: &[f32], b: &[f32], activation: Activation, output: &mut [f32]) {
    combine(level, pool, a, Some((Pair::Sum, b)), activation, output);
}

/// `output = activation(a * b)`.
///
/// # Panics
/// When the lengths differ.
pub fn multiply(level: Level, pool: &mut Pool, a: &[f32], b: &[f32], activation: Activation, output: &mut [f32]) {
    combine(level, pool, a, Some((Pair::Product, b)), activation, output);
}

/// `output = activation(input)`.
///
/// # Panics
/// When the lengths differ.
pub fn activate(level: Level, pool: &mut Pool, input: &[f32], activation: Activation, output: &mut [f32]) {
    combine(level, pool, input, None, activation, output);
}

/// `a += b`.
pub(crate) fn add_to(level: Level, pool: &mut Pool, a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    in_runs(pool, a, |first, output| {
        let other = Some(&b[first..first + output.len()]);
        level.run(InPlace { other, activation: Activation::None, output });
    });
}

/// `values = activation(values)`.
pub(crate) fn activate_in_place(level: Level, pool: &mut Pool, activation: Activation, values: &mut [f32]) {
    in_runs(pool, values, |_, output| level.run(InPlace { other: None, activation, output }));
}

/// Calls `task(first, run)` on runs of values.
fn in_runs(pool: &mut Pool, values: &mut [f32], task: impl Fn(usize, &mut [f32]) + Sync) {
    /// Work per value, in multiply-accumulates.
    const WORK: usize = 4;
    let count = values.len();
    pool.rows(values, count, WORK, 0, |first, run, _| task(first, run));
}

struct InPlace<'a> {
    other: Option<&'a [f32]>,
    activation: Activation,
    output: &'a mut [f32],
}

impl Kernel for InPlace<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let len = self.output.len();
        assert!(self.other.is_none_or(|other| other.len() == len));
        for at in (0..len).step_by(V::LANES) {
            // SAFETY: at most `len - at` values from `at` on, of slices of length `len`.
            unsafe {
                let mut value: V = load_up_to(self.output.as_ptr().add(at), len - at);
                if let Some(other) = self.other {
                    value = value.add(load_up_to(other.as_ptr().add(at), len - at));
                }
                store_up_to(self.activation.apply_one(value), self.output.as_mut_ptr().add(at), len - at);
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Pair {
    Sum,
    Product,
}

/// The parts that an image is split into regardless of its shape.
const PARTS: usize = 64;

fn combine(
    level: Level,
    pool: &mut Pool,
    a: &[f32],
    b: Option<(Pair, &[f32])>,
    activation: Activation,
    output: &mut [f32],
) {
    assert!(a.len() == output.len() && b.is_none_or(|(_, b)| b.len() == a.len()));
    let parts = if output.len().is_multiple_of(PARTS) { PARTS } else { 1 };
    let len = output.len() / parts;
    pool.rows(output, parts, len, 0, |first, output, _| {
        let range = first * len..first * len + output.len();
        let b = b.map(|(pair, b)| (pair, &b[range.clone()]));
        level.run(Combined { a: &a[range], b, activation, output });
    });
}

struct Combined<'a> {
    a: &'a [f32],
    b: Option<(Pair, &'a [f32])>,
    activation: Activation,
    output: &'a mut [f32],
}

impl Kernel for Combined<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let len = self.output.len();
        assert!(self.a.len() == len && self.b.is_none_or(|(_, b)| b.len() == len));
        for at in (0..len).step_by(V::LANES) {
            // SAFETY: at most `len - at` values from `at` on, of slices of length `len`.
            unsafe {
                let mut value: V = load_up_to(self.a.as_ptr().add(at), len - at);
                if let Some((pair, b)) = self.b {
                    let other = load_up_to(b.as_ptr().add(at), len - at);
                    value = match pair {
                        Pair::Sum => value.add(other),
                        Pair::Product => value.mul(other),
                    };
                }
                store_up_to(self.activation.apply_one(value), self.output.as_mut_ptr().add(at), len - at);
            }
        }
    }
}

/// `output = input * gate`, the gate (one factor per channel) repeated for each pixel.
///
/// # Panics
/// When the lengths do not fit.
pub fn multiply_channels(level: Level, pool: &mut Pool, shape: Shape, input: &[f32], gate: &[f32], output: &mut [f32]) {
    assert!(input.len() == shape.len() && output.len() == shape.len() && gate.len() == shape.channels);
    let row_len = shape.width * shape.channels;
    pool.rows(output, shape.height, row_len, 0, |first, output, _| {
        let input = &input[first * row_len..][..output.len()];
        level.run(Gated { input, gate, output });
    });
}

struct Gated<'a> {
    input: &'a [f32],
    gate: &'a [f32],
    output: &'a mut [f32],
}

impl Kernel for Gated<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        gate_block::<V>(self.input, self.gate, None, self.output);
    }
}

/// The mean over all pixels, channel by channel.
#[derive(Debug)]
pub struct GlobalMean {
    level: Level,
    input: Shape,
    row_sums: Buffer,
}

impl GlobalMean {
    /// The mean of images of shape `input`.
    pub fn new(level: Level, input: Shape) -> Self {
        Self { level, input, row_sums: Buffer::zeroed(input.height * input.channels) }
    }

    /// Computes the mean of `input`, or of `input + addend`.
    ///
    /// # Panics
    /// When a slice has not its image's length.
    pub fn run(&mut self, pool: &mut Pool, input: &[f32], addend: Option<&[f32]>, output: &mut [f32]) {
        let Shape { height, width, channels } = self.input;
        let level = self.level;
        assert!(input.len() == self.input.len() && output.len() == channels);
        assert!(addend.is_none_or(|a| a.len() == input.len()));
        let row_len = width * channels;
        pool.rows(&mut self.row_sums, height, row_len, 0, |first, sums, _| {
            let range = first * row_len..(first + sums.len() / channels) * row_len;
            let (input, addend) = (&input[range.clone()], addend.map(|a| &a[range]));
            level.run(RowSums { input, addend, channels, row_len, sums });
        });
        // Rows are summed in order whatever the threads, so results do not depend on their number.
        output.fill(0.0);
        for sums in self.row_sums.chunks_exact(channels) {
            output.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
        let scale = 1.0 / self.input.pixels() as f32;
        output.iter_mut().for_each(|total| *total *= scale);
    }
}

struct RowSums<'a> {
    input: &'a [f32],
    addend: Option<&'a [f32]>,
    channels: usize,
    row_len: usize,
    sums: &'a mut [f32],
}

impl Kernel for RowSums<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        for (i, sums) in self.sums.chunks_exact_mut(self.channels).enumerate() {
            let range = i * self.row_len..(i + 1) * self.row_len;
            sums.fill(0.0);
            sum_pixels::<V>(&self.input[range.clone()], sums);
            if let Some(addend) = self.addend {
                sum_pixels::<V>(&addend[range], sums);
            }
        }
    }
}

/// Adds the sum of all pixels of `input` to `sums`, four pixels at a time.
#[inline(always)]
fn sum_pixels<V: Vector>(input: &[f32], sums: &mut [f32]) {
    const TOGETHER: usize = 4;
    let channels = sums.len();
    let pixels = input.len() / channels;
    for channel in (0..channels).step_by(V::LANES) {
        let count = channels - channel;
        // SAFETY: `count` values from `channel` on, of pixels within `input`.
        unsafe {
            let from = input.as_ptr().add(channel);
            let mut partial = [V::splat(0.0); TOGETHER];
            for pixel in (0..pixels / TOGETHER * TOGETHER).step_by(TOGETHER) {
                for (i, sum) in partial.iter_mut().enumerate() {
                    *sum = sum.add(load_up_to(from.add((pixel + i) * channels), count));
                }
            }
            for pixel in pixels / TOGETHER * TOGETHER..pixels {
                partial[0] = partial[0].add(load_up_to(from.add(pixel * channels), count));
            }
            let [a, b, c, d] = partial;
            let total = a.add(b).add(c.add(d)).add(load_up_to(sums.as_ptr().add(channel), count));
            store_up_to(total, sums.as_mut_ptr().add(channel), count);
        }
    }
}
