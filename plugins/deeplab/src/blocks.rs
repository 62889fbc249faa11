//! Convolutions with batch norm, and the inverted residual block that both MobileNets are made of.

use segue_nn::network::LoadError;
use segue_nn::weights::Scope;
use segue_nn::{Activation, Bottleneck, Engine, EngineResult, Filter, Step};

/// What torchvision adds to variances: PyTorch's default.
pub(crate) const EPSILON: f32 = 1e-5;

/// A convolution without a bias at `scope`, followed by the batch norm at `norm`.
pub(crate) fn conv_norm(
    scope: &Scope<'_>,
    norm: &Scope<'_>,
    shape: [usize; 4],
    epsilon: f32,
) -> Result<Filter, LoadError> {
    Ok(Filter::load(scope, shape)?.load_batch_norm(norm, epsilon)?)
}

/// Expansion by a pointwise convolution, depthwise convolution, perhaps squeeze and excitation, projection; the input is
/// added where it has the output's size.
pub(crate) struct Inverted<E: Engine> {
    pub(crate) expand: Option<E::Conv>,
    pub(crate) depthwise: E::Depthwise,
    pub(crate) excite: Option<Excite<E>>,
    pub(crate) project: E::Conv,
    pub(crate) keeps_input: bool,
}

impl<E: Engine> Inverted<E> {
    pub(crate) fn forward(&self, engine: &mut E, input: E::Image) -> EngineResult<E::Image> {
        let kept = self.keeps_input.then_some(&input);
        let (expand, depthwise, project) = (self.expand.as_ref(), &self.depthwise, Some(&self.project));
        let Some(excite) = &self.excite else {
            return engine.bottleneck(&Bottleneck { expand, depthwise, project }, &input, kept);
        };
        let inner = engine.bottleneck(&Bottleneck { expand, depthwise, project: None }, &input, None)?;
        let inner = excite.forward(engine, &inner)?;
        engine.conv(&self.project, &inner, kept)
    }
}

/// Squeeze and excitation (Hu et al., 2018): each channel is scaled by what the means of all channels say.
pub(crate) struct Excite<E: Engine> {
    squeeze: E::Conv,
    excite: E::Conv,
}

impl<E: Engine> Excite<E> {
    pub(crate) fn load(engine: &E, scope: &Scope<'_>, channels: usize, squeezed: usize) -> Result<Self, LoadError> {
        let squeeze = Filter::load_with_bias(&scope.at("fc1"), [squeezed, channels, 1, 1])?;
        let excite = Filter::load_with_bias(&scope.at("fc2"), [channels, squeezed, 1, 1])?;
        Ok(Self {
            squeeze: engine.make_conv(squeeze, Step::ONE, Activation::Relu)?,
            excite: engine.make_conv(excite, Step::ONE, Activation::HardSigmoid)?,
        })
    }

    fn forward(&self, engine: &mut E, image: &E::Image) -> EngineResult<E::Image> {
        let mean = engine.mean(image)?;
        let squeezed = engine.conv(&self.squeeze, &mean, None)?;
        let gate = engine.conv(&self.excite, &squeezed, None)?;
        engine.scale_channels(image, &gate)
    }
}
