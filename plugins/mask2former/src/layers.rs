//! What the backbone and both decoders are made of.

use segue_nn::network::LoadError;
use segue_nn::weights::Scope;
use segue_nn::{Activation, Engine, EngineResult, Filter, Norm, Step};

/// What all norms add to variances: PyTorch's default.
pub(crate) const EPSILON: f32 = 1e-5;

/// The linear layer at `place`.
pub(crate) fn linear<E: Engine>(
    engine: &E,
    place: &Scope<'_>,
    outputs: usize,
    inputs: usize,
    activation: Activation,
) -> Result<E::Conv, LoadError> {
    Ok(engine.make_conv(Filter::load_linear(place, outputs, inputs)?, Step::ONE, activation)?)
}

/// The norm at `place`.
pub(crate) fn norm<E: Engine>(engine: &E, place: &Scope<'_>, channels: usize) -> Result<E::Norm, LoadError> {
    Ok(engine.make_norm(Norm::load(place, channels, EPSILON)?)?)
}

/// `a + b`, both of which are needed again.
pub(crate) fn sum<E: Engine>(engine: &mut E, a: &E::Image, b: &E::Image) -> EngineResult<E::Image> {
    let copy = engine.part(a, 0, engine.shape(a))?;
    engine.add(copy, b)
}

/// `norm(x + outer(relu(inner(x))))`: what follows each attention of the decoders.
pub(crate) struct FeedForward<E: Engine> {
    inner: E::Conv,
    outer: E::Conv,
    norm: E::Norm,
}

impl<E: Engine> FeedForward<E> {
    /// The layers `fc1`, `fc2` and `final_layer_norm` at `place`.
    pub(crate) fn load(engine: &E, place: &Scope<'_>, channels: usize, inner: usize) -> Result<Self, LoadError> {
        Ok(Self {
            inner: linear(engine, &place.at("fc1"), inner, channels, Activation::Relu)?,
            outer: linear(engine, &place.at("fc2"), channels, inner, Activation::None)?,
            norm: norm(engine, &place.at("final_layer_norm"), channels)?,
        })
    }

    pub(crate) fn forward(&self, engine: &mut E, x: E::Image) -> EngineResult<E::Image> {
        let mut inner = engine.conv(&self.inner, &x, None)?;
        inner = engine.conv(&self.outer, &inner, Some(&x))?;
        drop(x);
        engine.layer_norm(&self.norm, &inner)
    }
}
