//! Swin: four stages of blocks that attend within windows, every other block within windows that lie across those of
//! the block before.

use segue_nn::network::LoadError;
use segue_nn::{Activation, Attention, Engine, EngineResult, Filter, Norm, Shape, Step};

use crate::backend::Size;
use crate::layers::{EPSILON, linear, norm};
use crate::naming::{BlockPlaces, Naming};
use crate::windows;

/// Stages.
pub(crate) const STAGES: usize = 4;
/// Input pixels for one pixel of the first stage, along each side.
pub(crate) const PATCH: usize = 4;
/// Channels of a head.
const HEAD: usize = 32;
/// How many times as wide the inner layer of a block is.
const EXPANSION: usize = 4;

/// The backbone.
pub(crate) struct Swin<E: Engine> {
    embed: E::Conv,
    embed_norm: E::Norm,
    stages: Vec<Stage<E>>,
}

struct Stage<E: Engine> {
    blocks: Vec<Block<E>>,
    features_norm: E::Norm,
    /// To the next stage.
    downsample: Option<(E::Norm, E::Conv)>,
}

/// Attention within windows, then two linear layers; each behind a norm, and added to what came in.
struct Block<E: Engine> {
    attention_norm: E::Norm,
    query: E::Conv,
    key: E::Conv,
    value: E::Conv,
    output: E::Conv,
    bias: E::Image,
    heads: usize,
    /// The side of a window.
    side: usize,
    shift: usize,
    mlp_norm: E::Norm,
    expand: E::Conv,
    project: E::Conv,
}

/// Channels of a stage.
pub(crate) const fn width_of(first: usize, stage: usize) -> usize {
    first << stage
}

impl<E: Engine> Swin<E> {
    pub(crate) fn load(engine: &E, naming: &Naming<'_>, size: Size) -> Result<Self, LoadError> {
        let width = naming.width();
        let stage = |(stage, depth)| Stage::load(engine, naming, stage, width_of(width, stage), depth);
        Ok(Self {
            embed: engine.make_conv(patches(naming, width)?, Step::ONE, Activation::None)?,
            embed_norm: norm(engine, &naming.patches_norm(), width)?,
            stages: size.depths().into_iter().enumerate().map(stage).collect::<Result<_, _>>()?,
        })
    }

    /// For an input whose stages have these heights and widths, each stage's mask for windows that lie across others.
    pub(crate) fn masks(&self, engine: &E, sizes: &[(usize, usize)]) -> EngineResult<Vec<E::Image>> {
        let mask = |(stage, size): (&Stage<E>, &(usize, usize))| {
            let side = stage.blocks[0].side;
            let values = windows::shift_mask(*size, side, side / 2);
            let len = side * side;
            engine.constant(Shape { height: values.len() / (len * len), width: len, channels: len }, &values)
        };
        self.stages.iter().zip(sizes).map(mask).collect()
    }

    /// The features of all stages, the first stage's first.
    pub(crate) fn forward(&self, engine: &mut E, input: E::Image, masks: &[E::Image]) -> EngineResult<Vec<E::Image>> {
        let mut image = self.embed(engine, input)?;
        let mut features = Vec::with_capacity(STAGES);
        for (stage, mask) in self.stages.iter().zip(masks) {
            for block in &stage.blocks {
                image = block.forward(engine, image, mask)?;
            }
            features.push(engine.layer_norm(&stage.features_norm, &image)?);
            if let Some((norm, conv)) = &stage.downsample {
                image = engine.merge_patches(&image)?;
                image = engine.layer_norm(norm, &image)?;
                image = engine.conv(conv, &image, None)?;
            }
        }
        Ok(features)
    }

    /// A pixel for each patch of the input, which is completed by zeros to whole patches.
    fn embed(&self, engine: &mut E, input: E::Image) -> EngineResult<E::Image> {
        let Shape { height, width, channels } = engine.shape(&input);
        let shape =
            Shape { height: height.div_ceil(PATCH), width: width.div_ceil(PATCH), channels: PATCH * PATCH * channels };
        let mut image = engine.windows(&input, PATCH, 0)?;
        drop(input);
        image = engine.reshape(image, shape);
        image = engine.conv(&self.embed, &image, None)?;
        engine.layer_norm(&self.embed_norm, &image)
    }
}

/// The convolution of patches as a linear layer of all their values, pixel by pixel.
fn patches(naming: &Naming<'_>, width: usize) -> Result<Filter, LoadError> {
    const CHANNELS: usize = 3;
    let filter = Filter::load_with_bias(&naming.patches(), [width, CHANNELS, PATCH, PATCH])?;
    let values = CHANNELS * PATCH * PATCH;
    let moved = |at: usize| {
        let (output, pixel, channel) = (at / values, at % values / CHANNELS, at % CHANNELS);
        filter.weights[output * values + channel * PATCH * PATCH + pixel]
    };
    let weights = (0..filter.weights.len()).map(moved).collect();
    Ok(Filter::new([width, values, 1, 1], weights).with_bias(filter.bias))
}

impl<E: Engine> Stage<E> {
    fn load(engine: &E, naming: &Naming<'_>, stage: usize, width: usize, depth: usize) -> Result<Self, LoadError> {
        let block = |block| Block::load(engine, &naming.block(stage, block), width, block % 2 == 1);
        let downsample = match stage + 1 {
            STAGES => None,
            _ => {
                let place = naming.downsample(stage);
                let merged = Norm::load(&place.at("norm"), 4 * width, EPSILON)?;
                let weights = place.at("reduction").tensor("weight", &[2 * width, 4 * width])?;
                let filter = Filter::new([2 * width, 4 * width, 1, 1], weights);
                Some((engine.make_norm(merged)?, engine.make_conv(filter, Step::ONE, Activation::None)?))
            }
        };
        Ok(Self {
            blocks: (0..depth).map(block).collect::<Result<_, _>>()?,
            features_norm: norm(engine, &naming.features_norm(stage), width)?,
            downsample,
        })
    }
}

impl<E: Engine> Block<E> {
    fn load(engine: &E, places: &BlockPlaces<'_>, width: usize, is_shifted: bool) -> Result<Self, LoadError> {
        const TABLE: &str = "relative_position_bias_table";
        let (heads, inner) = (width / HEAD, EXPANSION * width);
        let side = windows::side(places.bias.shape(TABLE).and_then(|shape| shape.first().copied()).unwrap_or(1));
        let table = places.bias.tensor(TABLE, &[windows::table_rows(side), heads])?;
        let of_heads = Shape { height: heads, width: side * side, channels: side * side };
        let within = |place| linear(engine, place, width, width, Activation::None);
        Ok(Self {
            attention_norm: norm(engine, &places.attention_norm, width)?,
            query: within(&places.query)?,
            key: within(&places.key)?,
            value: within(&places.value)?,
            output: within(&places.output)?,
            bias: engine.constant(of_heads, &windows::position_bias(&table, side, heads))?,
            heads,
            side,
            shift: if is_shifted { side / 2 } else { 0 },
            mlp_norm: norm(engine, &places.mlp_norm, width)?,
            expand: linear(engine, &places.expand, inner, width, Activation::Gelu)?,
            project: linear(engine, &places.project, width, inner, Activation::None)?,
        })
    }

    fn forward(&self, engine: &mut E, mut image: E::Image, mask: &E::Image) -> EngineResult<E::Image> {
        let shape = engine.shape(&image);
        let mut part = engine.layer_norm(&self.attention_norm, &image)?;
        part = engine.windows(&part, self.side, self.shift)?;
        part = self.attend(engine, part, (self.shift > 0).then_some(mask))?;
        part = engine.from_windows(&part, shape, self.side, self.shift)?;
        image = engine.conv(&self.output, &part, Some(&image))?;
        part = engine.layer_norm(&self.mlp_norm, &image)?;
        part = engine.conv(&self.expand, &part, None)?;
        engine.conv(&self.project, &part, Some(&image))
    }

    fn attend(&self, engine: &mut E, windows: E::Image, mask: Option<&E::Image>) -> EngineResult<E::Image> {
        let queries = engine.conv(&self.query, &windows, None)?;
        let keys = engine.conv(&self.key, &windows, None)?;
        let values = engine.conv(&self.value, &windows, None)?;
        drop(windows);
        engine.attention(&Attention {
            queries: &queries,
            keys: &keys,
            values: &values,
            heads: self.heads,
            bias: Some(&self.bias),
            mask,
        })
    }
}
