//! The head: each stage's features through a linear layer, resized to the first stage's size, joined by one
//! convolution.
//!
//! The linear layers, the part of the joining convolution that reads them, and the batch norm behind it are linear, and
//! so is resizing, whose weights sum to 1: they are merged into one matrix for each stage, applied where the stage has
//! few pixels, and the results are resized and added. The sums are those of the reference in another order.

use segue_nn::network::LoadError;
use segue_nn::{Activation, Engine, EngineResult, Filter, Join, Norm, Sampling, Step};

use crate::block::EPSILON;
use crate::naming::Naming;

/// Stages of the encoder.
pub(crate) const STAGES: usize = 4;

/// The head, folded.
pub(crate) struct Head<E: Engine> {
    /// One for each stage; the first has the biases of all, and the activation.
    stages: Vec<E::Conv>,
    classifier: E::Conv,
    pub(crate) classes: usize,
}

impl<E: Engine> Head<E> {
    pub(crate) fn load(engine: &E, naming: &Naming<'_>, widths: [usize; STAGES]) -> Result<Self, LoadError> {
        let head = naming.head();
        let first_of = |shape: Option<&[usize]>| shape.and_then(|shape| shape.first().copied()).unwrap_or(0);
        let inner = first_of(naming.linear(0).shape("weight"));
        let joined = first_of(head.shape("linear_fuse.weight"));
        let classes = first_of(head.shape("classifier.weight"));
        let fuse = Filter::load(&head.at("linear_fuse"), [joined, STAGES * inner, 1, 1])?;
        let norm = Norm::load(&head.at("batch_norm"), joined, EPSILON)?;
        let mean = head.at("batch_norm").tensor("running_mean", &[joined])?;
        let variance = head.at("batch_norm").tensor("running_var", &[joined])?;
        let fuse = fuse.with_batch_norm(&norm, &mean, &variance);
        let (mut bias, mut filters) = (fuse.bias.clone(), Vec::new());
        for (stage, width) in widths.into_iter().enumerate() {
            let linear = Filter::load_linear(&naming.linear(stage), inner, width)?;
            // The reference joins the stages last one first.
            let first = (STAGES - 1 - stage) * inner;
            filters.push(merged(&fuse, first, &linear, &mut bias));
        }
        let mut stages = Vec::new();
        for (stage, filter) in filters.into_iter().enumerate() {
            stages.push(match stage {
                0 => engine.make_conv(filter.with_bias(bias.clone()), Step::ONE, Activation::Relu)?,
                _ => engine.make_conv(filter, Step::ONE, Activation::None)?,
            });
        }
        let classifier = Filter::load_with_bias(&head.at("classifier"), [classes, joined, 1, 1])?;
        Ok(Self { stages, classifier: engine.make_conv(classifier, Step::ONE, Activation::None)?, classes })
    }

    /// Scores from the features of all stages.
    pub(crate) fn forward(&self, engine: &mut E, features: [E::Image; STAGES]) -> EngineResult<E::Image> {
        let [finest, second, third, coarsest] = features;
        let second = engine.conv(&self.stages[1], &second, None)?;
        let third = engine.conv(&self.stages[2], &third, None)?;
        let coarsest = engine.conv(&self.stages[3], &coarsest, None)?;
        let join = Join {
            first: &self.stages[0],
            coarser: [&coarsest, &third, &second],
            sampling: Sampling::HalfPixelCentres,
            then: &self.classifier,
        };
        engine.join(&join, &finest)
    }
}

/// `linear` followed by the columns of `fuse` from `first` on, without a bias; what its bias becomes is added to `bias`.
fn merged(fuse: &Filter, first: usize, linear: &Filter, bias: &mut [f32]) -> Filter {
    let [joined, columns, ..] = fuse.shape;
    let [inner, width, ..] = linear.shape;
    let mut weights = vec![0.0; joined * width];
    for (output, (row, bias)) in weights.chunks_exact_mut(width).zip(bias).enumerate() {
        let factors = &fuse.weights[output * columns + first..][..inner];
        for (k, factor) in factors.iter().enumerate() {
            let source = &linear.weights[k * width..][..width];
            row.iter_mut().zip(source).for_each(|(sum, weight)| *sum += factor * weight);
            *bias += factor * linear.bias[k];
        }
    }
    Filter::new([joined, width, 1, 1], weights)
}
