//! MobileNetV2 with TensorFlow's SAME padding, from Hugging Face's parameters or from TensorFlow's with the batch
//! norms folded.

use segue_nn::network::LoadError;
use segue_nn::weights::Scope;
use segue_nn::{Activation, Engine, EngineResult, Filter, Step};

use crate::backend::OutputStride;
use crate::blocks::{EPSILON, Inverted, conv_norm};
use crate::head::{PooledFilters, PooledHead};

/// Stem: outputs of its three convolutions.
const STEM: [usize; 2] = [32, 16];
/// Inputs, outputs and stride of each block; all expand six times.
const BLOCKS: [(usize, usize, usize); 16] = [
    (16, 24, 2),
    (24, 24, 1),
    (24, 32, 2),
    (32, 32, 1),
    (32, 32, 1),
    (32, 64, 2),
    (64, 64, 1),
    (64, 64, 1),
    (64, 64, 1),
    (64, 96, 1),
    (96, 96, 1),
    (96, 96, 1),
    (96, 160, 2),
    (160, 160, 1),
    (160, 160, 1),
    (160, 320, 1),
];
const EXPANSION: usize = 6;
/// What TensorFlow adds to variances in the backbone.
const TENSORFLOW_EPSILON: f32 = 1e-3;

/// The backbone.
pub struct MobileNetV2<E: Engine> {
    stem: E::Conv,
    blocks: Vec<Inverted<E>>,
}

impl<E: Engine> MobileNetV2<E> {
    pub(crate) fn forward(&self, engine: &mut E, input: E::Image) -> EngineResult<E::Image> {
        let mut image = engine.conv(&self.stem, &input, None)?;
        drop(input);
        for block in &self.blocks {
            image = block.forward(engine, image)?;
        }
        Ok(image)
    }
}

/// Where a file has the parameters of the network's parts.
#[derive(Clone, Copy)]
enum Naming {
    /// `mobilenet_v2.layer.3.expand_1x1.convolution`, batch norms beside the convolutions.
    HuggingFace,
    /// `backbone.expanded_conv_4.expand`, batch norms folded.
    Folded,
}

/// A convolution of block number `block` (0 is the stem's) with its batch norm.
fn filter(root: &Scope<'_>, naming: Naming, block: usize, part: &str, shape: [usize; 4]) -> Result<Filter, LoadError> {
    match naming {
        Naming::HuggingFace => {
            let place = match block {
                0 => root.at("mobilenet_v2.conv_stem"),
                block => root.at("mobilenet_v2.layer").at(block - 1),
            };
            let part = match part {
                "expand" => "expand_1x1",
                "depthwise" => "conv_3x3",
                "project" => "reduce_1x1",
                stem => stem,
            };
            normed(&place.at(part), shape, TENSORFLOW_EPSILON)
        }
        Naming::Folded => {
            let place = match (block, part) {
                (0, "first_conv") => root.at("backbone.Conv"),
                (0, part) => root.at("backbone.expanded_conv").at(part),
                (block, part) => root.at(format_args!("backbone.expanded_conv_{block}")).at(part),
            };
            Ok(Filter::load_with_bias(&place, shape)?)
        }
    }
}

fn normed(place: &Scope<'_>, shape: [usize; 4], epsilon: f32) -> Result<Filter, LoadError> {
    conv_norm(&place.at("convolution"), &place.at("normalization"), shape, epsilon)
}

/// Strides and dilations of all blocks: once the output stride is reached, blocks dilate in place of striding.
fn steps(output_stride: OutputStride) -> impl Iterator<Item = Step> {
    let most = match output_stride {
        OutputStride::Eight => 8,
        OutputStride::Sixteen => 16,
    };
    // The stem's stride is 2.
    let (mut stride, mut dilation) = (2, 1);
    BLOCKS.into_iter().map(move |(_, _, wanted)| {
        if stride < most {
            stride *= wanted;
            return Step::same(wanted, dilation);
        }
        // The block that would have strided still has the dilation of those before it.
        let step = Step::same(1, dilation);
        dilation *= wanted;
        step
    })
}

/// Backbone and head, whichever names the file has.
pub(crate) fn load<E: Engine>(
    engine: &E,
    root: &Scope<'_>,
    output_stride: OutputStride,
) -> Result<(MobileNetV2<E>, PooledHead<E>), LoadError> {
    let naming = if root.contains("backbone.Conv.weight") { Naming::Folded } else { Naming::HuggingFace };
    let filter = |block, part: &str, shape| filter(root, naming, block, part, shape);
    let [first, reduced] = STEM;
    let stem = filter(0, "first_conv", [first, 3, 3, 3])?;
    let mut blocks = vec![Inverted {
        expand: None,
        depthwise: engine.make_depthwise(
            filter(0, "depthwise", [first, 1, 3, 3])?,
            Step::same(1, 1),
            Activation::Relu6,
        )?,
        excite: None,
        project: engine.make_conv(filter(0, "project", [reduced, first, 1, 1])?, Step::ONE, Activation::None)?,
        keeps_input: false,
    }];
    for (i, ((inputs, outputs, stride), step)) in BLOCKS.into_iter().zip(steps(output_stride)).enumerate() {
        let (block, width) = (i + 1, inputs * EXPANSION);
        let expand = filter(block, "expand", [width, inputs, 1, 1])?;
        let depthwise = filter(block, "depthwise", [width, 1, 3, 3])?;
        let project = filter(block, "project", [outputs, width, 1, 1])?;
        blocks.push(Inverted {
            expand: Some(engine.make_conv(expand, Step::ONE, Activation::Relu6)?),
            depthwise: engine.make_depthwise(depthwise, step, Activation::Relu6)?,
            excite: None,
            project: engine.make_conv(project, Step::ONE, Activation::None)?,
            keeps_input: stride == 1 && inputs == outputs,
        });
    }
    let backbone = MobileNetV2 { stem: engine.make_conv(stem, Step::same(2, 1), Activation::Relu6)?, blocks };
    Ok((backbone, PooledHead::new(engine, head(root, naming)?)?))
}

fn head(root: &Scope<'_>, naming: Naming) -> Result<PooledFilters, LoadError> {
    const FEATURES: usize = 320;
    const CHANNELS: usize = 256;
    let classifier = match naming {
        Naming::HuggingFace => root.at("segmentation_head.classifier.convolution"),
        Naming::Folded => root.at("logits.semantic"),
    };
    let classes = classifier.shape("weight").and_then(|shape| shape.first().copied()).unwrap_or(0);
    let conv = |hugging_face: &str, folded: &str, inputs| match naming {
        Naming::HuggingFace => {
            normed(&root.at("segmentation_head").at(hugging_face), [CHANNELS, inputs, 1, 1], EPSILON)
        }
        Naming::Folded => Ok(Filter::load_with_bias(&root.at(folded), [CHANNELS, inputs, 1, 1])?),
    };
    Ok(PooledFilters {
        pool: conv("conv_pool", "image_pooling", FEATURES)?,
        aspp: conv("conv_aspp", "aspp0", FEATURES)?,
        projection: conv("conv_projection", "concat_projection", 2 * CHANNELS)?,
        classifier: Filter::load_with_bias(&classifier, [classes, CHANNELS, 1, 1])?,
    })
}
