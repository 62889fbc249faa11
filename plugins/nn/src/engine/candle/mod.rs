//! The engine on candle's tensors: on an NVIDIA card, in 32 or 16 bits, or on the processor to be held to references.
//!
//! An image is a matrix of pixels x channels, so a linear layer is one multiplication, and a convolution is one after
//! the pixels under its taps were gathered. Gathers go by tables of indices (`tables`), made once for each shape.
//! Invariant: a frame's only transfers are its input up, and its labels and confidence down.

mod attention;
mod device;
mod labels;
mod layers;
mod tables;

use candle_core::{DType, Tensor};

pub use self::device::{CandleConv, CandleDepthwise, CandleEngine, CandleImage, CandleNorm};
use self::tables::{Grid, Line};
use super::{Attention, Deformable, Engine, EngineResult, Filter, MaskOutput, Norm, Placement, Scores, Step};
use crate::{Activation, Pool, Sampling, Shape};

impl Engine for CandleEngine {
    type Image = CandleImage;
    type Conv = CandleConv;
    type Depthwise = CandleDepthwise;
    type Norm = CandleNorm;

    fn make_conv(&self, filter: Filter, step: Step, activation: Activation) -> EngineResult<CandleConv> {
        let [outputs, inputs, rows, columns] = filter.shape;
        let weights = Tensor::from_vec(filter.inputs_last(), (outputs, rows * columns * inputs), &self.device)?;
        let weights = weights.to_dtype(self.dtype)?.t()?.contiguous()?;
        let bias = self.vector(&filter.bias, self.dtype)?;
        Ok(CandleConv { weights, bias, inputs, kernel: [rows, columns], step, activation })
    }

    fn make_depthwise(&self, filter: Filter, step: Step, activation: Activation) -> EngineResult<CandleDepthwise> {
        let [channels, _, rows, columns] = filter.shape;
        let weights = Tensor::from_vec(filter.channels_last(), (rows * columns, channels), &self.device)?;
        let bias = self.vector(&filter.bias, DType::F32)?;
        Ok(CandleDepthwise { weights, bias, kernel: [rows, columns], step, activation })
    }

    fn make_norm(&self, norm: Norm) -> EngineResult<CandleNorm> {
        let (scale, shift) = (self.vector(&norm.scale, DType::F32)?, self.vector(&norm.shift, DType::F32)?);
        Ok(CandleNorm { scale, shift, epsilon: f64::from(norm.epsilon) })
    }

    fn constant(&self, shape: Shape, values: &[f32]) -> EngineResult<CandleImage> {
        assert_eq!(values.len(), shape.len());
        match self.dtype {
            // Scores of what is not to be seen would become infinite.
            DType::F16 => {
                let most = half::f16::MAX.to_f32();
                let values: Vec<_> = values.iter().map(|value| value.clamp(-most, most)).collect();
                self.upload(shape, &values, self.dtype)
            }
            dtype => self.upload(shape, values, dtype),
        }
    }

    fn input(&mut self, shape: Shape, fill: impl FnOnce(&mut Pool, &mut [f32])) -> EngineResult<CandleImage> {
        self.staging.grow(shape.len());
        fill(&mut self.pool, &mut self.staging[..shape.len()]);
        self.upload(shape, &self.staging[..shape.len()], self.dtype)
    }

    fn read(&mut self, image: &CandleImage) -> EngineResult<Vec<f32>> {
        Ok(image.values.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?)
    }

    fn finish(&mut self) -> EngineResult<()> {
        Ok(self.device.synchronize()?)
    }

    fn shape(&self, image: &CandleImage) -> Shape {
        image.shape
    }

    fn reshape(&self, image: CandleImage, shape: Shape) -> CandleImage {
        assert_eq!(shape.len(), image.shape.len());
        CandleImage { shape, ..image }
    }

    fn conv(
        &mut self,
        layer: &CandleConv,
        image: &CandleImage,
        residual: Option<&CandleImage>,
    ) -> EngineResult<CandleImage> {
        assert_eq!(image.shape.channels, layer.inputs);
        let activations = self.activations()?;
        let window = layer.step.window(layer.kernel, image.shape);
        let residual = residual.map(CandleImage::matrix).transpose()?;
        let values = layers::conv(&mut self.tables, layer, window, image, residual)?;
        CandleImage::new(window.output(layer.bias.elem_count()), activations.apply(values, layer.activation)?)
    }

    fn depthwise(&mut self, layer: &CandleDepthwise, image: &CandleImage) -> EngineResult<CandleImage> {
        let activations = self.activations()?;
        let window = layer.step.window(layer.kernel, image.shape);
        let values = layers::depthwise(&mut self.tables, layer, window, image)?.to_dtype(self.dtype)?;
        CandleImage::new(window.output(image.shape.channels), activations.apply(values, layer.activation)?)
    }

    fn layer_norm(&mut self, norm: &CandleNorm, image: &CandleImage) -> EngineResult<CandleImage> {
        CandleImage::new(image.shape, layers::layer_norm(norm, &image.matrix()?)?)
    }

    fn group_norm(
        &mut self,
        norm: &CandleNorm,
        groups: usize,
        activation: Activation,
        image: CandleImage,
    ) -> EngineResult<CandleImage> {
        let values = layers::group_norm(norm, groups, &image.matrix()?)?;
        CandleImage::new(image.shape, self.activations()?.apply(values, activation)?)
    }

    fn add(&mut self, a: CandleImage, b: &CandleImage) -> EngineResult<CandleImage> {
        assert_eq!(a.shape.len(), b.shape.len());
        let b = b.values.reshape(a.values.shape())?.to_dtype(a.values.dtype())?;
        CandleImage::new(a.shape, a.values.add(&b)?)
    }

    fn activate(&mut self, image: CandleImage, activation: Activation) -> EngineResult<CandleImage> {
        CandleImage::new(image.shape, self.activations()?.apply(image.values, activation)?)
    }

    fn softmax(&mut self, image: CandleImage) -> EngineResult<CandleImage> {
        let values = layers::softmax(&image.matrix()?.to_dtype(DType::F32)?)?;
        CandleImage::new(image.shape, values.to_dtype(image.values.dtype())?)
    }

    fn scale_channels(&mut self, image: &CandleImage, gate: &CandleImage) -> EngineResult<CandleImage> {
        CandleImage::new(image.shape, image.matrix()?.broadcast_mul(&gate.matrix()?)?)
    }

    fn mean(&mut self, image: &CandleImage) -> EngineResult<CandleImage> {
        let mean = image.matrix()?.to_dtype(DType::F32)?.mean(0)?.to_dtype(image.values.dtype())?;
        CandleImage::new(Shape { height: 1, width: 1, channels: image.shape.channels }, mean)
    }

    fn max_pool(&mut self, image: &CandleImage, kernel: usize, step: Step) -> EngineResult<CandleImage> {
        let window = step.window([kernel; 2], image.shape);
        let values = layers::max_pool(&mut self.tables, window, image)?;
        CandleImage::new(window.output(image.shape.channels), values)
    }

    fn resize(&mut self, image: &CandleImage, size: (usize, usize), sampling: Sampling) -> EngineResult<CandleImage> {
        let line = |input, output| Line { sampling, input, canvas: output, part: output, output };
        let rows = self.tables.blend(line(image.shape.height, size.0))?;
        let columns = self.tables.blend(line(image.shape.width, size.1))?;
        let values = labels::blend(&labels::blend(&image.cube()?, 0, &rows)?, 1, &columns)?;
        CandleImage::new(Shape { height: size.0, width: size.1, ..image.shape }, values)
    }

    fn concat(&mut self, images: &[&CandleImage]) -> EngineResult<CandleImage> {
        let channels = images.iter().map(|image| image.shape.channels).sum();
        let values: Vec<_> = images.iter().map(|image| image.matrix()).collect::<Result<_, _>>()?;
        CandleImage::new(Shape { channels, ..images[0].shape }, Tensor::cat(&values, 1)?)
    }

    fn stack(&mut self, images: &[&CandleImage]) -> EngineResult<CandleImage> {
        let width = images.iter().map(|image| image.shape.pixels()).sum();
        let values: Vec<_> = images.iter().map(|image| image.matrix()).collect::<Result<_, _>>()?;
        CandleImage::new(Shape { height: 1, width, channels: images[0].shape.channels }, Tensor::cat(&values, 0)?)
    }

    fn part(&mut self, image: &CandleImage, first: usize, shape: Shape) -> EngineResult<CandleImage> {
        assert_eq!(shape.channels, image.shape.channels);
        CandleImage::new(shape, image.matrix()?.narrow(0, first, shape.pixels())?)
    }

    fn merge_patches(&mut self, image: &CandleImage) -> EngineResult<CandleImage> {
        let Shape { height, width, channels } = image.shape;
        let indices = self.tables.quarters(height, width)?;
        let shape = Shape { height: height.div_ceil(2), width: width.div_ceil(2), channels: 4 * channels };
        self.gather(image, &indices, shape)
    }

    fn windows(&mut self, image: &CandleImage, size: usize, shift: usize) -> EngineResult<CandleImage> {
        let Shape { height, width, channels } = image.shape;
        let grid = Grid { height, width, size, shift };
        let (rows, columns) = grid.count();
        let indices = self.tables.apart(grid)?;
        self.gather(image, &indices, Shape { height: rows * columns, width: size * size, channels })
    }

    fn from_windows(
        &mut self,
        windows: &CandleImage,
        shape: Shape,
        size: usize,
        shift: usize,
    ) -> EngineResult<CandleImage> {
        let indices = self.tables.together(Grid { height: shape.height, width: shape.width, size, shift })?;
        self.gather(windows, &indices, shape)
    }

    fn attention(&mut self, attention: &Attention<'_, CandleImage>) -> EngineResult<CandleImage> {
        CandleImage::new(attention.queries.shape, attention::attend(attention)?)
    }

    fn deformable(&mut self, attention: &Deformable<'_, CandleImage>) -> EngineResult<CandleImage> {
        CandleImage::new(attention.values.shape, attention::sample(&mut self.tables, attention)?)
    }

    fn matmul(&mut self, a: &CandleImage, b: &CandleImage) -> EngineResult<CandleImage> {
        assert_eq!(b.shape.pixels(), a.shape.channels);
        let shape = Shape { channels: b.shape.channels, ..a.shape };
        CandleImage::new(shape, a.matrix()?.matmul(&b.matrix()?)?)
    }

    fn matmul_transposed(&mut self, a: &CandleImage, b: &CandleImage) -> EngineResult<CandleImage> {
        assert_eq!(a.shape.channels, b.shape.channels);
        let shape = Shape { channels: b.shape.pixels(), ..a.shape };
        CandleImage::new(shape, a.matrix()?.matmul(&b.matrix()?.t()?)?)
    }

    fn attention_mask(&mut self, logits: &CandleImage) -> EngineResult<CandleImage> {
        let shape = Shape { height: 1, width: logits.shape.channels, channels: logits.shape.pixels() };
        CandleImage::new(shape, attention::mask(&logits.matrix()?)?)
    }

    fn labels(
        &mut self,
        scores: &CandleImage,
        kind: Scores,
        placement: Placement,
        mask: &mut MaskOutput<'_>,
    ) -> EngineResult<()> {
        Ok(labels::label(&mut self.tables, &scores.cube()?, kind, placement, mask)?)
    }
}
