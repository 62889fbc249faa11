//! Weights of layers as PyTorch stores them, and the folding of batch norms into them.

#[cfg(feature = "weights")]
use crate::weights::{Scope, WeightsError};

/// Weights of a convolution (outputs, inputs, rows, columns), and a bias for each output.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Outputs, inputs (1 for a depthwise convolution), rows, columns.
    pub shape: [usize; 4],
    /// In the order of `shape`.
    pub weights: Vec<f32>,
    /// One for each output.
    pub bias: Vec<f32>,
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + shift`, mean and variance being the image's own.
#[derive(Clone, Debug)]
pub struct Norm {
    /// One for each channel.
    pub scale: Vec<f32>,
    /// One for each channel.
    pub shift: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

#[cfg(feature = "weights")]
impl Filter {
    /// The parameter `weight` at `scope`, without a bias.
    pub fn load(scope: &Scope<'_>, shape: [usize; 4]) -> Result<Self, WeightsError> {
        Ok(Self::new(shape, scope.tensor("weight", &shape)?))
    }

    /// The parameters `weight` and `bias` at `scope`.
    pub fn load_with_bias(scope: &Scope<'_>, shape: [usize; 4]) -> Result<Self, WeightsError> {
        Ok(Self::load(scope, shape)?.with_bias(scope.tensor("bias", &shape[..1])?))
    }

    /// The parameters `weight` and `bias` of a linear layer at `scope`, as a pointwise convolution.
    pub fn load_linear(scope: &Scope<'_>, outputs: usize, inputs: usize) -> Result<Self, WeightsError> {
        let weights = scope.tensor("weight", &[outputs, inputs])?;
        Ok(Self::new([outputs, inputs, 1, 1], weights).with_bias(scope.tensor("bias", &[outputs])?))
    }

    /// Followed by the batch norm at `scope`.
    pub fn load_batch_norm(self, scope: &Scope<'_>, epsilon: f32) -> Result<Self, WeightsError> {
        let outputs = self.shape[0];
        let norm = Norm::load(scope, outputs, epsilon)?;
        let (mean, variance) = (scope.tensor("running_mean", &[outputs])?, scope.tensor("running_var", &[outputs])?);
        Ok(self.with_batch_norm(&norm, &mean, &variance))
    }
}

#[cfg(feature = "weights")]
impl Norm {
    /// The parameters `weight` and `bias` at `scope`.
    pub fn load(scope: &Scope<'_>, channels: usize, epsilon: f32) -> Result<Self, WeightsError> {
        let (scale, shift) = (scope.tensor("weight", &[channels])?, scope.tensor("bias", &[channels])?);
        Ok(Self { scale, shift, epsilon })
    }
}

impl Filter {
    /// A filter without a bias.
    ///
    /// # Panics
    /// When the weights' number is not the shape's.
    pub fn new(shape: [usize; 4], weights: Vec<f32>) -> Self {
        assert_eq!(weights.len(), shape.iter().product::<usize>());
        Self { shape, weights, bias: vec![0.0; shape[0]] }
    }

    /// The same with this bias.
    ///
    /// # Panics
    /// When there is not one for each output.
    pub fn with_bias(self, bias: Vec<f32>) -> Self {
        assert_eq!(bias.len(), self.shape[0]);
        Self { bias, ..self }
    }

    /// `scale * (filter + shift)` for each output, as a batch norm does it.
    ///
    /// # Panics
    /// When there is not one of each for each output.
    pub fn scaled(mut self, scale: &[f32], shift: &[f32]) -> Self {
        let outputs = self.shape[0];
        assert!(scale.len() == outputs && shift.len() == outputs);
        let per_output = self.weights.len() / outputs.max(1);
        for (weights, factor) in self.weights.chunks_exact_mut(per_output.max(1)).zip(scale) {
            weights.iter_mut().for_each(|weight| *weight *= factor);
        }
        for ((bias, factor), addend) in self.bias.iter_mut().zip(scale).zip(shift) {
            *bias = *bias * factor + addend;
        }
        self
    }

    /// Followed by a batch norm of these statistics.
    ///
    /// # Panics
    /// When there is not one of each for each output.
    pub fn with_batch_norm(self, norm: &Norm, mean: &[f32], variance: &[f32]) -> Self {
        let scale: Vec<_> =
            norm.scale.iter().zip(variance).map(|(scale, v)| scale / (v + norm.epsilon).sqrt()).collect();
        let shifted = norm.shift.iter().zip(mean).zip(&scale).map(|((shift, mean), scale)| shift - mean * scale);
        let shift: Vec<_> = shifted.collect();
        self.scaled(&scale, &shift)
    }

    /// Weights with inputs last: outputs, rows, columns, inputs.
    pub(super) fn inputs_last(&self) -> Vec<f32> {
        let [outputs, inputs, rows, columns] = self.shape;
        let taps = rows * columns;
        let mut moved = vec![0.0; self.weights.len()];
        for output in 0..outputs {
            for input in 0..inputs {
                for tap in 0..taps {
                    moved[(output * taps + tap) * inputs + input] =
                        self.weights[(output * inputs + input) * taps + tap];
                }
            }
        }
        moved
    }

    /// A depthwise filter's weights with channels last: rows, columns, outputs.
    pub(super) fn channels_last(&self) -> Vec<f32> {
        let (outputs, taps) = (self.shape[0], self.shape[2] * self.shape[3]);
        (0..taps * outputs).map(|at| self.weights[at % outputs * taps + at / outputs]).collect()
    }
}
