//! What networks are written in: operations on images, run by this crate's kernels or by another library's.
//!
//! A network is written once, over [`Engine`], as a straight function from one image to the next. [`Cpu`] runs
//! it on the kernels of this crate; with the feature `candle`, `CandleEngine` does on candle's tensors. An image is given back when it is dropped, so a network that assigns
//! (`image = engine.conv(&layer, &image, None)?`) holds no more than it needs.
//!
//! Token sequences are images, too: `height` sequences of `width` tokens of `channels` values each.

mod arena;
#[cfg(feature = "candle")]
mod candle;
mod cpu;
mod filter;

#[cfg(feature = "candle")]
pub use candle::{CandleConv, CandleDepthwise, CandleEngine, CandleImage, CandleNorm};
pub use cpu::{Cpu, CpuConv, CpuDepthwise, CpuImage, CpuNorm};
pub use filter::{Filter, Norm};

use crate::{Activation, Axis, Pool, Sampling, Shape, Window};

/// Why an operation failed: memory or a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EngineError(pub String);

/// The result of an operation.
pub type EngineResult<T> = std::result::Result<T, EngineError>;

/// How the window of a convolution moves; the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Input pixels from one output pixel to the next.
    pub stride: usize,
    /// Input pixels from one tap to the next.
    pub dilation: usize,
    /// What surrounds the image.
    pub padding: Padding,
}

/// Zeros around an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// So many on each side, as PyTorch pads.
    Zeros(usize),
    /// As many as `ceil(input / stride)` outputs need, the odd one at the end, as TensorFlow pads.
    Same,
}

impl Step {
    /// One pixel at a time, without padding: what pointwise convolutions do.
    pub const ONE: Self = Self { stride: 1, dilation: 1, padding: Padding::Zeros(0) };

    /// PyTorch's stride and padding.
    pub const fn of(stride: usize, padding: usize) -> Self {
        Self { stride, dilation: 1, padding: Padding::Zeros(padding) }
    }

    /// One pixel at a time with taps `dilation` apart, the output as large as the input of a 3x3 convolution.
    pub const fn dilated(dilation: usize) -> Self {
        Self { stride: 1, dilation, padding: Padding::Zeros(dilation) }
    }

    /// TensorFlow's SAME padding.
    pub const fn same(stride: usize, dilation: usize) -> Self {
        Self { stride, dilation, padding: Padding::Same }
    }

    /// The window of `kernel` (rows, columns) over an image of this shape.
    pub fn window(self, kernel: [usize; 2], image: Shape) -> Window {
        let axis = |input, kernel| match self.padding {
            Padding::Zeros(padding) => Axis::padded_by(input, kernel, self.stride, self.dilation, padding),
            Padding::Same => Axis::same(input, kernel, self.stride, self.dilation),
        };
        Window { rows: axis(image.height, kernel[0]), columns: axis(image.width, kernel[1]) }
    }
}

/// Where the mask's pixels lie in the image that scores were computed of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Width and height of the network's input.
    pub canvas: (usize, usize),
    /// Width and height of the part of it, from its top left, that is the picture.
    pub picture: (usize, usize),
    /// How scores lie over the canvas.
    pub sampling: Sampling,
}

/// What scores are, for telling how certain a winner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scores {
    /// Logits: the winner's share is its softmax.
    Logits,
    /// Weights of 0 and above: the winner's share is its part of their sum.
    Weights,
}

/// A mask to be filled: class ids, and the winners' shares (255 for all) if they are wanted.
#[derive(Debug)]
pub struct MaskOutput<'a> {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// One id for each pixel.
    pub labels: &'a mut [u8],
    /// One share for each pixel.
    pub confidence: Option<&'a mut [u8]>,
}

/// Queries, keys and values of an attention: images of `height` sequences, of which each is attended on its own.
#[derive(Debug)]
pub struct Attention<'a, I> {
    /// `batch x queries x channels`.
    pub queries: &'a I,
    /// `batch x keys x channels`.
    pub keys: &'a I,
    /// `batch x keys x channels`.
    pub values: &'a I,
    /// Groups of channels that attend separately; scores are divided by the square root of a group's size.
    pub heads: usize,
    /// Added to the scores: `heads x queries x keys`.
    pub bias: Option<&'a I>,
    /// Added to the scores: `batch x queries x keys`.
    pub mask: Option<&'a I>,
}

/// Multi-scale deformable attention (Zhu et al., "Deformable DETR", 2021), each token asking from its own place.
#[derive(Debug)]
pub struct Deformable<'a, I> {
    /// `1 x tokens x channels`: the tokens of all levels, level by level, each row by row.
    pub values: &'a I,
    /// Height and width of each level; their products sum to the tokens.
    pub levels: &'a [(usize, usize)],
    /// `1 x tokens x (heads x levels x points x 2)`: (x, y) in pixels of the level.
    pub offsets: &'a I,
    /// `1 x tokens x (heads x levels x points)`: logits, of which the softmax over levels and points is the weight.
    pub weights: &'a I,
    /// Groups of channels that sample separately.
    pub heads: usize,
    /// Samples of each head on each level.
    pub points: usize,
}

/// Perhaps a pointwise convolution, a depthwise one, and perhaps another pointwise one, one after the other.
#[derive(Debug)]
pub struct Bottleneck<'a, E: Engine> {
    /// A pointwise convolution to many channels.
    pub expand: Option<&'a E::Conv>,
    /// A filter for each of them.
    pub depthwise: &'a E::Depthwise,
    /// A pointwise convolution to few channels.
    pub project: Option<&'a E::Conv>,
}

/// How images of four sizes become one.
#[derive(Debug)]
pub struct Join<'a, E: Engine> {
    /// A pointwise convolution of the finest image; its activation comes after the sum.
    pub first: &'a E::Conv,
    /// What the convolution is added to, each resized to the finest image's size.
    pub coarser: [&'a E::Image; 3],
    /// How they are resized.
    pub sampling: Sampling,
    /// A pointwise convolution of the sum.
    pub then: &'a E::Conv,
}

/// Runs the operations that networks are made of.
pub trait Engine: Sized + Send + 'static {
    /// Values on the engine's device.
    type Image: Send;
    /// A dense convolution, or a linear layer.
    type Conv: Send;
    /// A convolution with one filter for each channel.
    type Depthwise: Send;
    /// Scale and shift of a normalisation.
    type Norm: Send;

    /// Takes a convolution to the device. A linear layer is one of 1x1.
    fn make_conv(&self, filter: Filter, step: Step, activation: Activation) -> EngineResult<Self::Conv>;
    /// Takes a depthwise convolution to the device.
    fn make_depthwise(&self, filter: Filter, step: Step, activation: Activation) -> EngineResult<Self::Depthwise>;
    /// Takes a normalisation to the device.
    fn make_norm(&self, norm: Norm) -> EngineResult<Self::Norm>;
    /// An image that outlives the frame.
    fn constant(&self, shape: Shape, values: &[f32]) -> EngineResult<Self::Image>;

    /// The frame's input, which `fill` writes.
    fn input(&mut self, shape: Shape, fill: impl FnOnce(&mut Pool, &mut [f32])) -> EngineResult<Self::Image>;
    /// An image's values, row by row.
    fn read(&mut self, image: &Self::Image) -> EngineResult<Vec<f32>>;
    /// Waits until all operations so far are done: a device may still be at work when they return.
    fn finish(&mut self) -> EngineResult<()>;
    /// An image's size.
    fn shape(&self, image: &Self::Image) -> Shape;
    /// The same values, cut into rows and pixels otherwise.
    fn reshape(&self, image: Self::Image, shape: Shape) -> Self::Image;

    /// `activation(convolution(image) + residual)`.
    fn conv(
        &mut self,
        layer: &Self::Conv,
        image: &Self::Image,
        residual: Option<&Self::Image>,
    ) -> EngineResult<Self::Image>;
    /// `activation(convolution(image))`.
    fn depthwise(&mut self, layer: &Self::Depthwise, image: &Self::Image) -> EngineResult<Self::Image>;
    /// The layers one after the other, `residual` added before the last one's activation. An engine may do without the
    /// images between them.
    fn bottleneck(
        &mut self,
        layers: &Bottleneck<'_, Self>,
        image: &Self::Image,
        residual: Option<&Self::Image>,
    ) -> EngineResult<Self::Image> {
        self.one_by_one(layers, image, residual)
    }
    /// The layers, each with its image.
    fn one_by_one(
        &mut self,
        layers: &Bottleneck<'_, Self>,
        image: &Self::Image,
        residual: Option<&Self::Image>,
    ) -> EngineResult<Self::Image> {
        let expanded = layers.expand.map(|expand| self.conv(expand, image, None)).transpose()?;
        let inner = self.depthwise(layers.depthwise, expanded.as_ref().unwrap_or(image))?;
        drop(expanded);
        match layers.project {
            Some(project) => self.conv(project, &inner, residual),
            None => Ok(inner),
        }
    }
    /// Each pixel normalised over its channels.
    fn layer_norm(&mut self, norm: &Self::Norm, image: &Self::Image) -> EngineResult<Self::Image>;
    /// Each group of channels normalised over all pixels.
    fn group_norm(
        &mut self,
        norm: &Self::Norm,
        groups: usize,
        activation: Activation,
        image: Self::Image,
    ) -> EngineResult<Self::Image>;

    /// `a + b`.
    fn add(&mut self, a: Self::Image, b: &Self::Image) -> EngineResult<Self::Image>;
    /// `activation(image)`.
    fn activate(&mut self, image: Self::Image, activation: Activation) -> EngineResult<Self::Image>;
    /// The softmax of each pixel's channels.
    fn softmax(&mut self, image: Self::Image) -> EngineResult<Self::Image>;
    /// Each channel times its factor of `gate`, an image of one pixel.
    fn scale_channels(&mut self, image: &Self::Image, gate: &Self::Image) -> EngineResult<Self::Image>;
    /// The mean of all pixels: an image of one pixel.
    fn mean(&mut self, image: &Self::Image) -> EngineResult<Self::Image>;
    /// The largest value under each window of `kernel` x `kernel`; padding never wins.
    fn max_pool(&mut self, image: &Self::Image, kernel: usize, step: Step) -> EngineResult<Self::Image>;
    /// Bilinear resampling to (height, width).
    fn resize(&mut self, image: &Self::Image, size: (usize, usize), sampling: Sampling) -> EngineResult<Self::Image>;
    /// Images of four sizes joined. An engine may do without the images between.
    fn join(&mut self, join: &Join<'_, Self>, image: &Self::Image) -> EngineResult<Self::Image> {
        self.join_one_by_one(join, image)
    }
    /// The same by an operation for each step.
    fn join_one_by_one(&mut self, join: &Join<'_, Self>, image: &Self::Image) -> EngineResult<Self::Image> {
        let Shape { height, width, .. } = self.shape(image);
        let [a, b, c] = join.coarser;
        let mut sum = self.resize(a, (height, width), join.sampling)?;
        for coarser in [b, c] {
            let resized = self.resize(coarser, (height, width), join.sampling)?;
            sum = self.add(sum, &resized)?;
        }
        let image = self.conv(join.first, image, Some(&sum))?;
        drop(sum);
        self.conv(join.then, &image, None)
    }
    /// The channels of all images, which have one size, side by side.
    fn concat(&mut self, images: &[&Self::Image]) -> EngineResult<Self::Image>;
    /// The pixels of all images, which have as many channels each, one after the other: `1 x pixels x channels`.
    fn stack(&mut self, images: &[&Self::Image]) -> EngineResult<Self::Image>;
    /// `shape`'s pixels of `image`, from pixel number `first` on.
    fn part(&mut self, image: &Self::Image, first: usize, shape: Shape) -> EngineResult<Self::Image>;
    /// From each 2x2 pixels one of four times the channels: top left, bottom left, top right, bottom right. An odd
    /// row or column is completed by zeros.
    fn merge_patches(&mut self, image: &Self::Image) -> EngineResult<Self::Image>;
    /// Cuts the image, completed by zeros to whole windows and rolled up and left by `shift`, into windows of
    /// `size` x `size`: `windows x (size * size) x channels`.
    fn windows(&mut self, image: &Self::Image, size: usize, shift: usize) -> EngineResult<Self::Image>;
    /// The image of `shape` that [`windows`](Self::windows) cut.
    #[allow(clippy::wrong_self_convention, reason = "what it converts is an argument, as with all operations")]
    fn from_windows(
        &mut self,
        windows: &Self::Image,
        shape: Shape,
        size: usize,
        shift: usize,
    ) -> EngineResult<Self::Image>;

    /// `softmax(queries * keys / sqrt(group) + bias + mask) * values`, in groups of channels.
    fn attention(&mut self, attention: &Attention<'_, Self::Image>) -> EngineResult<Self::Image>;
    /// Samples of the values, weighted.
    fn deformable(&mut self, attention: &Deformable<'_, Self::Image>) -> EngineResult<Self::Image>;
    /// `a * b`: `b` has as many pixels as `a` has channels, and the result `a`'s pixels with `b`'s channels.
    fn matmul(&mut self, a: &Self::Image, b: &Self::Image) -> EngineResult<Self::Image>;
    /// `a * b` transposed: as many channels each, and the result `a`'s pixels with a channel for each of `b`'s pixels.
    fn matmul_transposed(&mut self, a: &Self::Image, b: &Self::Image) -> EngineResult<Self::Image>;
    /// A mask for [`attention`](Self::attention) from logits, pixels x queries: `1 x queries x pixels` values that
    /// are 0 where the logit is 0 or above, and so low that the pixel does not count where not. A query for which no
    /// pixel would count sees all.
    fn attention_mask(&mut self, logits: &Self::Image) -> EngineResult<Self::Image>;

    /// The class of the highest score for each pixel of the mask, scores being interpolated first.
    fn labels(
        &mut self,
        scores: &Self::Image,
        kind: Scores,
        placement: Placement,
        mask: &mut MaskOutput<'_>,
    ) -> EngineResult<()>;
}
