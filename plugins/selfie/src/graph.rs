//! A network as a list of layers, each reading and writing numbered images: between the file and the plan.
//!
//! Invariant: layers stand in an order in which each reads only what was written before it.

use segue_nn::{Activation, Sampling, Shape, Window};

use crate::lower::Reader;
use crate::tflite::{self, Model};

/// The most multiply-accumulates a network of this kind may need for a frame.
pub(crate) const MOST_WORK: usize = 4 << 30;
/// The most weights it may have.
pub(crate) const MOST_WEIGHTS: usize = 16 << 20;
/// Why the network in a well-formed file cannot be run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error(transparent)]
    File(#[from] tflite::Error),
    /// An operator's inputs or sizes are not what such an operator has.
    #[error("operator {operator}: {expected}")]
    Operator {
        /// The operator's number.
        operator: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// A weight is infinite or not a number.
    #[error("tensor {tensor} has the weight {value} at place {place}")]
    NotFinite {
        /// The tensor's number.
        tensor: usize,
        /// The weight's place in it.
        place: usize,
        /// The weight.
        value: f32,
    },
    /// The network as a whole is not a segmentation of one RGB image.
    #[error("the network should have {expected}")]
    Interface {
        /// What was expected.
        expected: &'static str,
    },
    /// The network would take seconds for a frame.
    #[error("the network needs over {MOST_WORK} multiply-accumulates for a frame")]
    TooMuchWork,
    /// The network has more weights than any of its kind.
    #[error("the network has over {MOST_WEIGHTS} weights")]
    TooManyWeights,
}

/// An image's number; the file's tensor number.
pub(crate) type Value = usize;

/// One layer: what it computes and the images it touches.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) kind: LayerKind,
    pub(crate) input: Value,
    /// A second image: of the input's shape, added to it (after the gate, if any).
    pub(crate) addend: Option<Value>,
    /// One factor per input channel.
    pub(crate) gate: Option<Value>,
    /// An image of the output's shape, added after the activation.
    pub(crate) residual: Option<Value>,
    pub(crate) output: Value,
}

/// What a layer computes.
#[derive(Debug, PartialEq)]
pub(crate) enum LayerKind {
    Conv {
        window: Window,
        filter: Filter,
        activation: Activation,
    },
    Depthwise {
        window: Window,
        filter: Filter,
        activation: Activation,
    },
    Deconv {
        filter: Filter,
        activation: Activation,
    },
    /// Pointwise, depthwise and perhaps transposed convolution in one pass.
    Expanded(Box<Expanded>),
    /// `input + addend`.
    Add(Activation),
    /// `input * gate`.
    Gate,
    /// `input * addend`: the one kind whose second image is a factor.
    Multiply(Activation),
    Activation(Activation),
    Mean,
    Resize(Sampling),
}

/// Layers that run row by row together.
#[derive(Debug, PartialEq)]
pub(crate) struct Expanded {
    /// The pointwise convolution and its output.
    pub(crate) expand: (Filter, Activation),
    pub(crate) between: Shape,
    pub(crate) window: Window,
    pub(crate) depthwise: (Filter, Activation),
    /// Whether the pointwise convolution's output is added to the depthwise one's.
    pub(crate) keeps_input: bool,
    pub(crate) deconv: Option<(Filter, Activation)>,
}

/// A convolution's constants.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Filter {
    pub(crate) weights: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// A network from one RGB image to one plane.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) layers: Vec<Layer>,
    /// By value; what no layer touches may be absent.
    pub(crate) shapes: Vec<Option<Shape>>,
    pub(crate) input: Value,
    pub(crate) output: Value,
}

impl Layer {
    /// All images it reads.
    pub(crate) fn reads(&self) -> impl Iterator<Item = Value> {
        [Some(self.input), self.addend, self.gate, self.residual].into_iter().flatten()
    }
}

impl Graph {
    /// Translates a file's operators and checks that they fit each other.
    pub(crate) fn read(file: &[u8]) -> Result<Self, Error> {
        let model = Model::read(file)?;
        let (&[input], &[output]) = (model.inputs.as_slice(), model.outputs.as_slice()) else {
            return Err(Error::Interface { expected: "one input and one output" });
        };
        let shapes: Vec<_> = model.tensors.iter().map(|t| image_shape(&t.shape)).collect();
        if shapes[input].is_none_or(|s| s.channels != 3) {
            return Err(Error::Interface { expected: "an input of shape [1, height, width, 3]" });
        }
        if shapes[output] != shapes[input].map(|s| Shape { channels: 1, ..s }) {
            return Err(Error::Interface {
                expected: "an output of shape [1, height, width, 1], as large as the input",
            });
        }
        let layers = Reader::new(&model, &shapes, input).layers()?;
        Ok(Self { layers, shapes, input, output })
    }

    pub(crate) fn shape(&self, value: Value) -> Shape {
        self.shapes[value].unwrap_or(Shape { height: 0, width: 0, channels: 0 })
    }

    /// How many times `value` is read, by layers or as the network's output.
    pub(crate) fn uses(&self, value: Value) -> usize {
        let reads = self.layers.iter().flat_map(Layer::reads).filter(|&read| read == value).count();
        reads + usize::from(self.output == value)
    }
}

/// The shape of `[1, height, width, channels]`.
fn image_shape(shape: &[usize]) -> Option<Shape> {
    let &[1, height, width, channels] = shape else {
        return None;
    };
    Some(Shape { height, width, channels })
}
