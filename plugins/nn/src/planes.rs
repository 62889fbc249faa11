//! From planes of scores, one for each class, to labels of full size: what engines give that keep channels apart.
//!
//! As in `upsample`, source rows are stretched once each and kept while output rows lie between them; here the classes'
//! rows are compared one after the other, and only the best value of each pixel is kept.

use crate::activation::exp;
use crate::engine::{MaskOutput, Placement, Scores};
use crate::parts::Parts;
use crate::pool::Pool;
use crate::resize::Tap;
use crate::shape::Shape;
use crate::simd::{Kernel, Level, Vector};
use crate::upsample::{Columns, PADDING, store_tail, stretch};

/// Classes that a byte can tell apart.
const MOST_CLASSES: usize = 256;

/// Labels from planes of scores; keeps its taps while sizes stay the same.
#[derive(Debug)]
pub struct PlaneLabeller {
    level: Level,
    fitted: Option<(Shape, Placement, (usize, usize))>,
    rows: Vec<Tap>,
    columns: Columns,
}

impl PlaneLabeller {
    /// A labeller that allocates when it first sees a size.
    pub fn new(level: Level) -> Self {
        Self { level, fitted: None, rows: Vec::new(), columns: Columns::default() }
    }

    /// Fills `mask` from `planes`: `shape.channels` planes of `shape.height` x `shape.width` scores.
    ///
    /// # Panics
    /// When a side is 0, there are no classes or more than 256, or a slice has not the length its size says.
    pub fn run(
        &mut self,
        pool: &mut Pool,
        planes: &[f32],
        shape: Shape,
        scores: Scores,
        placement: Placement,
        mask: &mut MaskOutput<'_>,
    ) {
        let (width, height) = (mask.width, mask.height);
        assert!(width > 0 && height > 0 && !planes.is_empty() && planes.len() == shape.len());
        assert!((1..=MOST_CLASSES).contains(&shape.channels) && mask.labels.len() == width * height);
        assert!(mask.confidence.as_ref().is_none_or(|plane| plane.len() == width * height));
        self.fit(shape, placement, (width, height));
        let row_len = width.next_multiple_of(PADDING);
        let scratch_len = (2 * shape.channels + 3) * row_len;
        let chunks = pool.chunks(height, 2 * width * shape.channels);
        let (labels, confidence) = (Parts::new(mask.labels), mask.confidence.as_deref_mut().map(Parts::new));
        pool.run(chunks, scratch_len, &|chunk, scratch| {
            let (first, end) = (height * chunk / chunks, height * (chunk + 1) / chunks);
            let range = (first * width, end * width);
            // SAFETY: chunks are run once each, and their row ranges do not overlap.
            let (labels, confidence) = unsafe {
                (labels.slice(range.0, range.1), confidence.as_ref().map(|plane| plane.slice(range.0, range.1)))
            };
            let rows = &self.rows[first..end];
            let stretched = &mut scratch[..scratch_len];
            let columns = &self.columns;
            self.level.run(PlaneRows { planes, shape, scores, columns, rows, stretched, labels, confidence });
        });
    }

    fn fit(&mut self, shape: Shape, placement: Placement, size: (usize, usize)) {
        if self.fitted == Some((shape, placement, size)) {
            return;
        }
        let Placement { canvas, picture, sampling } = placement;
        self.columns.fit(sampling.taps_of_part(shape.width, canvas.0, picture.0, size.0));
        self.rows.clear();
        self.rows.extend(sampling.taps_of_part(shape.height, canvas.1, picture.1, size.1));
        self.fitted = Some((shape, placement, size));
    }
}

struct PlaneRows<'a> {
    planes: &'a [f32],
    shape: Shape,
    scores: Scores,
    columns: &'a Columns,
    rows: &'a [Tap],
    /// A low and a high row of each class; then the best values, the labels and the sums of a row of the mask.
    stretched: &'a mut [f32],
    labels: &'a mut [u8],
    confidence: Option<&'a mut [u8]>,
}

impl Kernel for PlaneRows<'_> {
    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let (width, classes) = (self.columns.count, self.shape.channels);
        let row_len = width.next_multiple_of(PADDING);
        let (stretched, rest) = self.stretched.split_at_mut(2 * classes * row_len);
        let (best, rest) = rest.split_at_mut(row_len);
        let (winners, sums) = rest.split_at_mut(row_len);
        let (mut low, mut high) = stretched.split_at_mut(classes * row_len);
        let (mut low_row, mut high_row) = (usize::MAX, usize::MAX);
        let plane_len = self.shape.height * self.shape.width;
        let stretch_all = |row: usize, to: &mut [f32]| {
            for (plane, to) in self.planes.chunks_exact(plane_len).zip(to.chunks_exact_mut(row_len)) {
                stretch::<V>(&plane[row * self.shape.width..][..self.shape.width], self.columns, to, |value| value);
            }
        };
        for (i, tap) in self.rows.iter().enumerate() {
            if tap.low == high_row {
                std::mem::swap(&mut low, &mut high);
                std::mem::swap(&mut low_row, &mut high_row);
            }
            if tap.low != low_row {
                stretch_all(tap.low, low);
                low_row = tap.low;
            }
            if tap.high != high_row {
                stretch_all(tap.high, high);
                high_row = tap.high;
            }
            let rows = Blended { low, high, weight: tap.weight, row_len };
            rows.choose::<V>(best, winners);
            store_row::<V>(winners, 1.0, &mut self.labels[i * width..][..width]);
            if let Some(confidence) = &mut self.confidence {
                rows.certainty::<V>(best, sums, self.scores);
                store_row::<V>(sums, 255.0, &mut confidence[i * width..][..width]);
            }
        }
    }
}

/// The rows of all classes between which a row of the mask lies.
struct Blended<'a> {
    low: &'a [f32],
    high: &'a [f32],
    weight: f32,
    row_len: usize,
}

impl Blended<'_> {
    /// The value of `class` in the vector at `x`.
    ///
    /// # Safety
    /// Both rows of the class have a whole vector there.
    #[inline(always)]
    unsafe fn value<V: Vector>(&self, class: usize, x: usize) -> V {
        let at = class * self.row_len + x;
        // SAFETY: the caller's promise.
        let (low, high) = unsafe { (V::load(self.low.as_ptr().add(at)), V::load(self.high.as_ptr().add(at))) };
        high.sub(low).mul_add(V::splat(self.weight), low)
    }

    /// Each pixel's best value, and the first class that has it.
    #[inline(always)]
    fn choose<V: Vector>(&self, best: &mut [f32], winners: &mut [f32]) {
        let classes = self.low.len() / self.row_len;
        assert!(self.high.len() == self.low.len() && best.len().min(winners.len()) >= self.row_len);
        for x in (0..self.row_len).step_by(V::LANES) {
            // SAFETY: rows are padded to whole vectors, and there are so many of each.
            unsafe {
                let (mut most, mut winner) = (self.value::<V>(0, x), V::splat(0.0));
                for class in 1..classes {
                    let value = self.value::<V>(class, x);
                    let is_more = V::splat(1.0).sub(most.at_least(value));
                    winner = V::splat(class as f32).sub(winner).mul_add(is_more, winner);
                    most = most.max(value);
                }
                most.store(best.as_mut_ptr().add(x));
                winner.store(winners.as_mut_ptr().add(x));
            }
        }
    }

    /// The winner's share of 1, where `best` has its value.
    #[inline(always)]
    fn certainty<V: Vector>(&self, best: &[f32], shares: &mut [f32], scores: Scores) {
        let classes = self.low.len() / self.row_len;
        assert!(self.high.len() == self.low.len() && best.len().min(shares.len()) >= self.row_len);
        for x in (0..self.row_len).step_by(V::LANES) {
            // SAFETY: as in `choose`.
            unsafe {
                let (most, mut sum) = (V::load(best.as_ptr().add(x)), V::splat(0.0));
                for class in 0..classes {
                    let value = self.value::<V>(class, x);
                    sum = sum.add(match scores {
                        Scores::Logits => exp(value.sub(most)),
                        Scores::Weights => value,
                    });
                }
                let winner = if scores == Scores::Logits { V::splat(1.0) } else { most };
                let share = winner.div(sum.max(V::splat(f32::MIN_POSITIVE)));
                share.max(V::splat(0.0)).min(V::splat(1.0)).store(shares.as_mut_ptr().add(x));
            }
        }
    }
}

/// Stores `values * factor`, each within 0 to 255, as bytes.
#[inline(always)]
fn store_row<V: Vector>(values: &[f32], factor: f32, output: &mut [u8]) {
    let width = output.len();
    assert!(values.len() >= width.next_multiple_of(PADDING));
    for x in (0..width).step_by(V::LANES) {
        // SAFETY: the values are padded to whole vectors.
        let value = unsafe { V::load(values.as_ptr().add(x)) }.mul(V::splat(factor));
        if x + V::LANES <= width {
            // SAFETY: a whole vector of bytes is left.
            unsafe { value.store_bytes(output.as_mut_ptr().add(x)) };
        } else {
            store_tail(value, &mut output[x..]);
        }
    }
}
