//! From a small plane of probabilities to full-size labels and confidences, in one pass.
//!
//! Source rows are stretched to the output's width once each and kept in scratch while output rows lie between
//! them, so the work per output pixel is one blend, one comparison and two byte stores.

use crate::parts::Parts;
use crate::pool::Pool;
use crate::resize::{Sampling, Tap};
use crate::simd::{Kernel, Level, Vector};

/// Stretched rows are padded to whole vectors of any level.
pub(crate) const PADDING: usize = 16;

/// Upsampling of a single-channel plane with half-pixel centres; keeps its taps while sizes stay the same.
#[derive(Debug)]
pub struct LabelUpsampler {
    level: Level,
    input: (usize, usize),
    rows: Vec<Tap>,
    columns: Columns,
}

/// The taps of all output columns, each list padded to whole vectors.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    pub(crate) count: usize,
    low: Vec<i32>,
    high: Vec<i32>,
    weight: Vec<f32>,
}

impl Columns {
    pub(crate) fn fit(&mut self, taps: impl ExactSizeIterator<Item = Tap>) {
        let output = taps.len();
        self.count = output;
        self.low.clear();
        self.high.clear();
        self.weight.clear();
        for tap in taps {
            self.low.push(tap.low as i32);
            self.high.push(tap.high as i32);
            self.weight.push(tap.weight);
        }
        let padded = output.next_multiple_of(PADDING);
        self.low.resize(padded, 0);
        self.high.resize(padded, 0);
        self.weight.resize(padded, 0.0);
    }
}

impl LabelUpsampler {
    /// An upsampler that allocates when it first sees a size.
    pub fn new(level: Level) -> Self {
        Self { level, input: (0, 0), rows: Vec::new(), columns: Columns::default() }
    }

    /// Stretches `plane` (`(width, height)` probabilities of class 1) to `size` (`(width, height)` pixels).
    ///
    /// A pixel's label is 1 if its probability is at least one half, else 0; its confidence is the winning
    /// class's probability, 255 for certainty (so never below 127). All sides from 1 to 4096 are meant.
    ///
    /// # Panics
    /// When a side is 0 or a slice has not the length its size says.
    pub fn run(
        &mut self,
        pool: &mut Pool,
        plane: &[f32],
        plane_size: (usize, usize),
        size: (usize, usize),
        labels: &mut [u8],
        confidences: &mut [u8],
    ) {
        let (width, height) = size;
        assert!(width > 0 && height > 0 && !plane.is_empty(), "a plane has no pixels");
        assert_eq!(plane.len(), plane_size.0 * plane_size.1);
        assert!(labels.len() == width * height && confidences.len() == width * height);
        self.fit(plane_size, size);
        let row_len = width.next_multiple_of(PADDING);
        let chunks = pool.chunks(height, width);
        let (labels, confidences) = (Parts::new(labels), Parts::new(confidences));
        pool.run(chunks, 2 * row_len, &|chunk, scratch| {
            let (first, end) = (height * chunk / chunks, height * (chunk + 1) / chunks);
            let (low, high) = scratch[..2 * row_len].split_at_mut(row_len);
            // SAFETY: chunks are run once each, and their row ranges do not overlap.
            let outputs =
                unsafe { (labels.slice(first * width, end * width), confidences.slice(first * width, end * width)) };
            let rows = &self.rows[first..end];
            self.level.run(LabelRows {
                plane,
                columns: &self.columns,
                plane_width: plane_size.0,
                rows,
                low,
                high,
                outputs,
            });
        });
    }

    fn fit(&mut self, plane_size: (usize, usize), (width, height): (usize, usize)) {
        if self.input == plane_size && self.columns.count == width && self.rows.len() == height {
            return;
        }
        self.input = plane_size;
        self.columns.fit(Sampling::HalfPixelCentres.taps(plane_size.0, width));
        self.rows.clear();
        self.rows.extend(Sampling::HalfPixelCentres.taps(plane_size.1, height));
    }
}

struct LabelRows<'a> {
    plane: &'a [f32],
    plane_width: usize,
    columns: &'a Columns,
    rows: &'a [Tap],
    low: &'a mut [f32],
    high: &'a mut [f32],
    outputs: (&'a mut [u8], &'a mut [u8]),
}

impl Kernel for LabelRows<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let width = self.columns.count;
        let (mut low, mut high) = (self.low, self.high);
        let (mut low_row, mut high_row) = (usize::MAX, usize::MAX);
        let outputs = self.outputs.0.chunks_exact_mut(width).zip(self.outputs.1.chunks_exact_mut(width));
        for (tap, (labels, confidences)) in self.rows.iter().zip(outputs) {
            if tap.low == high_row {
                std::mem::swap(&mut low, &mut high);
                std::mem::swap(&mut low_row, &mut high_row);
            }
            let row = |at: usize| &self.plane[at * self.plane_width..][..self.plane_width];
            if tap.low != low_row {
                stretch_row::<V>(row(tap.low), self.columns, low);
                low_row = tap.low;
            }
            if tap.high != high_row {
                stretch_row::<V>(row(tap.high), self.columns, high);
                high_row = tap.high;
            }
            label_row::<V>(low, high, tap.weight, labels, confidences);
        }
    }
}

/// Resamples one row of probabilities, each kept within 0 to 1.
#[inline(always)]
fn stretch_row<V: Vector>(input: &[f32], columns: &Columns, output: &mut [f32]) {
    stretch::<V>(input, columns, output, |value| value.max(V::splat(0.0)).min(V::splat(1.0)));
}

/// Resamples one row of values.
#[inline(always)]
pub(crate) fn stretch<V: Vector>(input: &[f32], columns: &Columns, output: &mut [f32], finish: impl Fn(V) -> V) {
    assert!(output.len() <= columns.low.len() && output.len().is_multiple_of(PADDING));
    for x in (0..output.len()).step_by(V::LANES) {
        // SAFETY: the lists and the output are whole vectors long, and `Columns::fit` puts all places within
        // an input row (the padding's at its start).
        unsafe {
            let low = V::gather(input.as_ptr(), columns.low.as_ptr().add(x));
            let high = V::gather(input.as_ptr(), columns.high.as_ptr().add(x));
            let value = high.sub(low).mul_add(V::load(columns.weight.as_ptr().add(x)), low);
            finish(value).store(output.as_mut_ptr().add(x));
        }
    }
}

/// Labels one row from the two stretched rows it lies between.
#[inline(always)]
fn label_row<V: Vector>(low: &[f32], high: &[f32], weight: f32, labels: &mut [u8], confidences: &mut [u8]) {
    let width = labels.len();
    assert!(confidences.len() == width && low.len().min(high.len()) >= width.next_multiple_of(PADDING));
    let weight = V::splat(weight);
    for x in (0..width).step_by(V::LANES) {
        // SAFETY: the stretched rows are padded to whole vectors.
        let probability = unsafe {
            let (low, high) = (V::load(low.as_ptr().add(x)), V::load(high.as_ptr().add(x)));
            high.sub(low).mul_add(weight, low)
        };
        let label = probability.at_least(V::splat(0.5));
        let winner = probability.max(V::splat(1.0).sub(probability)).mul(V::splat(255.0));
        if x + V::LANES <= width {
            // SAFETY: a whole vector of bytes is left in both rows.
            unsafe {
                label.store_bytes(labels.as_mut_ptr().add(x));
                winner.store_bytes(confidences.as_mut_ptr().add(x));
            }
        } else {
            store_tail(label, &mut labels[x..]);
            store_tail(winner, &mut confidences[x..]);
        }
    }
}

/// Stores as many bytes as `output` has room for, fewer than a vector.
#[inline(always)]
pub(crate) fn store_tail<V: Vector>(value: V, output: &mut [u8]) {
    let mut bytes = [0; PADDING];
    // SAFETY: no level has more lanes than `PADDING`.
    unsafe { value.store_bytes(bytes.as_mut_ptr()) };
    output.copy_from_slice(&bytes[..output.len()]);
}
