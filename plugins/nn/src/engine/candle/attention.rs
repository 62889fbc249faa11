//! Attention over all heads at once.

use candle_core::{D, DType, Result, Tensor};

use super::layers::softmax;
use super::tables::Tables;
use super::{Attention, CandleImage, Deformable};

/// Added to the score of what is not to be seen: its exponential is next to nothing, and no sum of it overflows.
const CLOSED: f64 = -1e30;

/// `softmax(queries * keys / sqrt(group) + bias + mask) * values`.
pub(super) fn attend(attention: &Attention<'_, CandleImage>) -> Result<Tensor> {
    let Attention { queries, keys, values, heads, bias, mask } = *attention;
    let (batch, query_count, key_count) = (queries.shape.height, queries.shape.width, keys.shape.width);
    let depth = queries.shape.channels / heads;
    let by_head = |image: &CandleImage| {
        let shape = (batch, image.shape.width, heads, depth);
        image.values.reshape(shape)?.transpose(1, 2)?.contiguous()
    };
    let queries = by_head(queries)?.affine(1.0 / (depth as f64).sqrt(), 0.0)?;
    let mut scores = queries.matmul(&by_head(keys)?.t()?)?.to_dtype(DType::F32)?;
    if let Some(bias) = bias {
        let bias = bias.values.reshape((1, heads, query_count, key_count))?;
        scores = scores.broadcast_add(&bias.to_dtype(DType::F32)?)?;
    }
    if let Some(mask) = mask {
        let mask = mask.values.reshape((batch, 1, query_count, key_count))?;
        scores = scores.broadcast_add(&mask.to_dtype(DType::F32)?)?;
    }
    let weights = softmax(&scores)?.to_dtype(queries.dtype())?;
    weights.matmul(&by_head(values)?)?.transpose(1, 2)?.contiguous()
}

/// From logits, pixels x queries: queries x pixels.
pub(super) fn mask(logits: &Tensor) -> Result<Tensor> {
    // -1, 0 or 1 becomes 0, 1 or 1.
    let open = logits.to_dtype(DType::F32)?.sign()?.affine(1.0, 1.0)?.sign()?.t()?.contiguous()?;
    let any = open.max_keepdim(D::Minus1)?;
    open.affine(-CLOSED, CLOSED)?.broadcast_mul(&any)
}

/// Samples of all levels, weighted: tokens x channels. Places are computed in 32 bits.
pub(super) fn sample(tables: &mut Tables, attention: &Deformable<'_, CandleImage>) -> Result<Tensor> {
    let Deformable { values, levels, offsets, weights, heads, points } = *attention;
    let (tokens, depth) = (values.shape.pixels(), values.shape.channels / heads);
    let samples = levels.len() * points;
    let [places, last_x, last_y, widths, firsts, head] = tables.levels(levels, heads)?;
    let zero = tables.scalar(0.0)?;
    let by_level = (tokens, heads, levels.len(), points);

    let weights = weights.values.to_dtype(DType::F32)?.reshape((tokens, heads, samples))?;
    let weights = softmax(&weights)?.reshape(by_level)?;
    let offsets = offsets.values.to_dtype(DType::F32)?.reshape((tokens, heads, levels.len(), points, 2))?;
    let at = offsets.broadcast_add(&places)?;
    let axis = |dimension: usize| -> Result<(Tensor, Tensor)> {
        let at = at.narrow(4, dimension, 1)?.contiguous()?.reshape(by_level)?;
        let low = at.floor()?;
        let part = at.sub(&low)?;
        Ok((low, part))
    };
    // Each neighbour's place inside the level, and how much it counts: not at all if that is another place.
    let neighbour = |low: &Tensor, part: &Tensor, last: &Tensor, high: bool| -> Result<(Tensor, Tensor)> {
        let (place, share) = match high {
            true => (low.affine(1.0, 1.0)?, part.clone()),
            false => (low.clone(), part.affine(-1.0, 1.0)?),
        };
        let inside = place.broadcast_maximum(&zero)?.broadcast_minimum(last)?;
        let counts = inside.eq(&place)?.to_dtype(DType::F32)?;
        Ok((inside, share.mul(&counts)?))
    };
    let ((x, x_part), (y, y_part)) = (axis(0)?, axis(1)?);
    let (mut corners, mut shares) = (Vec::with_capacity(4), Vec::with_capacity(4));
    for (bottom, right) in [(false, false), (false, true), (true, false), (true, true)] {
        let (x, x_share) = neighbour(&x, &x_part, &last_x, right)?;
        let (y, y_share) = neighbour(&y, &y_part, &last_y, bottom)?;
        // Each token's values are split by head: head number `h` of token `t` is row `t * heads + h`. Floats are exact
        // up to 2^24 rows.
        let token = y.broadcast_mul(&widths)?.add(&x)?.broadcast_add(&firsts)?;
        corners.push(token.affine(heads as f64, 0.0)?.broadcast_add(&head)?);
        shares.push(x_share.mul(&y_share)?.mul(&weights)?);
    }
    let rows = Tensor::cat(&corners, 3)?.flatten_all()?.to_dtype(DType::U32)?;
    let gathered = values.values.reshape((tokens * heads, depth))?.index_select(&rows, 0)?;
    let gathered = gathered.reshape((tokens * heads, 4 * samples, depth))?;
    let shares = Tensor::cat(&shares, 3)?.reshape((tokens * heads, 1, 4 * samples))?;
    shares.to_dtype(gathered.dtype())?.matmul(&gathered)
}
