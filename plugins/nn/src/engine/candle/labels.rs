//! Interpolation, and from scores to labels.

use candle_core::{D, DType, Result, Tensor};

use super::tables::{Blend, Line, Tables};
use super::{MaskOutput, Placement, Scores};

/// Interpolated scores that exist at once.
const MOST_SCORES: usize = 1 << 26;
/// Classes that a byte can tell apart.
const MOST_CLASSES: usize = 256;

/// `low + (high - low) * weight` along a dimension of a cube.
pub(super) fn blend(cube: &Tensor, dimension: usize, blend: &Blend) -> Result<Tensor> {
    let mut shape = [1; 3];
    shape[dimension] = blend.weight.elem_count();
    let weight = blend.weight.reshape(&shape)?.to_dtype(cube.dtype())?;
    let (low, high) = (cube.index_select(&blend.low, dimension)?, cube.index_select(&blend.high, dimension)?);
    high.sub(&low)?.broadcast_mul(&weight)?.add(&low)
}

/// Fills `mask` from scores, height x width x classes.
pub(super) fn label(
    tables: &mut Tables,
    scores: &Tensor,
    kind: Scores,
    placement: Placement,
    mask: &mut MaskOutput<'_>,
) -> Result<()> {
    let (height, width, classes) = scores.dims3()?;
    assert!((1..=MOST_CLASSES).contains(&classes) && mask.labels.len() == mask.width * mask.height);
    let Placement { canvas, picture, sampling } = placement;
    let rows = Line { sampling, input: height, canvas: canvas.1, part: picture.1, output: mask.height };
    let columns = Line { sampling, input: width, canvas: canvas.0, part: picture.0, output: mask.width };
    let (rows, columns) = (tables.blend(rows)?, tables.blend(columns)?);
    let scores = scores.to_dtype(DType::F32)?;
    let together = (MOST_SCORES / (mask.width * classes).max(1)).max(1);
    for first in (0..mask.height).step_by(together) {
        let count = together.min(mask.height - first);
        let part = |table: &Tensor| table.narrow(0, first, count);
        let rows = Blend { low: part(&rows.low)?, high: part(&rows.high)?, weight: part(&rows.weight)? };
        let scores = blend(&blend(&scores, 0, &rows)?, 1, &columns)?;
        let range = first * mask.width..(first + count) * mask.width;
        let winners = scores.argmax(D::Minus1)?.to_dtype(DType::U8)?.flatten_all()?;
        mask.labels[range.clone()].copy_from_slice(&winners.to_vec1()?);
        if let Some(confidence) = &mut mask.confidence {
            let most = tables.scalar(255.0)?;
            let shares = shares(&scores, kind)?.affine(255.0, 0.5)?.relu()?.broadcast_minimum(&most)?;
            confidence[range].copy_from_slice(&shares.to_dtype(DType::U8)?.flatten_all()?.to_vec1()?);
        }
    }
    Ok(())
}

/// The winner's part of all.
fn shares(scores: &Tensor, kind: Scores) -> Result<Tensor> {
    let largest = scores.max_keepdim(D::Minus1)?;
    match kind {
        Scores::Logits => scores.broadcast_sub(&largest)?.exp()?.sum_keepdim(D::Minus1)?.recip(),
        // A sum of 0 stays a number.
        Scores::Weights => largest.div(&scores.sum_keepdim(D::Minus1)?.affine(1.0, f64::from(f32::MIN_POSITIVE))?),
    }
}
