//! From an RGB8 frame to a network's input in one pass: resize, convert, normalise.
//!
//! The filter is a triangle, widened when the frame shrinks so that every source pixel counts (no aliasing),
//! and plain bilinear interpolation when it grows. Rows are blended first, as bytes; then columns.

use crate::pool::Pool;
use crate::simd::{Kernel, Level, Portable, Vector};

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
    pub const UNIT: Self = Self { mean: [0.0; CHANNELS], scale: [1.0; CHANNELS] };
    /// Values from -1 to 1.
    pub const SIGNED: Self = Self { mean: [0.5; CHANNELS], scale: [2.0; CHANNELS] };
    /// By the mean and the deviation of ImageNet's pictures.
    pub const IMAGE_NET: Self = Self { mean: [0.485, 0.456, 0.406], scale: [1.0 / 0.229, 1.0 / 0.224, 1.0 / 0.225] };
}

/// Where a frame goes in a network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Width and height to which the frame is resized.
    pub picture: (usize, usize),
    /// Width and height of the input, at whose top left the picture lies; at least as large.
    pub canvas: (usize, usize),
}

impl Layout {
    /// The picture alone.
    pub const fn whole(size: (usize, usize)) -> Self {
        Self { picture: size, canvas: size }
    }
}

/// Resizes frames; keeps its filters while the sizes stay the same.
#[derive(Debug)]
pub struct Preprocessor {
    level: Level,
    normalisation: Normalisation,
    /// The byte that the canvas beside the picture is made of.
    beside: u8,
    rows: Filters,
    columns: Filters,
}

/// The source pixels of each output pixel along an axis, and their weights (which sum to 1).
#[derive(Debug, Default)]
struct Filters {
    input: usize,
    /// Weights of each output pixel; those beyond the triangle are 0.
    taps: usize,
    /// First source pixel; `taps` of them are within the input.
    starts: Vec<usize>,
    weights: Vec<f32>,
}

impl Preprocessor {
    /// A preprocessor that allocates when it first sees a size.
    pub fn new(level: Level, normalisation: Normalisation) -> Self {
        Self { level, normalisation, beside: 0, rows: Filters::default(), columns: Filters::default() }
    }

    /// The same with another byte than 0 beside the picture.
    pub fn with_beside(self, beside: u8) -> Self {
        Self { beside, ..self }
    }

    /// Fills `output`, the canvas (height x width x 3 f32), from `frame`.
    ///
    /// # Panics
    /// When a side of the frame is 0, or a slice is too short for its size.
    pub fn run(&mut self, pool: &mut Pool, frame: RgbFrame<'_>, layout: Layout, output: &mut [f32]) {
        let Layout { picture: (width, height), canvas } = layout;
        assert!(width <= canvas.0 && height <= canvas.1, "the picture is larger than its canvas");
        assert!(frame.width > 0 && frame.height > 0, "the frame has no pixels");
        assert!(frame.stride >= frame.width * CHANNELS, "rows overlap");
        assert!(frame.bytes.len() >= frame.stride * (frame.height - 1) + frame.width * CHANNELS, "the frame is short");
        assert_eq!(output.len(), canvas.0 * canvas.1 * CHANNELS);
        self.rows.fit(frame.height, height);
        self.columns.fit(frame.width, width);
        let scratch_len = frame.width * CHANNELS + SLACK;
        let work = frame.width * CHANNELS * self.rows.taps + self.columns.weights.len() * 4;
        pool.rows(output, canvas.1, work, scratch_len, |first, output, scratch| {
            let blended = &mut scratch[..scratch_len];
            self.level.run(FrameRows { preprocessor: self, frame, layout, first, blended, output });
        });
    }
}

impl Filters {
    fn fit(&mut self, input: usize, output: usize) {
        if self.input == input && self.starts.len() == output {
            return;
        }
        let scale = input as f64 / output as f64;
        let support = scale.max(1.0);
        self.input = input;
        self.taps = input.min((2.0 * support).ceil() as usize + 1);
        self.starts.clear();
        self.weights.clear();
        for i in 0..output {
            let centre = (i as f64 + 0.5) * scale;
            let first = ((centre - support).floor().max(0.0) as usize).min(input - self.taps);
            let weight = |at: usize| (1.0 - ((at as f64 + 0.5 - centre) / support).abs()).max(0.0);
            let total: f64 = (first..first + self.taps).map(weight).sum();
            self.starts.push(first);
            self.weights.extend((first..first + self.taps).map(|at| (weight(at) / total) as f32));
        }
    }

    /// The first source pixel and the weights of output pixel `i`.
    #[inline(always)]
    fn get(&self, i: usize) -> (usize, &[f32]) {
        (self.starts[i], &self.weights[i * self.taps..][..self.taps])
    }
}

struct FrameRows<'a> {
    preprocessor: &'a Preprocessor,
    frame: RgbFrame<'a>,
    layout: Layout,
    first: usize,
    blended: &'a mut [f32],
    output: &'a mut [f32],
}

impl Kernel for FrameRows<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Preprocessor { normalisation, rows, columns, beside, .. } = self.preprocessor;
        let Layout { picture: (width, height), canvas } = self.layout;
        let row_len = self.frame.width * CHANNELS;
        for (i, output) in self.output.chunks_exact_mut(canvas.0 * CHANNELS).enumerate() {
            let is_picture = self.first + i < height;
            let (output, beside_it) = output.split_at_mut(if is_picture { width * CHANNELS } else { 0 });
            for (at, value) in beside_it.iter_mut().enumerate() {
                let channel = at % CHANNELS;
                *value = (f32::from(*beside) / 255.0 - normalisation.mean[channel]) * normalisation.scale[channel];
            }
            if !is_picture {
                continue;
            }
            let (first, weights) = rows.get(self.first + i);
            blend_rows::<V>(
                &self.frame.bytes[first * self.frame.stride..],
                self.frame.stride,
                weights,
                &mut self.blended[..row_len],
            );
            blend_columns(self.blended, columns, normalisation, output);
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
        *value = weights.iter().enumerate().map(|(row, weight)| f32::from(bytes[row * stride + at]) * weight).sum();
    }
}

/// Resamples one row of pixels and normalises them.
///
/// One pixel is a vector of four whose last lane is of no use, on all levels: wider ones would be as empty.
#[inline(always)]
fn blend_columns(blended: &[f32], columns: &Filters, normalisation: &Normalisation, output: &mut [f32]) {
    let (mut scale, mut offset) = ([0.0; 4], [0.0; 4]);
    for channel in 0..CHANNELS {
        scale[channel] = normalisation.scale[channel] / 255.0;
        offset[channel] = -normalisation.mean[channel] * normalisation.scale[channel];
    }
    assert!(blended.len() >= columns.input * CHANNELS + SLACK);
    let filters = columns.starts.iter().zip(columns.weights.chunks_exact(columns.taps));
    for (pixel, (&start, weights)) in output.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(filters) {
        // SAFETY: `taps` pixels from `start` on are within the row, and after it there is slack for the last
        // lane; the two arrays and the result are of four f32.
        unsafe {
            let mut from = blended.as_ptr().add(start * CHANNELS);
            let mut sum = Portable::splat(0.0);
            for &weight in weights {
                sum = Portable::load(from).mul_add(Portable::splat(weight), sum);
                from = from.add(CHANNELS);
            }
            let value = sum.mul_add(Portable::load(scale.as_ptr()), Portable::load(offset.as_ptr()));
            value.store_first(pixel.as_mut_ptr(), CHANNELS);
        }
    }
}
