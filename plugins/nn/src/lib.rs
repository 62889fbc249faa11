//! CPU kernels for segmentation networks: NHWC, f32, batch 1.
//!
//! A layer is built once (weights packed, taps computed) for a [`Level`] and then run on a [`Pool`] as often as
//! there are frames. Running allocates nothing, and its results do not depend on the number of threads.
//! Invariant: `unsafe` is used for vector instructions, for memory shared within a [`Pool`] section, for
//! aligned [`Buffer`]s and for mapped files of parameters, never to skip a bounds check that a caller could make fail.
#![allow(
    unsafe_code,
    reason = "vector intrinsics, a thread pool that lends stack memory to its threads, and mapped files"
)]

mod activation;
mod arrange;
mod attention;
mod bottleneck;
mod buffer;
mod conv;
mod deconv;
mod depthwise;
mod elementwise;
mod engine;
mod expanded;
mod gemm;
mod join;
mod labels;
#[cfg(feature = "network")]
pub mod network;
mod normalise;
mod parts;
mod planes;
mod pointwise;
mod pool;
mod preprocess;
mod resize;
mod shape;
mod simd;
mod upsample;
#[cfg(feature = "weights")]
pub mod weights;
mod window;

pub use activation::Activation;
pub use buffer::Buffer;
#[cfg(feature = "candle")]
pub use candle_core;
pub use conv::Conv2d;
pub use deconv::Deconv2x2;
pub use depthwise::Depthwise;
pub use elementwise::{GlobalMean, activate, add, multiply, multiply_channels};
pub use engine::{
    Attention, Bottleneck, Cpu, CpuConv, CpuDepthwise, CpuImage, CpuNorm, Deformable, Engine, EngineError,
    EngineResult, Filter, Join, MaskOutput, Norm, Padding, Placement, Scores, Step,
};
#[cfg(feature = "candle")]
pub use engine::{CandleConv, CandleDepthwise, CandleEngine, CandleImage, CandleNorm};
pub use expanded::Expanded;
pub use gemm::Bf16;
pub use planes::PlaneLabeller;
pub use pointwise::{Pointwise, PointwiseInput};
pub use pool::Pool;
pub use preprocess::{Layout, Normalisation, Preprocessor, RgbFrame};
pub use resize::{Resize, Sampling};
pub use shape::{Axis, Shape};
pub use simd::Level;
pub use upsample::LabelUpsampler;
pub use window::Window;
