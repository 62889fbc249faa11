//! From an RGB8 frame to a network's input in one pass: resize, convert, normalise.
//!
//! The filter is a triangle, widened when the frame shrinks so that every source pixel counts (no aliasing),
//! and plain bilinear interpolation when it grows. Rows are blended first, as bytes; then columns.

use crate::pool::Pool;
use crate::simd::{Kernel, Level, Vector};

const CHANNELS: usize = 3;
/// What vectors may read beyond a blended row.
const SLACK: usize = 16;

/// A frame in memory: RGB bytes, rows `stride` bytes apart.
#[derive(Clone, Copy, Debug)]
pub struct RgbFrame<'a> {
    /// The pixels; at least `stride * (height - 1) + 3 * width` bytes.
    pub bytes: &'a [u8],
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Bytes from one row's start to the next row's.
    pub stride: usize,
}

/// `value = (byte / 255 - mean) * scale`, by channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// Subtracted from the channel's 0 to 1.
    pub mean: [f32; CHANNELS],
    /// Multiplied with the difference (one over the standard deviation).
    pub scale: [f32; CHANNELS],
}

impl Normalisation {
    /// Values from 0 to 1, as they are.
    pub const UNIT: Self = Self {
        mean: [0.0; CHANNELS],
        scale: [1.0; CHANNELS],
    };
}

/// Resizes frames to one size; keeps its filters while the frame's size stays the same.
#[derive(Debug)]
pub struct Preprocessor {
    level: Level,
    output: (usize, usize),
    normalisation: Normalisation,
    rows: Filters,
    columns: Filters,
}

/// The source pixels of each output pixel along an axis, and their weights (which sum to 1).
#[derive(Debug, Default)]
struct Filters {
    input: usize,
    /// First source pixel, and where its weights start.
    starts: Vec<(usize, usize)>,
    weights: Vec<f32>,
}

impl Preprocessor {
    /// A preprocessor to `(width, height)` pixels that allocates when it first sees a frame size.
    pub fn new(level: Level, output: (usize, usize), normalisation: Normalisation) -> Self {
        Self {
            level,
            output,
            normalisation,
            rows: Filters::default(),
            columns: Filters::default(),
        }
    }

    /// Fills `output` (height x width x 3 f32) from `frame`.
    ///
    /// # Panics
    /// When a side of the frame is 0, or a slice is too short for its size.
    pub fn run(&mut self, pool: &mut Pool, frame: RgbFrame<'_>, output: &mut [f32]) {
        let (width, height) = self.output;
        assert!(
            frame.width > 0 && frame.height > 0,
            "the frame has no pixels"
        );
        assert!(frame.stride >= frame.width * CHANNELS, "rows overlap");
        assert!(
            frame.bytes.len() >= frame.stride * (frame.height - 1) + frame.width * CHANNELS,
            "the frame is short"
        );
        assert_eq!(output.len(), width * height * CHANNELS);
        self.rows.fit(frame.height, height);
        self.columns.fit(frame.width, width);
        let scratch_len = frame.width * CHANNELS + SLACK;
        let taps = self.rows.weights.len() / height;
        let work = frame.width * CHANNELS * taps + self.columns.weights.len() * 4;
        pool.rows(
            output,
            height,
            work,
            scratch_len,
            |first, output, scratch| {
                let blended = &mut scratch[..scratch_len];
                self.level.run(FrameRows {
                    preprocessor: self,
                    frame,
                    first,
                    blended,
                    output,
                });
            },
        );
    }
}

impl Filters {
    fn fit(&mut self, input: usize, output: usize) {
        if self.input == input && self.starts.len() == output {
            return;
        }
        self.input = input;
        self.starts.clear();
        self.weights.clear();
        let scale = input as f64 / output as f64;
        let support = scale.max(1.0);
        for i in 0..output {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - support).floor().max(0.0) as usize;
            let end = ((centre + support).ceil() as usize).min(input);
            let weight = |at: usize| (1.0 - ((at as f64 + 0.5 - centre) / support).abs()).max(0.0);
            let total: f64 = (first..end).map(weight).sum();
            self.starts.push((first, self.weights.len()));
            self.weights
                .extend((first..end).map(|at| (weight(at) / total) as f32));
        }
    }

    /// The first source pixel and the weights of output pixel `i`.
    #[inline(always)]
    fn get(&self, i: usize) -> (usize, &[f32]) {
        let (first, start) = self.starts[i];
        let end = self
            .starts
            .get(i + 1)
            .map_or(self.weights.len(), |&(_, next)| next);
        (first, &self.weights[start..end])
    }
}

struct FrameRows<'a> {
    preprocessor: &'a Preprocessor,
    frame: RgbFrame<'a>,
    first: usize,
    blended: &'a mut [f32],
    output: &'a mut [f32],
}

impl Kernel for FrameRows<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Preprocessor {
            output: (width, _),
            normalisation,
            rows,
            columns,
            ..
        } = self.preprocessor;
        let row_len = self.frame.width * CHANNELS;
        for (i, output) in self.output.chunks_exact_mut(width * CHANNELS).enumerate() {
            let (first, weights) = rows.get(self.first + i);
            blend_rows::<V>(
                &self.frame.bytes[first * self.frame.stride..],
                self.frame.stride,
                weights,
                &mut self.blended[..row_len],
            );
            for (x, pixel) in output.chunks_exact_mut(CHANNELS).enumerate() {
                let (first, weights) = columns.get(x);
                let sums = blend_pixels(&self.blended[first * CHANNELS..], weights);
                for (channel, value) in pixel.iter_mut().enumerate() {
                    *value = (sums[channel] / 255.0 - normalisation.mean[channel])
                        * normalisation.scale[channel];
                }
            }
        }
    }
}

/// The weighted sum of rows `stride` bytes apart.
#[inline(always)]
fn blend_rows<V: Vector>(bytes: &[u8], stride: usize, weights: &[f32], output: &mut [f32]) {
    let len = output.len();
    assert!(bytes.len() >= (weights.len() - 1) * stride + len);
    let whole = len / V::LANES * V::LANES;
    for at in (0..whole).step_by(V::LANES) {
        let mut sum = V::splat(0.0);
        for (row, &weight) in weights.iter().enumerate() {
            // SAFETY: a whole vector of bytes is left in each row, which lies within `bytes`.
            let value = unsafe { V::load_bytes(bytes.as_ptr().add(row * stride + at)) };
            sum = value.mul_add(V::splat(weight), sum);
        }
        // SAFETY: a whole vector is left of `output`.
        unsafe { sum.store(output.as_mut_ptr().add(at)) };
    }
    for (at, value) in output.iter_mut().enumerate().skip(whole) {
        *value = weights
            .iter()
            .enumerate()
            .map(|(row, weight)| f32::from(bytes[row * stride + at]) * weight)
            .sum();
    }
}

/// The weighted sum of consecutive pixels; the fourth value is of no use, but makes a vector.
#[inline(always)]
fn blend_pixels(pixels: &[f32], weights: &[f32]) -> [f32; 4] {
    let mut sums = [0.0; 4];
    let windows = pixels.windows(4).step_by(CHANNELS);
    for (pixel, weight) in windows.zip(weights) {
        for (sum, value) in sums.iter_mut().zip(pixel) {
            *sum += value * weight;
        }
    }
    sums
}
