//! ResNet-50 as torchvision's segmentation models have it: the last two stages dilate in place of striding.

use segue_nn::network::LoadError;
use segue_nn::weights::Scope;
use segue_nn::{Activation, Engine, EngineResult, Step};

use crate::blocks::{EPSILON, conv_norm};

const STEM: usize = 64;
/// What a block's outputs are more than its inner channels.
const EXPANSION: usize = 4;
/// Inner channels, blocks, stride, and the dilation of the first and of the other blocks of each stage.
const STAGES: [(usize, usize, usize, usize, usize); 4] =
    [(64, 3, 1, 1, 1), (128, 4, 2, 1, 1), (256, 6, 1, 1, 2), (512, 3, 1, 2, 4)];

/// The backbone.
pub struct ResNet<E: Engine> {
    stem: E::Conv,
    blocks: Vec<Bottleneck<E>>,
}

struct Bottleneck<E: Engine> {
    reduce: E::Conv,
    conv: E::Conv,
    expand: E::Conv,
    shortcut: Option<E::Conv>,
}

impl<E: Engine> ResNet<E> {
    /// Channels of its features.
    pub(crate) const OUTPUTS: usize = 512 * EXPANSION;

    pub(crate) fn load(engine: &E, scope: &Scope<'_>) -> Result<Self, LoadError> {
        let stem = conv_norm(&scope.at("conv1"), &scope.at("bn1"), [STEM, 3, 7, 7], EPSILON)?;
        let (mut inputs, mut blocks) = (STEM, Vec::new());
        for (i, (width, count, stride, first, others)) in STAGES.into_iter().enumerate() {
            for block in 0..count {
                let place = scope.at(format_args!("layer{}", i + 1)).at(block);
                let (stride, dilation) = if block == 0 { (stride, first) } else { (1, others) };
                let step = Step { stride, ..Step::dilated(dilation) };
                blocks.push(Bottleneck::load(engine, &place, inputs, width, step)?);
                inputs = width * EXPANSION;
            }
        }
        Ok(Self { stem: engine.make_conv(stem, Step::of(2, 3), Activation::Relu)?, blocks })
    }

    pub(crate) fn forward(&self, engine: &mut E, input: E::Image) -> EngineResult<E::Image> {
        let mut image = engine.conv(&self.stem, &input, None)?;
        drop(input);
        image = engine.max_pool(&image, 3, Step::of(2, 1))?;
        for block in &self.blocks {
            image = block.forward(engine, image)?;
        }
        Ok(image)
    }
}

impl<E: Engine> Bottleneck<E> {
    fn load(engine: &E, scope: &Scope<'_>, inputs: usize, width: usize, step: Step) -> Result<Self, LoadError> {
        let outputs = width * EXPANSION;
        let filter = |conv: &str, norm: &str, shape| conv_norm(&scope.at(conv), &scope.at(norm), shape, EPSILON);
        let shortcut = match scope.contains("downsample.0.weight") {
            true => Some(filter("downsample.0", "downsample.1", [outputs, inputs, 1, 1])?),
            false => None,
        };
        let of_stride = Step::of(step.stride, 0);
        Ok(Self {
            reduce: engine.make_conv(filter("conv1", "bn1", [width, inputs, 1, 1])?, Step::ONE, Activation::Relu)?,
            conv: engine.make_conv(filter("conv2", "bn2", [width, width, 3, 3])?, step, Activation::Relu)?,
            expand: engine.make_conv(filter("conv3", "bn3", [outputs, width, 1, 1])?, Step::ONE, Activation::Relu)?,
            shortcut: shortcut.map(|filter| engine.make_conv(filter, of_stride, Activation::None)).transpose()?,
        })
    }

    fn forward(&self, engine: &mut E, input: E::Image) -> EngineResult<E::Image> {
        let mut image = engine.conv(&self.reduce, &input, None)?;
        image = engine.conv(&self.conv, &image, None)?;
        let shortcut = match &self.shortcut {
            Some(conv) => engine.conv(conv, &input, None)?,
            None => input,
        };
        engine.conv(&self.expand, &image, Some(&shortcut))
    }
}
