//! The pixel decoder: features of three sizes that sample each other, and fine ones that masks are made of.

use segue_nn::network::LoadError;
use segue_nn::weights::Scope;
use segue_nn::{Activation, Deformable, Engine, EngineResult, Filter, Norm, Sampling, Shape, Step};

use crate::layers::{EPSILON, FeedForward, linear, norm};

/// Channels of all features, here and in the decoder.
pub(crate) const CHANNELS: usize = 256;
/// Sizes of features that sample each other.
pub(crate) const LEVELS: usize = 3;
const LAYERS: usize = 6;
const HEADS: usize = 8;
const POINTS: usize = 4;
const INNER: usize = 1024;
const GROUPS: usize = 32;

/// The pixel decoder.
pub(crate) struct PixelDecoder<E: Engine> {
    /// The coarsest level's first.
    projections: Vec<NormedConv<E>>,
    layers: Vec<Layer<E>>,
    lateral: NormedConv<E>,
    fuse: NormedConv<E>,
    mask_projection: E::Conv,
}

/// What the decoder looks at.
pub(crate) struct Features<E: Engine> {
    /// `1 x pixels x channels`: all levels' pixels, the coarsest level's first.
    pub(crate) tokens: E::Image,
    /// Height and width of each level.
    pub(crate) levels: Vec<(usize, usize)>,
    /// At a quarter of the input's size: a mask's logit is the product of a pixel's values and a query's.
    pub(crate) pixels: E::Image,
}

/// A convolution and a group norm.
struct NormedConv<E: Engine> {
    conv: E::Conv,
    norm: E::Norm,
    activation: Activation,
}

impl<E: Engine> NormedConv<E> {
    /// The filter's convolution, and the norm `1` at `place`.
    fn load(
        engine: &E,
        place: &Scope<'_>,
        filter: Filter,
        step: Step,
        activation: Activation,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            conv: engine.make_conv(filter, step, Activation::None)?,
            norm: engine.make_norm(Norm::load(&place.at(1), CHANNELS, EPSILON)?)?,
            activation,
        })
    }

    fn forward(&self, engine: &mut E, image: &E::Image) -> EngineResult<E::Image> {
        let image = engine.conv(&self.conv, image, None)?;
        engine.group_norm(&self.norm, GROUPS, self.activation, image)
    }
}

impl<E: Engine> PixelDecoder<E> {
    /// From backbone features of so many channels, the finest first.
    pub(crate) fn load(engine: &E, place: &Scope<'_>, widths: [usize; LEVELS + 1]) -> Result<Self, LoadError> {
        let [finest, coarser @ ..] = widths;
        let mut projections = Vec::with_capacity(LEVELS);
        for (level, width) in coarser.into_iter().rev().enumerate() {
            let place = place.at("input_projections").at(level);
            let filter = Filter::load_with_bias(&place.at(0), [CHANNELS, width, 1, 1])?;
            projections.push(NormedConv::load(engine, &place, filter, Step::ONE, Activation::None)?);
        }
        let (lateral, fuse) = (place.at("adapter_1"), place.at("layer_1"));
        let lateral_filter = Filter::load(&lateral.at(0), [CHANNELS, finest, 1, 1])?;
        let fuse_filter = Filter::load(&fuse.at(0), [CHANNELS, CHANNELS, 3, 3])?;
        let mask_filter = Filter::load_with_bias(&place.at("mask_projection"), [CHANNELS, CHANNELS, 1, 1])?;
        let layer = |layer| Layer::load(engine, &place.at("encoder.layers").at(layer));
        Ok(Self {
            projections,
            layers: (0..LAYERS).map(layer).collect::<Result<_, _>>()?,
            lateral: NormedConv::load(engine, &lateral, lateral_filter, Step::ONE, Activation::None)?,
            fuse: NormedConv::load(engine, &fuse, fuse_filter, Step::dilated(1), Activation::Relu)?,
            mask_projection: engine.make_conv(mask_filter, Step::ONE, Activation::None)?,
        })
    }

    /// From the features of all stages, the finest first, and the positions of the other levels' pixels.
    pub(crate) fn forward(
        &self,
        engine: &mut E,
        mut features: Vec<E::Image>,
        positions: &E::Image,
    ) -> EngineResult<Features<E>> {
        let mut projected = Vec::with_capacity(LEVELS);
        for (projection, image) in self.projections.iter().zip(features.drain(1..).rev()) {
            projected.push(projection.forward(engine, &image)?);
        }
        let size = |image| {
            let shape = engine.shape(image);
            (shape.height, shape.width)
        };
        let levels: Vec<_> = projected.iter().map(size).collect();
        let mut tokens = engine.stack(&projected.iter().collect::<Vec<_>>())?;
        drop(projected);
        for layer in &self.layers {
            tokens = layer.forward(engine, tokens, positions, &levels)?;
        }
        let pixels = self.fine(engine, features, &tokens, &levels)?;
        Ok(Features { tokens, levels, pixels })
    }

    /// What masks are made of: the finest features and the finest level.
    fn fine(
        &self,
        engine: &mut E,
        mut features: Vec<E::Image>,
        tokens: &E::Image,
        levels: &[(usize, usize)],
    ) -> EngineResult<E::Image> {
        let (coarser, (height, width)) = (&levels[..LEVELS - 1], levels[LEVELS - 1]);
        let first = coarser.iter().map(|(height, width)| height * width).sum();
        let mut image = self.lateral.forward(engine, &features.remove(0))?;
        let shape = engine.shape(&image);
        let mut level = engine.part(tokens, first, Shape { height, width, channels: CHANNELS })?;
        level = engine.resize(&level, (shape.height, shape.width), Sampling::HalfPixelCentres)?;
        image = engine.add(image, &level)?;
        drop(level);
        image = self.fuse.forward(engine, &image)?;
        engine.conv(&self.mask_projection, &image, None)
    }
}

/// Deformable attention of all pixels to all levels, then two linear layers.
struct Layer<E: Engine> {
    offsets: E::Conv,
    weights: E::Conv,
    values: E::Conv,
    output: E::Conv,
    norm: E::Norm,
    feed_forward: FeedForward<E>,
}

impl<E: Engine> Layer<E> {
    fn load(engine: &E, place: &Scope<'_>) -> Result<Self, LoadError> {
        const SAMPLES: usize = HEADS * LEVELS * POINTS;
        let attention = place.at("self_attn");
        let linear = |name: &str, outputs| linear(engine, &attention.at(name), outputs, CHANNELS, Activation::None);
        Ok(Self {
            offsets: linear("sampling_offsets", 2 * SAMPLES)?,
            weights: linear("attention_weights", SAMPLES)?,
            values: linear("value_proj", CHANNELS)?,
            output: linear("output_proj", CHANNELS)?,
            norm: norm(engine, &place.at("self_attn_layer_norm"), CHANNELS)?,
            feed_forward: FeedForward::load(engine, place, CHANNELS, INNER)?,
        })
    }

    fn forward(
        &self,
        engine: &mut E,
        mut tokens: E::Image,
        positions: &E::Image,
        levels: &[(usize, usize)],
    ) -> EngineResult<E::Image> {
        let attended = self.attend(engine, &tokens, positions, levels)?;
        tokens = engine.conv(&self.output, &attended, Some(&tokens))?;
        drop(attended);
        tokens = engine.layer_norm(&self.norm, &tokens)?;
        self.feed_forward.forward(engine, tokens)
    }

    fn attend(
        &self,
        engine: &mut E,
        tokens: &E::Image,
        positions: &E::Image,
        levels: &[(usize, usize)],
    ) -> EngineResult<E::Image> {
        let queries = crate::layers::sum(engine, tokens, positions)?;
        let offsets = engine.conv(&self.offsets, &queries, None)?;
        let weights = engine.conv(&self.weights, &queries, None)?;
        drop(queries);
        let values = engine.conv(&self.values, tokens, None)?;
        engine.deformable(&Deformable {
            values: &values,
            levels,
            offsets: &offsets,
            weights: &weights,
            heads: HEADS,
            points: POINTS,
        })
    }
}
