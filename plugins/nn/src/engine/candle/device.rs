//! The device, and what lies on it.

use candle_core::{DType, Device, Tensor};

use super::layers::Activations;
use super::tables::Tables;
use crate::{Activation, Buffer, EngineError, EngineResult, Pool, Shape, Step};

/// A device of candle's, and what operations keep on it.
pub struct CandleEngine {
    pub(super) device: Device,
    pub(super) dtype: DType,
    pub(super) pool: Pool,
    pub(super) staging: Buffer,
    pub(super) tables: Tables,
}

/// Values on the device: 32 or 16 bits, contiguous.
#[derive(Debug)]
pub struct CandleImage {
    pub(super) shape: Shape,
    pub(super) values: Tensor,
}

/// A convolution as a matrix: (taps x inputs) x outputs.
#[derive(Debug)]
pub struct CandleConv {
    pub(super) weights: Tensor,
    pub(super) bias: Tensor,
    pub(super) inputs: usize,
    pub(super) kernel: [usize; 2],
    pub(super) step: Step,
    pub(super) activation: Activation,
}

/// A depthwise convolution: taps x channels, in 32 bits.
#[derive(Debug)]
pub struct CandleDepthwise {
    pub(super) weights: Tensor,
    pub(super) bias: Tensor,
    pub(super) kernel: [usize; 2],
    pub(super) step: Step,
    pub(super) activation: Activation,
}

/// A normalisation's scale and shift, in 32 bits.
#[derive(Debug)]
pub struct CandleNorm {
    pub(super) scale: Tensor,
    pub(super) shift: Tensor,
    pub(super) epsilon: f64,
}

impl From<candle_core::Error> for EngineError {
    fn from(error: candle_core::Error) -> Self {
        Self(error.to_string())
    }
}

impl CandleImage {
    /// Pixels x channels.
    pub(super) fn matrix(&self) -> candle_core::Result<Tensor> {
        self.values.reshape((self.shape.pixels(), self.shape.channels))
    }

    /// Height x width x channels.
    pub(super) fn cube(&self) -> candle_core::Result<Tensor> {
        self.values.reshape((self.shape.height, self.shape.width, self.shape.channels))
    }

    pub(super) fn new(shape: Shape, values: Tensor) -> EngineResult<Self> {
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
    pub(super) fn upload(&self, shape: Shape, values: &[f32], dtype: DType) -> EngineResult<CandleImage> {
        let values = Tensor::from_slice(values, shape.len(), &self.device)?.to_dtype(dtype)?;
        CandleImage::new(shape, values)
    }

    pub(super) fn vector(&self, values: &[f32], dtype: DType) -> EngineResult<Tensor> {
        Ok(Tensor::from_slice(values, values.len(), &self.device)?.to_dtype(dtype)?)
    }

    pub(super) fn activations(&mut self) -> EngineResult<Activations> {
        Ok(Activations { six: self.tables.scalar(6.0)?.to_dtype(self.dtype)? })
    }

    /// The pixels of `image` that `indices` names, zeros where it names none.
    pub(super) fn gather(&self, image: &CandleImage, indices: &Tensor, shape: Shape) -> EngineResult<CandleImage> {
        CandleImage::new(shape, image.matrix()?.index_select(indices, 0)?)
    }
}
