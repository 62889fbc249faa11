//! Bilinear resizing of images of any channels, as TFLite's RESIZE_BILINEAR samples.

use crate::pool::Pool;
use crate::shape::Shape;
use crate::simd::{Kernel, Level, Vector, load_up_to, store_up_to};

/// Where an output pixel's centre lies in the input, along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sampling {
    /// `(i + 0.5) * input / output - 0.5`.
    HalfPixelCentres,
    /// `i * (input - 1) / (output - 1)`.
    AlignedCorners,
    /// `i * input / output`.
    TopLeft,
}

/// The two input pixels that one output pixel lies between.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tap {
    pub(crate) low: usize,
    pub(crate) high: usize,
    /// The weight of `high`; `low` has the rest.
    pub(crate) weight: f32,
}

impl Sampling {
    /// The taps of all output pixels along an axis.
    pub(crate) fn taps(self, input: usize, output: usize) -> impl ExactSizeIterator<Item = Tap> {
        let scale = self.scale(input, output);
        (0..output).map(move |i| Tap::at(self.source(i as f32, scale), input))
    }

    /// The taps of `output` pixels that lie over the first `part` pixels of a canvas of `canvas`, over all of which
    /// the input lies.
    pub(crate) fn taps_of_part(
        self,
        input: usize,
        canvas: usize,
        part: usize,
        output: usize,
    ) -> impl ExactSizeIterator<Item = Tap> {
        let scale = self.scale(input, canvas);
        let step = part as f32 / output as f32;
        (0..output).map(move |i| Tap::at(self.source((i as f32 + 0.5) * step - 0.5, scale), input))
    }

    fn scale(self, input: usize, output: usize) -> f32 {
        match self {
            Self::AlignedCorners if output > 1 => (input - 1) as f32 / (output - 1) as f32,
            _ => input as f32 / output as f32,
        }
    }

    /// The place in the input of the place `at` in the output.
    fn source(self, at: f32, scale: f32) -> f32 {
        match self {
            Self::HalfPixelCentres => (at + 0.5) * scale - 0.5,
            Self::AlignedCorners | Self::TopLeft => at * scale,
        }
    }
}

impl Tap {
    fn at(place: f32, input: usize) -> Self {
        let place = place.clamp(0.0, (input - 1) as f32);
        let low = place as usize;
        Self { low, high: (low + 1).min(input - 1), weight: place - low as f32 }
    }
}

/// A bilinear resize from one size to another, its taps computed once.
#[derive(Debug)]
pub struct Resize {
    level: Level,
    input: Shape,
    rows: Vec<Tap>,
    columns: Vec<Tap>,
}

impl Resize {
    /// Values of an input row.
    pub(crate) const fn row_len(&self) -> usize {
        self.input.width * self.input.channels
    }

    /// Blends the input rows that output row `row` lies between.
    #[inline(always)]
    fn blend_row<V: Vector>(&self, input: &[f32], row: usize, blended: &mut [f32]) {
        let (tap, row_len) = (self.rows[row], self.row_len());
        let (low, high) = (&input[tap.low * row_len..][..row_len], &input[tap.high * row_len..][..row_len]);
        blend::<V>(low, high, tap.weight, blended);
    }

    /// Row `row` of the sum of three images resized to one size; `blended` has the length of their rows together.
    #[inline(always)]
    pub(crate) fn sum_row<V: Vector>(
        resizes: [(&Self, &[f32]); 3],
        row: usize,
        blended: &mut [f32],
        output: &mut [f32],
    ) {
        let channels = resizes[0].0.input.channels;
        assert!(resizes.iter().all(|(resize, _)| resize.input.channels == channels));
        let (first, rest) = blended.split_at_mut(resizes[0].0.row_len());
        let (second, rest) = rest.split_at_mut(resizes[1].0.row_len());
        let third = &mut rest[..resizes[2].0.row_len()];
        let mut rows = [first, second, third];
        for ((resize, input), blended) in resizes.into_iter().zip(&mut rows) {
            resize.blend_row::<V>(input, row, blended);
        }
        let [(a, _), (b, _), (c, _)] = resizes;
        let [first, second, third] = rows;
        stretch_sum::<V, 3>([(first, &a.columns), (second, &b.columns), (third, &c.columns)], channels, output);
    }

    /// A resize of `input` to `height` by `width`.
    pub fn new(level: Level, input: Shape, height: usize, width: usize, sampling: Sampling) -> Self {
        let rows = sampling.taps(input.height, height).collect();
        let columns = sampling.taps(input.width, width).collect();
        Self { level, input, rows, columns }
    }

    /// The output image.
    pub fn output(&self) -> Shape {
        Shape { height: self.rows.len(), width: self.columns.len(), channels: self.input.channels }
    }

    /// Computes `output` from `input`.
    ///
    /// # Panics
    /// When a slice has not the image's length.
    pub fn run(&self, pool: &mut Pool, input: &[f32], output: &mut [f32]) {
        assert!(input.len() == self.input.len() && output.len() == self.output().len());
        let row_len = self.row_len();
        let work = self.columns.len() * self.input.channels * 3;
        pool.rows(output, self.rows.len(), work, row_len, |first, output, scratch| {
            let blended = &mut scratch[..row_len];
            self.level.run(ResizedRows { resize: self, input, first, output, blended });
        });
    }
}

struct ResizedRows<'a> {
    resize: &'a Resize,
    input: &'a [f32],
    first: usize,
    output: &'a mut [f32],
    blended: &'a mut [f32],
}

impl Kernel for ResizedRows<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Resize { input, columns, .. } = self.resize;
        for (i, output) in self.output.chunks_exact_mut(columns.len() * input.channels).enumerate() {
            self.resize.blend_row::<V>(self.input, self.first + i, self.blended);
            stretch::<V>(self.blended, columns, input.channels, output);
        }
    }
}

/// `output = low + (high - low) * weight`.
#[inline(always)]
pub(crate) fn blend<V: Vector>(low: &[f32], high: &[f32], weight: f32, output: &mut [f32]) {
    let len = output.len();
    assert!(low.len() == len && high.len() == len);
    let weight = V::splat(weight);
    for at in (0..len).step_by(V::LANES) {
        // SAFETY: at most `len - at` values from `at` on, of slices of length `len`.
        unsafe {
            let low: V = load_up_to(low.as_ptr().add(at), len - at);
            let high: V = load_up_to(high.as_ptr().add(at), len - at);
            store_up_to(high.sub(low).mul_add(weight, low), output.as_mut_ptr().add(at), len - at);
        }
    }
}

/// Resamples one row of pixels.
#[inline(always)]
fn stretch<V: Vector>(input: &[f32], columns: &[Tap], channels: usize, output: &mut [f32]) {
    stretch_sum::<V, 1>([(input, columns)], channels, output);
}

/// Adds up rows of pixels, each resampled.
#[inline(always)]
fn stretch_sum<V: Vector, const N: usize>(inputs: [(&[f32], &[Tap]); N], channels: usize, output: &mut [f32]) {
    for (x, pixel) in output.chunks_exact_mut(channels).enumerate() {
        let taps = inputs.map(|(_, columns)| columns[x]);
        for ((input, _), tap) in inputs.iter().zip(taps) {
            let pixels = input.len() / channels;
            assert!(tap.low < pixels && tap.high < pixels);
        }
        for channel in (0..channels).step_by(V::LANES) {
            let count = channels - channel;
            let mut sum = V::splat(0.0);
            // SAFETY: `count` values from `channel` on, of pixels within the rows.
            unsafe {
                for ((input, _), tap) in inputs.iter().zip(taps) {
                    let low: V = load_up_to(input.as_ptr().add(tap.low * channels + channel), count);
                    let high: V = load_up_to(input.as_ptr().add(tap.high * channels + channel), count);
                    sum = sum.add(high.sub(low).mul_add(V::splat(tap.weight), low));
                }
                store_up_to(sum, pixel.as_mut_ptr().add(channel), count);
            }
        }
    }
}
