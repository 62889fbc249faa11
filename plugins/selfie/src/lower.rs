//! Translates a file's operators into layers, and checks that they fit each other.
//!
//! Invariant: a layer that comes out of here can be built and run without a panic, whatever the file held, and
//! needs no more memory or work than the limits below.

use segue_nn::{Activation, Axis, Shape, Window};

use crate::graph::{Error, Filter, Layer, LayerKind, MOST_WEIGHTS, MOST_WORK, Value};
use crate::tflite::{Model, OperatorKind, Stepping, TensorKind};

/// The most values that the padded rows under one window may have.
const MOST_WINDOW: usize = 4 << 20;

/// Translates operators one by one.
pub(crate) struct Reader<'a> {
    model: &'a Model<'a>,
    shapes: &'a [Option<Shape>],
    /// Which values hold an image by now.
    written: Vec<bool>,
    /// The constant that each dequantized tensor was made from.
    origin: Vec<usize>,
    work: usize,
    weights: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(model: &'a Model<'a>, shapes: &'a [Option<Shape>], input: Value) -> Self {
        let mut written = vec![false; shapes.len()];
        written[input] = true;
        Self { model, shapes, written, origin: (0..shapes.len()).collect(), work: 0, weights: 0 }
    }

    /// All layers, in the file's order.
    pub(crate) fn layers(mut self) -> Result<Vec<Layer>, Error> {
        let mut layers = Vec::new();
        for (number, operator) in self.model.operators.iter().enumerate() {
            let step = Operator { number, inputs: &operator.inputs, output: operator.output };
            if self.written[operator.output] || self.model.tensors[operator.output].data.is_some() {
                return Err(step.error("its output was written before"));
            }
            if operator.kind == OperatorKind::Dequantize {
                self.origin[operator.output] = step.input(0)?;
                continue;
            }
            layers.push(self.layer(step, operator.kind)?);
            self.written[operator.output] = true;
        }
        if self.model.outputs.iter().any(|&output| !self.written[output]) {
            return Err(Error::Interface { expected: "an output that an operator writes" });
        }
        Ok(layers)
    }

    fn layer(&mut self, step: Operator<'_>, kind: OperatorKind) -> Result<Layer, Error> {
        let input = step.input(0)?;
        let (from, to) = (self.image(step, input)?, self.shape(step, step.output)?);
        self.charge(from.len() + to.len(), 1)?;
        let mut layer =
            Layer { kind: LayerKind::Gate, input, addend: None, gate: None, residual: None, output: step.output };
        layer.kind = match kind {
            OperatorKind::Conv(stepping, activation) => self.conv(step, from, to, stepping, activation)?,
            OperatorKind::Depthwise(stepping, activation) => self.depthwise(step, from, to, stepping, activation)?,
            OperatorKind::Deconv2x2 => self.deconv(step, from, to)?,
            OperatorKind::Add(_) | OperatorKind::Multiply(_) => {
                return self.pair(step, kind, layer, from, to);
            }
            OperatorKind::Activation(activation) => {
                step.expect(from == to, "its output should have its input's shape")?;
                LayerKind::Activation(activation)
            }
            OperatorKind::AveragePool { filter } => {
                step.expect(filter == (from.height, from.width), "its filter should cover the whole image")?;
                self.mean(step, from, to)?
            }
            OperatorKind::Mean => {
                let axes = self.model.tensors[step.input(1)?].data.unwrap_or_default();
                let axes: Vec<i32> = axes.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect();
                step.expect(matches!(axes.as_slice(), [1, 2] | [2, 1]), "it should average over rows and columns")?;
                self.mean(step, from, to)?
            }
            OperatorKind::Resize(sampling) => {
                step.expect(from.channels == to.channels, "its output should have its input's channels")?;
                LayerKind::Resize(sampling)
            }
            OperatorKind::Dequantize => return Err(step.error("it should have been folded")),
        };
        Ok(layer)
    }

    fn pair(
        &self,
        step: Operator<'_>,
        kind: OperatorKind,
        mut layer: Layer,
        a: Shape,
        to: Shape,
    ) -> Result<Layer, Error> {
        let other = step.input(1)?;
        let b = self.image(step, other)?;
        let gated = |image: Shape, gate: Shape| gate.pixels() == 1 && gate.channels == image.channels && image == to;
        match kind {
            OperatorKind::Add(activation) if a == b && a == to => {
                (layer.kind, layer.addend) = (LayerKind::Add(activation), Some(other));
            }
            OperatorKind::Multiply(activation) if a == b && a == to => {
                (layer.kind, layer.addend) = (LayerKind::Multiply(activation), Some(other));
            }
            OperatorKind::Multiply(Activation::None) if gated(a, b) => layer.gate = Some(other),
            OperatorKind::Multiply(Activation::None) if gated(b, a) => {
                (layer.gate, layer.input) = (Some(layer.input), other);
            }
            _ => {
                return Err(step.error("its two images should have one shape, or one of them be a gate"));
            }
        }
        Ok(layer)
    }

    fn conv(
        &mut self,
        step: Operator<'_>,
        from: Shape,
        to: Shape,
        by: Stepping,
        activation: Activation,
    ) -> Result<LayerKind, Error> {
        let &[outputs, height, width, inputs] = self.constant_shape(step, 1)? else {
            return Err(step.error("its filter should have four dimensions"));
        };
        step.expect(outputs == to.channels && inputs == from.channels, "its filter does not fit its channels")?;
        let window = self.window(step, from, to, (height, width), by)?;
        self.charge(to.len(), height * width * inputs)?;
        Ok(LayerKind::Conv { window, filter: self.filter(step, outputs)?, activation })
    }

    fn depthwise(
        &mut self,
        step: Operator<'_>,
        from: Shape,
        to: Shape,
        by: Stepping,
        activation: Activation,
    ) -> Result<LayerKind, Error> {
        let &[1, height, width, channels] = self.constant_shape(step, 1)? else {
            return Err(step.error("its filter should have the shape [1, height, width, channels]"));
        };
        step.expect(channels == to.channels && channels == from.channels, "its filter does not fit its channels")?;
        let window = self.window(step, from, to, (height, width), by)?;
        self.charge(to.len(), height * width)?;
        Ok(LayerKind::Depthwise { window, filter: self.filter(step, channels)?, activation })
    }

    fn deconv(&mut self, step: Operator<'_>, from: Shape, to: Shape) -> Result<LayerKind, Error> {
        let &[outputs, 2, 2, inputs] = self.constant_shape(step, 1)? else {
            return Err(step.error("its filter should have the shape [outputs, 2, 2, inputs]"));
        };
        step.expect(outputs == to.channels && inputs == from.channels, "its filter does not fit its channels")?;
        step.expect((to.height, to.width) == (from.height * 2, from.width * 2), "it should double the size")?;
        self.charge(to.len(), inputs)?;
        Ok(LayerKind::Deconv { filter: self.filter(step, outputs)?, activation: Activation::None })
    }

    fn mean(&self, step: Operator<'_>, from: Shape, to: Shape) -> Result<LayerKind, Error> {
        step.expect(to.pixels() == 1 && to.channels == from.channels, "its output should be one pixel")?;
        Ok(LayerKind::Mean)
    }

    fn window(
        &self,
        step: Operator<'_>,
        from: Shape,
        to: Shape,
        kernel: (usize, usize),
        by: Stepping,
    ) -> Result<Window, Error> {
        step.expect(kernel.0 <= 64 && kernel.1 <= 64, "its filter should be at most 64 x 64")?;
        let reach = (by.dilation.0 * kernel.0, by.dilation.1 * kernel.1 + from.width);
        step.expect(reach.0 * reach.1 * from.channels <= MOST_WINDOW, "its window should span fewer values")?;
        let axis = if by.same { Axis::same } else { Axis::valid };
        let rows = axis(from.height, kernel.0, by.stride.0, by.dilation.0);
        let columns = axis(from.width, kernel.1, by.stride.1, by.dilation.1);
        step.expect((rows.output, columns.output) == (to.height, to.width), "its output has not the size it computes")?;
        Ok(Window { rows, columns })
    }

    /// Counts a layer's work against the most a network may need.
    fn charge(&mut self, outputs: usize, depth: usize) -> Result<(), Error> {
        self.work = self.work.saturating_add(outputs.saturating_mul(depth));
        if self.work > MOST_WORK { Err(Error::TooMuchWork) } else { Ok(()) }
    }

    /// The weights and biases of a convolution.
    fn filter(&mut self, step: Operator<'_>, channels: usize) -> Result<Filter, Error> {
        step.expect(self.constant_shape(step, 2)? == [channels], "it should have a bias for each output channel")?;
        Ok(Filter { weights: self.constant(step, 1)?, bias: self.constant(step, 2)? })
    }

    fn constant_shape(&self, step: Operator<'_>, place: usize) -> Result<&'a [usize], Error> {
        Ok(&self.model.tensors[self.origin[step.input(place)?]].shape)
    }

    /// A constant's values as f32.
    fn constant(&mut self, step: Operator<'_>, place: usize) -> Result<Vec<f32>, Error> {
        let tensor = self.origin[step.input(place)?];
        let source = &self.model.tensors[tensor];
        let data = source.data.ok_or(step.error("its filter should be constant"))?;
        self.weights += data.len() / 2;
        if self.weights > MOST_WEIGHTS {
            return Err(Error::TooManyWeights);
        }
        let values: Vec<f32> = match source.kind {
            TensorKind::F32 => data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            TensorKind::F16 => data.as_chunks().0.iter().map(|bytes| half(u16::from_le_bytes(*bytes))).collect(),
            TensorKind::I32 | TensorKind::Other => {
                return Err(step.error("its filter should be f32 or f16"));
            }
        };
        match values.iter().position(|value| !value.is_finite()) {
            Some(place) => Err(Error::NotFinite { tensor, place, value: values[place] }),
            None => Ok(values),
        }
    }

    fn shape(&self, step: Operator<'_>, value: Value) -> Result<Shape, Error> {
        step.expect(self.model.tensors[value].kind == TensorKind::F32, "its images should be f32")?;
        self.shapes[value].ok_or(step.error("its images should have the shape [1, height, width, channels]"))
    }

    /// The shape of an image that was written before.
    fn image(&self, step: Operator<'_>, value: Value) -> Result<Shape, Error> {
        step.expect(self.written[value], "it reads an image that was not written before")?;
        self.shape(step, value)
    }
}

/// An operator's place and tensors.
#[derive(Clone, Copy)]
struct Operator<'a> {
    number: usize,
    inputs: &'a [usize],
    output: Value,
}

impl Operator<'_> {
    const fn error(self, expected: &'static str) -> Error {
        Error::Operator { operator: self.number, expected }
    }

    fn expect(self, holds: bool, expected: &'static str) -> Result<(), Error> {
        if holds { Ok(()) } else { Err(self.error(expected)) }
    }

    fn input(self, place: usize) -> Result<usize, Error> {
        self.inputs.get(place).copied().ok_or(self.error("it has too few inputs"))
    }
}

/// The value of an IEEE half.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let (exponent, mantissa) = (u32::from(bits >> 10) & 0x1f, u32::from(bits & 0x3ff));
    match exponent {
        0 => f32::from_bits(sign | (mantissa as f32 / 16_777_216.0).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | mantissa << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | mantissa << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::half;

    #[test]
    fn halves_convert_exactly() {
        let cases = [(0x0000, 0.0), (0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x0001, 5.960_464_5e-8)];
        for (bits, value) in cases {
            assert_eq!(half(bits), value, "{bits:#06x}");
        }
        assert!(half(0x7c00).is_infinite() && half(0x7e00).is_nan());
    }
}
