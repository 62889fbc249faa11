//! One layer ready to run: a kernel with its weights packed, and the places of its images.

use segue_nn::{
    Activation, Conv2d, Deconv2x2, Depthwise, Expanded, GlobalMean, Level, Pointwise, PointwiseInput, Pool, Resize,
    Shape, activate, add, multiply, multiply_channels,
};

use crate::graph::{self, Graph, Layer, LayerKind, Value};
use crate::plan::{Place, Plan};

/// An image's place and length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Image {
    pub(crate) place: Place,
    pub(crate) len: usize,
}

/// A layer ready to run.
#[derive(Debug)]
pub(crate) struct Step {
    kernel: Kernel,
    level: Level,
    shape: Shape,
    pub(crate) input: Image,
    pub(crate) addend: Option<Image>,
    pub(crate) gate: Option<Image>,
    pub(crate) residual: Option<Image>,
    pub(crate) output: Image,
}

#[derive(Debug)]
enum Kernel {
    Pointwise(Pointwise),
    Conv(Box<Conv2d>),
    Depthwise(Depthwise),
    Deconv(Deconv2x2),
    Expanded(Box<Expanded>),
    Add(Activation),
    Gate,
    Multiply(Activation),
    Activation(Activation),
    Mean(GlobalMean),
    Resize(Resize),
}

/// The images a step reads, found in memory.
pub(crate) struct Sources<'a> {
    pub(crate) input: &'a [f32],
    pub(crate) addend: Option<&'a [f32]>,
    pub(crate) gate: Option<&'a [f32]>,
    pub(crate) residual: Option<&'a [f32]>,
}

impl Step {
    /// Packs `layer` for `level`.
    pub(crate) fn new(level: Level, graph: &Graph, plan: &Plan, layer: &Layer) -> Self {
        let image =
            |value: Value| Image { place: plan.places[value].unwrap_or(Place::Input), len: graph.shape(value).len() };
        Self {
            kernel: kernel(level, graph, layer),
            level,
            shape: graph.shape(layer.input),
            input: image(layer.input),
            addend: layer.addend.map(image),
            gate: layer.gate.map(image),
            residual: layer.residual.map(image),
            output: image(layer.output),
        }
    }

    /// Computes `output` from `sources`, whose lengths are those of the images.
    pub(crate) fn run(&mut self, pool: &mut Pool, sources: Sources<'_>, output: &mut [f32]) {
        let Sources { input, addend, gate, residual } = sources;
        let level = self.level;
        match &mut self.kernel {
            Kernel::Expanded(layers) => {
                let source = PointwiseInput { input, gate, addend, residual };
                layers.run(pool, source, output);
            }
            Kernel::Pointwise(conv) => conv.run(pool, PointwiseInput { input, gate, addend, residual }, output),
            Kernel::Conv(conv) => conv.run(pool, input, output),
            Kernel::Depthwise(conv) => conv.run(pool, input, residual, output),
            Kernel::Deconv(deconv) => deconv.run(pool, input, output),
            Kernel::Add(activation) => add(level, pool, input, addend.unwrap_or_default(), *activation, output),
            Kernel::Gate => multiply_channels(level, pool, self.shape, input, gate.unwrap_or_default(), output),
            Kernel::Multiply(activation) => {
                multiply(level, pool, input, addend.unwrap_or_default(), *activation, output);
            }
            Kernel::Activation(activation) => activate(level, pool, input, *activation, output),
            Kernel::Mean(mean) => mean.run(pool, input, addend, output),
            Kernel::Resize(resize) => resize.run(pool, input, output),
        }
    }
}

fn kernel(level: Level, graph: &Graph, layer: &Layer) -> Kernel {
    let (input, output) = (graph.shape(layer.input), graph.shape(layer.output));
    match &layer.kind {
        LayerKind::Conv { window, filter, activation } if window.is_pointwise() => {
            Kernel::Pointwise(Pointwise::new(level, input, &filter.weights, &filter.bias, *activation))
        }
        LayerKind::Conv { window, filter, activation } => {
            let channels = input.channels;
            Kernel::Conv(Box::new(Conv2d::new(level, *window, channels, &filter.weights, &filter.bias, *activation)))
        }
        LayerKind::Depthwise { window, filter, activation } => {
            Kernel::Depthwise(Depthwise::new(level, *window, &filter.weights, &filter.bias, *activation))
        }
        LayerKind::Deconv { filter, activation } => {
            Kernel::Deconv(Deconv2x2::new(level, input, &filter.weights, &filter.bias, *activation))
        }
        LayerKind::Expanded(layers) => Kernel::Expanded(Box::new(expanded(level, input, layers))),
        LayerKind::Add(activation) => Kernel::Add(*activation),
        LayerKind::Gate => Kernel::Gate,
        LayerKind::Multiply(activation) => Kernel::Multiply(*activation),
        LayerKind::Activation(activation) => Kernel::Activation(*activation),
        LayerKind::Mean => Kernel::Mean(GlobalMean::new(level, input)),
        LayerKind::Resize(sampling) => {
            Kernel::Resize(Resize::new(level, input, output.height, output.width, *sampling))
        }
    }
}

fn expanded(level: Level, input: Shape, layers: &graph::Expanded) -> Expanded {
    let (filter, activation) = &layers.expand;
    let expand = Pointwise::new(level, input, &filter.weights, &filter.bias, *activation);
    let (filter, activation) = &layers.depthwise;
    let depthwise = Depthwise::new(level, layers.window, &filter.weights, &filter.bias, *activation);
    let deconv = layers.deconv.as_ref().map(|(filter, activation)| {
        Deconv2x2::new(level, depthwise.output(), &filter.weights, &filter.bias, *activation)
    });
    Expanded::new(expand, depthwise, layers.keeps_input, deconv)
}
