//! Layers: convolutions, normalisations, pooling and activations.

use candle_core::{D, DType, Result, Tensor};

use super::tables::{Tables, padded_len};
use super::{CandleConv, CandleDepthwise, CandleImage, CandleNorm};
use crate::{Activation, Window};

/// What activations need on the device.
pub(super) struct Activations {
    pub(super) six: Tensor,
}

impl Activations {
    pub(super) fn apply(&self, x: Tensor, activation: Activation) -> Result<Tensor> {
        let relu6 = |x: &Tensor| x.relu()?.broadcast_minimum(&self.six);
        match activation {
            Activation::None => Ok(x),
            Activation::Relu => x.relu(),
            Activation::Relu6 => relu6(&x),
            Activation::HardSwish => relu6(&x.affine(1.0, 3.0)?)?.affine(1.0 / 6.0, 0.0)?.mul(&x),
            Activation::Sigmoid => x.neg()?.exp()?.affine(1.0, 1.0)?.recip(),
            Activation::HardSigmoid => relu6(&x.affine(1.0, 3.0)?)?.affine(1.0 / 6.0, 0.0),
            Activation::Gelu => x.gelu_erf(),
        }
    }
}

/// `convolution(image) + residual`: pixels x outputs.
pub(super) fn conv(
    tables: &mut Tables,
    layer: &CandleConv,
    window: Window,
    image: &CandleImage,
    residual: Option<Tensor>,
) -> Result<Tensor> {
    let pixels = image.matrix()?;
    let patches = if window.is_pointwise() {
        pixels
    } else {
        let outputs = window.rows.output * window.columns.output;
        pixels.index_select(&tables.patches(window)?, 0)?.reshape((outputs, layer.weights.dim(0)?))?
    };
    let output = patches.matmul(&layer.weights)?.broadcast_add(&layer.bias)?;
    match residual {
        Some(residual) => output.add(&residual),
        None => Ok(output),
    }
}

/// The sum over the taps of shifted images times their weights, in 32 bits: pixels x channels.
pub(super) fn depthwise(
    tables: &mut Tables,
    layer: &CandleDepthwise,
    window: Window,
    image: &CandleImage,
) -> Result<Tensor> {
    let Window { rows, columns } = window;
    let channels = image.shape.channels;
    let (height, width) = (padded_len(&rows) / rows.stride, padded_len(&columns) / columns.stride);
    let padded = image.matrix()?.index_select(&tables.padded(window)?, 0)?.to_dtype(DType::F32)?;
    // What a tap sees is one of each `stride` rows and columns.
    let padded = padded.reshape((height, rows.stride, width, columns.stride, channels))?;
    let mut sum: Option<Tensor> = None;
    for tap in 0..rows.kernel * columns.kernel {
        let (y, x) = (tap / columns.kernel * rows.dilation, tap % columns.kernel * columns.dilation);
        let seen = padded.narrow(0, y / rows.stride, rows.output)?.narrow(1, y % rows.stride, 1)?;
        let seen = seen.narrow(2, x / columns.stride, columns.output)?.narrow(3, x % columns.stride, 1)?;
        let product = seen.broadcast_mul(&layer.weights.get(tap)?)?;
        sum = Some(match sum {
            Some(sum) => sum.add(&product)?,
            None => product,
        });
    }
    let sum = sum.ok_or_else(|| candle_core::Error::Msg("a window without taps".to_owned()))?;
    sum.reshape((rows.output * columns.output, channels))?.broadcast_add(&layer.bias)
}

/// Over each row of a matrix.
pub(super) fn layer_norm(norm: &CandleNorm, x: &Tensor) -> Result<Tensor> {
    let normal = normalised(&x.to_dtype(DType::F32)?, norm.epsilon)?;
    normal.broadcast_mul(&norm.scale)?.broadcast_add(&norm.shift)?.to_dtype(x.dtype())
}

/// Over all pixels of each group of channels of a matrix.
pub(super) fn group_norm(norm: &CandleNorm, groups: usize, x: &Tensor) -> Result<Tensor> {
    let (pixels, channels) = x.dims2()?;
    let size = channels / groups;
    let by_group = x.to_dtype(DType::F32)?.reshape((pixels, groups, size))?.transpose(0, 1)?.contiguous()?;
    let normal = normalised(&by_group.reshape((groups, pixels * size))?, norm.epsilon)?;
    let normal = normal.reshape((groups, pixels, size))?.transpose(0, 1)?.contiguous()?.reshape((pixels, channels))?;
    normal.broadcast_mul(&norm.scale)?.broadcast_add(&norm.shift)?.to_dtype(x.dtype())
}

/// Each row less its mean, by its deviation.
fn normalised(x: &Tensor, epsilon: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let deviation = centred.sqr()?.mean_keepdim(D::Minus1)?.affine(1.0, epsilon)?.sqrt()?;
    centred.broadcast_div(&deviation)
}

/// Over the last dimension, in 32 bits.
pub(super) fn softmax(x: &Tensor) -> Result<Tensor> {
    let powers = x.broadcast_sub(&x.max_keepdim(D::Minus1)?)?.exp()?;
    powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)
}

/// The largest of each column of taps, then of each row of these.
pub(super) fn max_pool(tables: &mut Tables, window: Window, image: &CandleImage) -> Result<Tensor> {
    let mut values = image.cube()?;
    for (dimension, axis) in [window.rows, window.columns].into_iter().enumerate() {
        let sources = tables.axis(axis)?;
        let mut largest = values.index_select(&sources.get(0)?, dimension)?;
        for tap in 1..axis.kernel {
            largest = largest.maximum(&values.index_select(&sources.get(tap)?, dimension)?)?;
        }
        values = largest;
    }
    Ok(values)
}
