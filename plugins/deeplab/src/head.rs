//! The two heads: pooling beside a pointwise convolution, and torchvision's atrous pyramid.

use segue_nn::network::LoadError;
use segue_nn::weights::Scope;
use segue_nn::{Activation, Engine, EngineResult, Filter, Sampling, Step};

use crate::blocks::{EPSILON, conv_norm};

/// Channels of all branches.
const CHANNELS: usize = 256;
/// Dilations of the pyramid's 3x3 convolutions.
const RATES: [usize; 3] = [12, 24, 36];

/// The mean of the whole image, spread over it.
fn pooled<E: Engine>(engine: &mut E, conv: &E::Conv, features: &E::Image) -> EngineResult<E::Image> {
    let shape = engine.shape(features);
    let mean = engine.mean(features)?;
    let mean = engine.conv(conv, &mean, None)?;
    engine.resize(&mean, (shape.height, shape.width), Sampling::HalfPixelCentres)
}

/// Pooling beside a pointwise convolution: all the context that the mobile network has.
pub struct PooledHead<E: Engine> {
    pool: E::Conv,
    aspp: E::Conv,
    projection: E::Conv,
    classifier: E::Conv,
    classes: usize,
}

/// Filters of a [`PooledHead`], batch norms folded.
pub(crate) struct PooledFilters {
    pub(crate) pool: Filter,
    pub(crate) aspp: Filter,
    pub(crate) projection: Filter,
    pub(crate) classifier: Filter,
}

impl<E: Engine> PooledHead<E> {
    pub(crate) fn new(engine: &E, filters: PooledFilters) -> Result<Self, LoadError> {
        let relu = |filter| engine.make_conv(filter, Step::ONE, Activation::Relu);
        Ok(Self {
            classes: filters.classifier.shape[0],
            pool: relu(filters.pool)?,
            aspp: relu(filters.aspp)?,
            projection: relu(filters.projection)?,
            classifier: engine.make_conv(filters.classifier, Step::ONE, Activation::None)?,
        })
    }

    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    pub(crate) fn forward(&self, engine: &mut E, features: E::Image) -> EngineResult<E::Image> {
        let pooled = pooled(engine, &self.pool, &features)?;
        let aspp = engine.conv(&self.aspp, &features, None)?;
        let mut image = engine.concat(&[&pooled, &aspp])?;
        drop((pooled, aspp, features));
        image = engine.conv(&self.projection, &image, None)?;
        engine.conv(&self.classifier, &image, None)
    }
}

/// A pointwise convolution, three dilated ones and pooling, side by side; then two convolutions.
pub struct AtrousHead<E: Engine> {
    branches: Vec<E::Conv>,
    pool: E::Conv,
    project: E::Conv,
    conv: E::Conv,
    classifier: E::Conv,
    classes: usize,
}

impl<E: Engine> AtrousHead<E> {
    pub(crate) fn load(engine: &E, scope: &Scope<'_>, inputs: usize) -> Result<Self, LoadError> {
        let relu = |at: &Scope<'_>, conv: usize, shape, step| -> Result<E::Conv, LoadError> {
            let filter = conv_norm(&at.at(conv), &at.at(conv + 1), shape, EPSILON)?;
            Ok(engine.make_conv(filter, step, Activation::Relu)?)
        };
        let (pyramid, convs) = (scope.at(0), scope.at(0).at("convs"));
        let mut branches = vec![relu(&convs.at(0), 0, [CHANNELS, inputs, 1, 1], Step::ONE)?];
        for (i, rate) in RATES.into_iter().enumerate() {
            branches.push(relu(&convs.at(i + 1), 0, [CHANNELS, inputs, 3, 3], Step::dilated(rate))?);
        }
        let joined = CHANNELS * (branches.len() + 1);
        let classifier = scope.at(4);
        let classes = classifier.shape("weight").and_then(|shape| shape.first().copied()).unwrap_or(0);
        let filter = Filter::load_with_bias(&classifier, [classes, CHANNELS, 1, 1])?;
        Ok(Self {
            branches,
            pool: relu(&convs.at(4), 1, [CHANNELS, inputs, 1, 1], Step::ONE)?,
            project: relu(&pyramid.at("project"), 0, [CHANNELS, joined, 1, 1], Step::ONE)?,
            conv: relu(scope, 1, [CHANNELS, CHANNELS, 3, 3], Step::dilated(1))?,
            classifier: engine.make_conv(filter, Step::ONE, Activation::None)?,
            classes,
        })
    }

    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    pub(crate) fn forward(&self, engine: &mut E, features: E::Image) -> EngineResult<E::Image> {
        let mut branches = Vec::new();
        for branch in &self.branches {
            branches.push(engine.conv(branch, &features, None)?);
        }
        branches.push(pooled(engine, &self.pool, &features)?);
        drop(features);
        let mut image = engine.concat(&branches.iter().collect::<Vec<_>>())?;
        drop(branches);
        image = engine.conv(&self.project, &image, None)?;
        image = engine.conv(&self.conv, &image, None)?;
        engine.conv(&self.classifier, &image, None)
    }
}
