//! A transformer block: attention to a reduced image, then a network of two linear layers with a depthwise convolution
//! between them, which tells each pixel where it is.

use segue_nn::network::LoadError;
use segue_nn::weights::Scope;
use segue_nn::{Activation, Attention, Bottleneck, Engine, EngineResult, Filter, Norm, Shape, Step};

use crate::naming::BlockPlaces;

/// What layer norms add to variances: PyTorch's default, whatever the configuration says.
pub(crate) const EPSILON: f32 = 1e-5;
/// How many times as wide the inner layer is.
const EXPANSION: usize = 4;

/// One block.
pub(crate) struct Block<E: Engine> {
    attention_norm: E::Norm,
    query: E::Conv,
    key: E::Conv,
    value: E::Conv,
    output: E::Conv,
    reduction: Option<(E::Conv, E::Norm)>,
    heads: usize,
    mlp_norm: E::Norm,
    expand: E::Conv,
    depthwise: E::Depthwise,
    project: E::Conv,
}

impl<E: Engine> Block<E> {
    /// A block of so many channels and heads; keys and values come from an image of one pixel for each `ratio` squared.
    pub(crate) fn load(
        engine: &E,
        places: &BlockPlaces<'_>,
        width: usize,
        heads: usize,
        ratio: usize,
    ) -> Result<Self, LoadError> {
        let linear = |place: &Scope<'_>, outputs, inputs| -> Result<E::Conv, LoadError> {
            Ok(engine.make_conv(Filter::load_linear(place, outputs, inputs)?, Step::ONE, Activation::None)?)
        };
        let norm = |place: &Scope<'_>| -> Result<E::Norm, LoadError> {
            Ok(engine.make_norm(Norm::load(place, width, EPSILON)?)?)
        };
        let reduction = match ratio {
            1 => None,
            _ => {
                let filter = Filter::load_with_bias(&places.reduction, [width, width, ratio, ratio])?;
                let conv = engine.make_conv(filter, Step::of(ratio, 0), Activation::None)?;
                Some((conv, norm(&places.reduction_norm)?))
            }
        };
        let inner = EXPANSION * width;
        let depthwise = Filter::load_with_bias(&places.depthwise, [inner, 1, 3, 3])?;
        Ok(Self {
            attention_norm: norm(&places.attention_norm)?,
            query: linear(&places.query, width, width)?,
            key: linear(&places.key, width, width)?,
            value: linear(&places.value, width, width)?,
            output: linear(&places.output, width, width)?,
            reduction,
            heads,
            mlp_norm: norm(&places.mlp_norm)?,
            expand: linear(&places.expand, inner, width)?,
            depthwise: engine.make_depthwise(depthwise, Step::dilated(1), Activation::Gelu)?,
            project: linear(&places.project, width, inner)?,
        })
    }

    pub(crate) fn forward(&self, engine: &mut E, image: E::Image) -> EngineResult<E::Image> {
        let normed = engine.layer_norm(&self.attention_norm, &image)?;
        let attended = self.attend(engine, normed)?;
        let image = engine.conv(&self.output, &attended, Some(&image))?;
        drop(attended);
        let normed = engine.layer_norm(&self.mlp_norm, &image)?;
        let mlp = Bottleneck { expand: Some(&self.expand), depthwise: &self.depthwise, project: Some(&self.project) };
        engine.bottleneck(&mlp, &normed, Some(&image))
    }

    fn attend(&self, engine: &mut E, image: E::Image) -> EngineResult<E::Image> {
        let shape = engine.shape(&image);
        let queries = engine.conv(&self.query, &image, None)?;
        let reduced = match &self.reduction {
            None => image,
            Some((conv, norm)) => {
                let reduced = engine.conv(conv, &image, None)?;
                drop(image);
                engine.layer_norm(norm, &reduced)?
            }
        };
        let (keys, values) = (engine.conv(&self.key, &reduced, None)?, engine.conv(&self.value, &reduced, None)?);
        drop(reduced);
        let [queries, keys, values] = [queries, keys, values].map(|image| as_sequence(engine, image));
        let heads = self.heads;
        let attention = Attention { queries: &queries, keys: &keys, values: &values, heads, bias: None, mask: None };
        let attended = engine.attention(&attention)?;
        Ok(engine.reshape(attended, shape))
    }
}

/// All pixels of an image as one sequence.
fn as_sequence<E: Engine>(engine: &E, image: E::Image) -> E::Image {
    let shape = engine.shape(&image);
    engine.reshape(image, Shape { height: 1, width: shape.pixels(), channels: shape.channels })
}
