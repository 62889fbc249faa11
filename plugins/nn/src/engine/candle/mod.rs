//! The engine on candle's tensors: on an NVIDIA card, in 32 or 16 bits, or on the processor to be held to references.
//!
//! An image is a matrix of pixels x channels, so a linear layer is one multiplication, and a convolution is one after
//! the pixels under its taps were gathered. Gathers go by tables of indices (`tables`), made once for each shape.
//! Invariant: a frame's only transfers are its input up, and its labels and confidence down.

mod attention;
mod labels;
mod layers;
mod tables;

use candle_core::{DType, Device, Tensor};

use self::layers::Activations;
use self::tables::{Grid, Line, Tables};
use super::{
    Attention, Deformable, Engine, EngineError, EngineResult, Filter, MaskOutput, Norm, Placement, Scores, Step,
};
use crate::{Activation, Buffer, Pool, Sampling, Shape};

/// A device of candle's, and what operations keep on it.
pub struct CandleEngine {
    device: Device,
    dtype: DType,
    pool: Pool,
    staging: Buffer,
    tables: Tables,
}

/// Values on the device: 32 or 16 bits, contiguous.
#[derive(Debug)]
pub struct CandleImage {
    shape: Shape,
    values: Tensor,
}

/// A convolution as a matrix: (taps x inputs) x outputs.
#[derive(Debug)]
pub struct CandleConv {
    weights: Tensor,
    bias: Tensor,
    inputs: usize,
    kernel: [usize; 2],
    step: Step,
    activation: Activation,
}

/// A depthwise convolution: taps x channels, in 32 bits.
#[derive(Debug)]
pub struct CandleDepthwise {
    weights: Tensor,
    bias: Tensor,
    kernel: [usize; 2],
    step: Step,
    activation: Activation,
}

/// A normalisation's scale and shift, in 32 bits.
#[derive(Debug)]
pub struct CandleNorm {
    scale: Tensor,
    shift: Tensor,
    epsilon: f64,
}

impl From<candle_core::Error> for EngineError {
    fn from(error: candle_core::Error) -> Self {
        Self(error.to_string())
    }
}

impl CandleImage {
    /// Pixels x channels.
    fn matrix(&self) -> candle_core::Result<Tensor> {
        self.values.reshape((self.shape.pixels(), self.shape.channels))
    }

    /// Height x width x channels.
    fn cube(&self) -> candle_core::Result<Tensor> {
        self.values.reshape((self.shape.height, self.shape.width, self.shape.channels))
    }

    fn new(shape: Shape, values: Tensor) -> EngineResult<Self> {
        assert_eq!(values.elem_count(), shape.len());
        Ok(Self { shape, values: values.contiguous()? })
    }
}

impl CandleEngine {
    /// An engine on `device` that computes in `dtype`: f32, bf16 or f16. Frames are made input by `threads` threads.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn new(device: Device, dtype: DType, threads: usize) -> EngineResult<Self> {
        let pool = Pool::new(threads).map_err(|error| EngineError(error.to_string()))?;
        Ok(Self { tables: Tables::new(device.clone()), device, dtype, pool, staging: Buffer::default() })
    }

    /// An engine on the first NVIDIA card.
    ///
    /// # Errors
    /// When there is no card, no driver or no CUDA library, or the system refuses a thread.
    #[cfg(feature = "cuda")]
    pub fn on_card(dtype: DType, threads: usize) -> EngineResult<Self> {
        // Libraries that are not there are a panic, not an error.
        let device = std::panic::catch_unwind(|| Device::new_cuda(0)).map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            text.unwrap_or("a library is missing").to_owned()
        });
        let device = device.and_then(|device| device.map_err(|error| error.to_string()));
        let why = |reason| EngineError(format!("device = \"cuda\": no NVIDIA card can be used here: {reason}"));
        Self::new(device.map_err(why)?, dtype, threads)
    }

    /// An image of the engine's numbers.
    fn upload(&self, shape: Shape, values: &[f32], dtype: DType) -> EngineResult<CandleImage> {
        let values = Tensor::from_slice(values, shape.len(), &self.device)?.to_dtype(dtype)?;
        CandleImage::new(shape, values)
    }

    fn vector(&self, values: &[f32], dtype: DType) -> EngineResult<Tensor> {
        Ok(Tensor::from_slice(values, values.len(), &self.device)?.to_dtype(dtype)?)
    }

    fn activations(&mut self) -> EngineResult<Activations> {
        Ok(Activations { six: self.tables.scalar(6.0)?.to_dtype(self.dtype)? })
    }

    /// The pixels of `image` that `indices` names, zeros where it names none.
    fn gather(&self, image: &CandleImage, indices: &Tensor, shape: Shape) -> EngineResult<CandleImage> {
        CandleImage::new(shape, image.matrix()?.index_select(indices, 0)?)
    }
}

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
        let indices = self.tables.windows(grid)?;
        self.gather(image, &indices, Shape { height: rows * columns, width: size * size, channels })
    }

    fn from_windows(
        &mut self,
        windows: &CandleImage,
        shape: Shape,
        size: usize,
        shift: usize,
    ) -> EngineResult<CandleImage> {
        let indices = self.tables.from_windows(Grid { height: shape.height, width: shape.width, size, shift })?;
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
