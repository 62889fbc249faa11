//! The decoder: queries that look at the features of one level after the other, each only where its own mask is, and
//! then at each other.

use segue_nn::network::LoadError;
use segue_nn::weights::Scope;
use segue_nn::{Activation, Attention, Engine, EngineError, EngineResult, Filter, Sampling, Shape, Step};

use crate::layers::{FeedForward, linear, norm, sum};
use crate::pixel_decoder::{CHANNELS, Features, LEVELS};

const LAYERS: usize = 9;
const HEADS: usize = 8;
const INNER: usize = 2048;
/// Classes that a mask's bytes can tell apart.
const MOST_CLASSES: usize = 256;

/// The decoder.
pub(crate) struct Decoder<E: Engine> {
    /// What queries begin as.
    queries: E::Image,
    positions: E::Image,
    layers: Vec<Layer<E>>,
    norm: E::Norm,
    mask_embedder: Vec<E::Conv>,
    class_predictor: E::Conv,
    pub(crate) classes: usize,
}

/// What the queries say.
pub struct Prediction<E: Engine> {
    /// `1 x queries x (classes + 1)`: logits, the last for "nothing".
    pub classes: E::Image,
    /// A quarter of the input's height x of its width x queries: logits.
    pub masks: E::Image,
}

/// A level as its layers read it.
struct Level<E: Engine> {
    /// `1 x pixels x channels`, with positions.
    keys: E::Image,
    /// The same without.
    values: E::Image,
    /// What masks of this level's size are made of. Resizing is linear: that of a product is the product of the resized.
    pixels: E::Image,
}

impl<E: Engine> Decoder<E> {
    pub(crate) fn load(engine: &E, root: &Scope<'_>) -> Result<Self, LoadError> {
        let module = root.at("model.transformer_module");
        let place = module.at("decoder");
        let rows_of = |scope: &Scope<'_>| scope.shape("weight").and_then(|shape| shape.first().copied()).unwrap_or(1);
        let learned = |name: &str| -> Result<E::Image, LoadError> {
            let width = rows_of(&module.at(name));
            let values = module.at(name).tensor("weight", &[width, CHANNELS])?;
            Ok(engine.constant(Shape { height: 1, width, channels: CHANNELS }, &values)?)
        };
        let level_embed = module.at("level_embed").tensor("weight", &[LEVELS, CHANNELS])?;
        let layer = |i: usize| {
            let level = &level_embed[i % LEVELS * CHANNELS..][..CHANNELS];
            Layer::load(engine, &place.at("layers").at(i), level)
        };
        let embedder = |i: usize| {
            let place = place.at("mask_predictor.mask_embedder").at(i).at(0);
            linear(engine, &place, CHANNELS, CHANNELS, if i < 2 { Activation::Relu } else { Activation::None })
        };
        let predictor = root.at("class_predictor");
        let outputs = rows_of(&predictor);
        let class_predictor = linear(engine, &predictor, outputs, CHANNELS, Activation::None)?;
        check_classes(outputs - 1)?;
        Ok(Self {
            queries: learned("queries_features")?,
            positions: learned("queries_embedder")?,
            layers: (0..LAYERS).map(layer).collect::<Result<_, _>>()?,
            norm: norm(engine, &place.at("layernorm"), CHANNELS)?,
            mask_embedder: (0..3).map(embedder).collect::<Result<_, _>>()?,
            class_predictor,
            classes: outputs - 1,
        })
    }

    /// From the pixel decoder's features and the positions of their pixels.
    pub(crate) fn forward(
        &self,
        engine: &mut E,
        features: Features<E>,
        positions: &E::Image,
    ) -> EngineResult<Prediction<E>> {
        let Features { tokens, levels, pixels } = features;
        let levels = Level::of_all(engine, tokens, &levels, &pixels, positions)?;
        let mut queries = engine.part(&self.queries, 0, engine.shape(&self.queries))?;
        for (i, layer) in self.layers.iter().enumerate() {
            let level = &levels[i % LEVELS];
            let normed = engine.layer_norm(&self.norm, &queries)?;
            let mut mask = self.masks(engine, normed, &level.pixels)?;
            mask = engine.attention_mask(&mask)?;
            queries = layer.forward(engine, queries, &self.positions, level, &mask)?;
        }
        drop(levels);
        let normed = engine.layer_norm(&self.norm, &queries)?;
        let classes = engine.conv(&self.class_predictor, &normed, None)?;
        Ok(Prediction { classes, masks: self.masks(engine, normed, &pixels)? })
    }

    /// The logits of the queries' masks on these pixels.
    fn masks(&self, engine: &mut E, normed: E::Image, pixels: &E::Image) -> EngineResult<E::Image> {
        let mut embedded = normed;
        for conv in &self.mask_embedder {
            embedded = engine.conv(conv, &embedded, None)?;
        }
        engine.matmul_transposed(pixels, &embedded)
    }
}

fn check_classes(classes: usize) -> Result<(), EngineError> {
    if (1..=MOST_CLASSES).contains(&classes) {
        return Ok(());
    }
    Err(EngineError(format!("the file's class_predictor knows {classes} classes, and masks have 1 to {MOST_CLASSES}")))
}

impl<E: Engine> Level<E> {
    fn of_all(
        engine: &mut E,
        tokens: E::Image,
        sizes: &[(usize, usize)],
        pixels: &E::Image,
        positions: &E::Image,
    ) -> EngineResult<Vec<Self>> {
        // The positions bring the pixel decoder's vector of each level along, where the reference has the decoder's.
        // What all keys of an attention have in common adds the same to all of a query's scores, and their softmax stays.
        let positioned = sum(engine, &tokens, positions)?;
        let (mut first, mut levels) = (0, Vec::with_capacity(sizes.len()));
        for &(height, width) in sizes {
            let shape = Shape { height: 1, width: height * width, channels: CHANNELS };
            levels.push(Self {
                keys: engine.part(&positioned, first, shape)?,
                values: engine.part(&tokens, first, shape)?,
                pixels: engine.resize(pixels, (height, width), Sampling::HalfPixelCentres)?,
            });
            first += height * width;
        }
        Ok(levels)
    }
}

/// Queries look at a level, then at each other.
struct Layer<E: Engine> {
    cross: QueryAttention<E>,
    own: QueryAttention<E>,
    feed_forward: FeedForward<E>,
}

/// `norm(x + attention)`.
struct QueryAttention<E: Engine> {
    query: E::Conv,
    key: E::Conv,
    value: E::Conv,
    output: E::Conv,
    norm: E::Norm,
}

impl<E: Engine> Layer<E> {
    /// The layer at `place`, which reads the level of this vector.
    fn load(engine: &E, place: &Scope<'_>, level: &[f32]) -> Result<Self, LoadError> {
        Ok(Self {
            cross: Self::load_cross(engine, place, level)?,
            own: Self::load_own(engine, place)?,
            feed_forward: FeedForward::load(engine, place, CHANNELS, INNER)?,
        })
    }

    fn load_cross(engine: &E, place: &Scope<'_>, level: &[f32]) -> Result<QueryAttention<E>, LoadError> {
        let attention = place.at("cross_attn");
        let weights = attention.tensor("in_proj_weight", &[3 * CHANNELS, CHANNELS])?;
        let bias = attention.tensor("in_proj_bias", &[3 * CHANNELS])?;
        let filter = |part: usize| {
            let weights = weights[part * CHANNELS * CHANNELS..][..CHANNELS * CHANNELS].to_vec();
            Filter::new([CHANNELS, CHANNELS, 1, 1], weights).with_bias(bias[part * CHANNELS..][..CHANNELS].to_vec())
        };
        let conv = |filter| engine.make_conv(filter, Step::ONE, Activation::None);
        Ok(QueryAttention {
            query: conv(filter(0))?,
            key: conv(filter(1))?,
            value: conv(with_addend(filter(2), level))?,
            output: linear(engine, &attention.at("out_proj"), CHANNELS, CHANNELS, Activation::None)?,
            norm: norm(engine, &place.at("cross_attn_layer_norm"), CHANNELS)?,
        })
    }

    fn load_own(engine: &E, place: &Scope<'_>) -> Result<QueryAttention<E>, LoadError> {
        let attention = place.at("self_attn");
        let linear = |name: &str| linear(engine, &attention.at(name), CHANNELS, CHANNELS, Activation::None);
        Ok(QueryAttention {
            query: linear("q_proj")?,
            key: linear("k_proj")?,
            value: linear("v_proj")?,
            output: linear("out_proj")?,
            norm: norm(engine, &place.at("self_attn_layer_norm"), CHANNELS)?,
        })
    }

    fn forward(
        &self,
        engine: &mut E,
        mut x: E::Image,
        positions: &E::Image,
        level: &Level<E>,
        mask: &E::Image,
    ) -> EngineResult<E::Image> {
        let placed = sum(engine, &x, positions)?;
        x = self.cross.forward(engine, &x, [&placed, &level.keys, &level.values], Some(mask))?;
        drop(placed);
        let placed = sum(engine, &x, positions)?;
        x = self.own.forward(engine, &x, [&placed, &placed, &x], None)?;
        drop(placed);
        self.feed_forward.forward(engine, x)
    }
}

impl<E: Engine> QueryAttention<E> {
    /// With what queries, keys and values are made of.
    fn forward(
        &self,
        engine: &mut E,
        x: &E::Image,
        [queries, keys, values]: [&E::Image; 3],
        mask: Option<&E::Image>,
    ) -> EngineResult<E::Image> {
        let queries = engine.conv(&self.query, queries, None)?;
        let keys = engine.conv(&self.key, keys, None)?;
        let values = engine.conv(&self.value, values, None)?;
        let attention = Attention { queries: &queries, keys: &keys, values: &values, heads: HEADS, bias: None, mask };
        let mut attended = engine.attention(&attention)?;
        attended = engine.conv(&self.output, &attended, Some(x))?;
        engine.layer_norm(&self.norm, &attended)
    }
}

/// The filter for inputs to which `addend` was not added yet.
fn with_addend(filter: Filter, addend: &[f32]) -> Filter {
    let rows = filter.weights.chunks_exact(addend.len());
    let dot = |row: &[f32]| row.iter().zip(addend).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let bias = rows.zip(&filter.bias).map(|(row, bias)| (f64::from(*bias) + dot(row)) as f32).collect();
    filter.with_bias(bias)
}
