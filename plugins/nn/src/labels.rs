//! From scores of many classes on a small grid to labels of full size, in one pass.
//!
//! Source rows are blended once for each row of the mask; then each pixel's scores are interpolated, compared and
//! forgotten, so that scores of full size never exist.

use crate::activation::exp;
use crate::parts::Parts;
use crate::pool::Pool;
use crate::resize::{Tap, blend};
use crate::shape::Shape;
use crate::simd::{Kernel, Level, Vector, load_up_to};

/// Classes that a byte can tell apart.
const MOST_CLASSES: usize = 256;
/// What the widest vector reads beyond the last class.
const SLACK: usize = 16;
/// Below any score.
const LOWEST: f32 = f32::MIN;

/// What the winner's share is a share of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// The sum of the scores' exponentials.
    Exponentials,
    /// The sum of the scores.
    Values,
}

/// Scores, and where each row and column of the mask lies among them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interpolation<'a> {
    pub(crate) scores: &'a [f32],
    pub(crate) shape: Shape,
    pub(crate) rows: &'a [Tap],
    pub(crate) columns: &'a [Tap],
    pub(crate) share: Share,
}

/// Writes each pixel's class, and the winner's share of 255 if somebody asked.
pub(crate) fn label(
    level: Level,
    pool: &mut Pool,
    interpolation: Interpolation<'_>,
    labels: &mut [u8],
    confidence: Option<&mut [u8]>,
) {
    let Interpolation { scores, shape, rows, columns, .. } = interpolation;
    let (width, height) = (columns.len(), rows.len());
    assert!(scores.len() == shape.len() && (1..=MOST_CLASSES).contains(&shape.channels));
    assert!(rows.iter().all(|tap| tap.low < shape.height && tap.high < shape.height));
    assert!(columns.iter().all(|tap| tap.low < shape.width && tap.high < shape.width));
    assert!(labels.len() == width * height && confidence.as_ref().is_none_or(|c| c.len() == labels.len()));
    let row_len = shape.width * shape.channels;
    let chunks = pool.chunks(height, width * shape.channels * 4);
    let (labels, confidence) = (Parts::new(labels), confidence.map(Parts::new));
    pool.run(chunks, row_len + MOST_CLASSES + SLACK, &|chunk, scratch| {
        let (first, end) = (height * chunk / chunks, height * (chunk + 1) / chunks);
        let (blended, pixel) = scratch[..row_len + MOST_CLASSES + SLACK].split_at_mut(row_len);
        // SAFETY: chunks are run once each, and their row ranges do not overlap.
        let (labels, confidence) = unsafe {
            let range = (first * width, end * width);
            (labels.slice(range.0, range.1), confidence.as_ref().map(|c| c.slice(range.0, range.1)))
        };
        level.run(LabelRows { interpolation, first, blended, pixel, labels, confidence });
    });
}

struct LabelRows<'a> {
    interpolation: Interpolation<'a>,
    first: usize,
    blended: &'a mut [f32],
    pixel: &'a mut [f32],
    labels: &'a mut [u8],
    confidence: Option<&'a mut [u8]>,
}

impl Kernel for LabelRows<'_> {
    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let Interpolation { scores, shape, rows, columns, share } = self.interpolation;
        let (classes, row_len) = (shape.channels, self.blended.len());
        let width = columns.len();
        for i in 0..self.labels.len() / width {
            let tap = rows[self.first + i];
            let (low, high) = (&scores[tap.low * row_len..][..row_len], &scores[tap.high * row_len..][..row_len]);
            blend::<V>(low, high, tap.weight, self.blended);
            for (x, tap) in columns.iter().enumerate() {
                let low = &self.blended[tap.low * classes..][..classes];
                let high = &self.blended[tap.high * classes..][..classes];
                let largest = interpolate::<V>(low, high, tap.weight, self.pixel);
                self.labels[i * width + x] = winner::<V>(self.pixel, classes, largest);
                if let Some(confidence) = &mut self.confidence {
                    confidence[i * width + x] = certainty::<V>(self.pixel, classes, largest, share);
                }
            }
        }
    }
}

/// Scores of one pixel, padded with the lowest to whole vectors; returns the largest.
#[inline(always)]
fn interpolate<V: Vector>(low: &[f32], high: &[f32], weight: f32, pixel: &mut [f32]) -> f32 {
    let classes = low.len();
    assert!(high.len() == classes && pixel.len() >= classes + SLACK);
    let (weight, mut largest) = (V::splat(weight), V::splat(LOWEST));
    let mut at = 0;
    while at + V::LANES <= classes {
        // SAFETY: a whole vector is left in each.
        unsafe {
            let (low, high) = (V::load(low.as_ptr().add(at)), V::load(high.as_ptr().add(at)));
            let value = high.sub(low).mul_add(weight, low);
            value.store(pixel.as_mut_ptr().add(at));
            largest = largest.max(value);
        }
        at += V::LANES;
    }
    if at < classes {
        // SAFETY: so many values are left, and the pixel has slack for a whole vector.
        unsafe {
            let low: V = load_up_to(low.as_ptr().add(at), classes - at);
            let high: V = load_up_to(high.as_ptr().add(at), classes - at);
            high.sub(low).mul_add(weight, low).store(pixel.as_mut_ptr().add(at));
            pixel[classes..at + V::LANES].fill(LOWEST);
            largest = largest.max(V::load(pixel.as_ptr().add(at)));
        }
    }
    largest.largest()
}

/// The first class that has the largest score; 0 if the scores are no numbers.
#[inline(always)]
fn winner<V: Vector>(pixel: &[f32], classes: usize, largest: f32) -> u8 {
    for at in (0..classes).step_by(V::LANES) {
        // SAFETY: the pixel is padded to whole vectors.
        if let Some(lane) = unsafe { V::load(pixel.as_ptr().add(at)) }.first_at_least(largest) {
            return (at + lane) as u8;
        }
    }
    0
}

#[inline(always)]
fn certainty<V: Vector>(pixel: &[f32], classes: usize, largest: f32, share: Share) -> u8 {
    let part = match share {
        Share::Exponentials => {
            let mut sum = V::splat(0.0);
            for at in (0..classes).step_by(V::LANES) {
                // SAFETY: the pixel is padded to whole vectors, with values whose exponential is next to 0.
                sum = sum.add(exp(unsafe { V::load(pixel.as_ptr().add(at)) }.sub(V::splat(largest))));
            }
            1.0 / sum.sum()
        }
        Share::Values => largest / pixel[..classes].iter().sum::<f32>().max(f32::MIN_POSITIVE),
    };
    // A float that is no number, or is beyond a byte, becomes the nearest byte.
    (part * 255.0 + 0.5) as u8
}
