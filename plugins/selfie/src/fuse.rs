//! Rewrites a graph into fewer, cheaper layers with the same result.
//!
//! Each rewrite takes an image that only one layer reads out of memory; one moves a convolution before the
//! resize that fed it, where it has a quarter of the pixels (both are linear and bilinear weights sum to 1).

use segue_nn::{Activation, Shape, Window};

use crate::graph::{Expanded, Filter, Graph, Layer, LayerKind, Value};

/// Values (256 KiB) from which an image costs more to write and read back than rows computed twice.
const LARGE_IMAGE: usize = 64 << 10;

impl Graph {
    /// Applies all rewrites.
    pub(crate) fn fuse(&mut self) {
        while self.fuse_activation() {}
        while self.move_conv_before_resize() {}
        while self.fuse_residual() {}
        while self.fuse_gate() {}
        while self.fuse_sum_into_mean() {}
        while self.fuse_expansion() {}
        while self.fuse_deconv() {}
    }

    /// Layer `i`'s image if nothing reads it but one layer: that layer's index.
    fn only_reader(&self, i: usize) -> Option<usize> {
        let value = self.layers[i].output;
        if self.uses(value) != 1 {
            return None;
        }
        self.layers.iter().position(|layer| layer.reads().any(|read| read == value))
    }

    /// `layer -> activation` becomes a layer with that activation.
    fn fuse_activation(&mut self) -> bool {
        let pair = (0..self.layers.len()).find_map(|i| {
            let reader = self.only_reader(i)?;
            let LayerKind::Activation(activation) = self.layers[reader].kind else {
                return None;
            };
            (self.layers[i].kind.activation() == Some(Activation::None)).then_some((i, reader, activation))
        });
        let Some((i, reader, activation)) = pair else {
            return false;
        };
        self.layers[i].kind.set_activation(activation);
        self.layers[i].output = self.layers[reader].output;
        self.layers.remove(reader);
        true
    }

    /// `resize -> pointwise` becomes `pointwise -> resize`.
    fn move_conv_before_resize(&mut self) -> bool {
        let pair = (0..self.layers.len()).find_map(|i| {
            let reader = self.only_reader(i)?;
            let linear = self.layers[reader].kind.activation() == Some(Activation::None);
            let shrinks = self.shape(self.layers[i].input).pixels() < self.shape(self.layers[i].output).pixels();
            let resize = matches!(self.layers[i].kind, LayerKind::Resize(_));
            (resize && shrinks && linear && self.layers[reader].is_plain_pointwise()).then_some((i, reader))
        });
        let Some((resize, conv)) = pair else {
            return false;
        };
        let between = self.layers[resize].output;
        let small = self.shape(self.layers[resize].input);
        let channels = self.shape(self.layers[conv].output).channels;
        self.shapes[between] = Some(Shape { channels, ..small });
        self.layers[conv].resize_window(small);
        self.layers[resize].output = self.layers[conv].output;
        self.layers[conv].input = self.layers[resize].input;
        self.layers[conv].output = between;
        self.layers[resize].input = between;
        self.layers.swap(resize, conv);
        true
    }

    /// `conv -> add` becomes a convolution with a residual, in the add's place.
    fn fuse_residual(&mut self) -> bool {
        let pair = (0..self.layers.len()).find_map(|i| {
            let reader = self.only_reader(i)?;
            let sum = &self.layers[reader];
            let adds = sum.kind == LayerKind::Add(Activation::None);
            (adds && self.layers[i].takes_residual()).then_some((i, reader))
        });
        let Some((conv, add)) = pair else {
            return false;
        };
        let other = other_operand(&self.layers[add], self.layers[conv].output);
        self.layers[conv].residual = other;
        self.layers[conv].output = self.layers[add].output;
        self.layers.swap(conv, add);
        self.layers.remove(conv);
        true
    }

    /// `gate -> pointwise` and `gate -> add -> pointwise` become a pointwise convolution with a gated input.
    fn fuse_gate(&mut self) -> bool {
        let found = (0..self.layers.len()).find_map(|i| {
            let reader = self.only_reader(i).filter(|_| self.layers[i].kind == LayerKind::Gate)?;
            // A convolution may also read an image as its residual: only what it convolves can be gated.
            let convolves = |conv: usize, image: usize| self.layers[conv].input == self.layers[image].output;
            if self.layers[reader].takes_gate() {
                return convolves(reader, i).then_some((i, None, reader));
            }
            let conv =
                self.only_reader(reader).filter(|_| self.layers[reader].kind == LayerKind::Add(Activation::None))?;
            (self.layers[conv].is_plain_pointwise() && convolves(conv, reader)).then_some((i, Some(reader), conv))
        });
        let Some((gate, add, conv)) = found else {
            return false;
        };
        let addend = add.and_then(|add| other_operand(&self.layers[add], self.layers[gate].output));
        let (input, factor) = (self.layers[gate].input, self.layers[gate].gate);
        let layer = &mut self.layers[conv];
        (layer.input, layer.gate, layer.addend) = (input, factor, addend);
        if let Some(add) = add {
            self.layers.remove(add);
        }
        self.layers.remove(gate);
        true
    }

    /// `add -> mean` becomes the mean of two images.
    fn fuse_sum_into_mean(&mut self) -> bool {
        let pair = (0..self.layers.len()).find_map(|i| {
            let reader = self.only_reader(i)?;
            let mean = &self.layers[reader];
            let plain = mean.kind == LayerKind::Mean && mean.addend.is_none();
            (plain && self.layers[i].kind == LayerKind::Add(Activation::None)).then_some((i, reader))
        });
        let Some((add, mean)) = pair else {
            return false;
        };
        (self.layers[mean].input, self.layers[mean].addend) = (self.layers[add].input, self.layers[add].addend);
        self.layers.remove(add);
        true
    }

    /// `pointwise -> depthwise` become one layer where the image between them is large; the depthwise layer may
    /// add that image to its output.
    fn fuse_expansion(&mut self) -> bool {
        let pair = (0..self.layers.len()).find_map(|i| {
            let between = self.layers[i].output;
            let large = self.shape(between).len() >= LARGE_IMAGE && self.layers[i].residual.is_none();
            let pointwise = matches!(&self.layers[i].kind, LayerKind::Conv { window, .. } if window.is_pointwise());
            let reader = self.layers.iter().position(|layer| layer.input == between)?;
            let depthwise = &self.layers[reader];
            let kept = usize::from(depthwise.residual == Some(between));
            let alone = self.uses(between) == 1 + kept && (kept == 1 || depthwise.residual.is_none());
            let fits = matches!(depthwise.kind, LayerKind::Depthwise { .. });
            (large && pointwise && alone && fits).then_some((i, reader, kept == 1))
        });
        let Some((conv, depthwise, keeps_input)) = pair else {
            return false;
        };
        let between = self.shape(self.layers[conv].output);
        let (expand, _) = self.layers[conv].kind.take_filter();
        let (filter, window) = self.layers[depthwise].kind.take_filter();
        let Some(window) = window else { return false };
        let expanded = Expanded { expand, between, window, depthwise: filter, keeps_input, deconv: None };
        self.layers[conv].kind = LayerKind::Expanded(Box::new(expanded));
        self.layers[conv].output = self.layers[depthwise].output;
        self.layers.swap(conv, depthwise);
        self.layers.remove(conv);
        true
    }

    /// `expanded -> deconv` become one layer.
    fn fuse_deconv(&mut self) -> bool {
        let pair = (0..self.layers.len()).find_map(|i| {
            let reader = self.only_reader(i)?;
            let open = matches!(&self.layers[i].kind, LayerKind::Expanded(expanded) if expanded.deconv.is_none());
            (open && matches!(self.layers[reader].kind, LayerKind::Deconv { .. })).then_some((i, reader))
        });
        let Some((expanded, deconv)) = pair else {
            return false;
        };
        let (filter, _) = self.layers[deconv].kind.take_filter();
        self.layers[expanded].output = self.layers[deconv].output;
        if let LayerKind::Expanded(layer) = &mut self.layers[expanded].kind {
            layer.deconv = Some(filter);
        }
        self.layers.swap(expanded, deconv);
        self.layers.remove(expanded);
        true
    }
}

/// The operand of a sum that is not `value`.
fn other_operand(sum: &Layer, value: Value) -> Option<Value> {
    if sum.input == value { sum.addend } else { Some(sum.input) }
}

impl Layer {
    /// Whether it is a pointwise convolution of an image as it is.
    fn takes_gate(&self) -> bool {
        let pointwise = matches!(&self.kind, LayerKind::Conv { window, .. } if window.is_pointwise());
        pointwise && self.gate.is_none() && self.addend.is_none()
    }

    /// Whether it is a pointwise convolution that nothing was fused into but an activation.
    fn is_plain_pointwise(&self) -> bool {
        self.takes_gate() && self.residual.is_none()
    }

    fn takes_residual(&self) -> bool {
        let depthwise = matches!(self.kind, LayerKind::Depthwise { .. }) && self.residual.is_none();
        depthwise || self.is_plain_pointwise()
    }

    /// Makes a pointwise convolution one over an image of another size.
    fn resize_window(&mut self, input: Shape) {
        if let LayerKind::Conv { window, .. } = &mut self.kind {
            (window.rows.input, window.rows.output) = (input.height, input.height);
            (window.columns.input, window.columns.output) = (input.width, input.width);
        }
    }
}

impl LayerKind {
    /// A convolution's constants, activation and window, taken out of a layer about to be replaced.
    fn take_filter(&mut self) -> ((Filter, Activation), Option<Window>) {
        match self {
            Self::Conv { window, filter, activation } | Self::Depthwise { window, filter, activation } => {
                ((std::mem::take(filter), *activation), Some(*window))
            }
            Self::Deconv { filter, activation } => ((std::mem::take(filter), *activation), None),
            _ => Default::default(),
        }
    }

    /// The activation that the layer applies, if it can apply one.
    fn activation(&self) -> Option<Activation> {
        match self {
            Self::Conv { activation, .. } | Self::Depthwise { activation, .. } | Self::Deconv { activation, .. } => {
                Some(*activation)
            }
            Self::Add(activation) | Self::Multiply(activation) => Some(*activation),
            Self::Gate | Self::Activation(_) | Self::Mean | Self::Resize(_) | Self::Expanded(_) => None,
        }
    }

    fn set_activation(&mut self, new: Activation) {
        match self {
            Self::Conv { activation, .. } | Self::Depthwise { activation, .. } | Self::Deconv { activation, .. } => {
                *activation = new;
            }
            Self::Add(activation) | Self::Multiply(activation) => *activation = new,
            Self::Gate | Self::Activation(_) | Self::Mean | Self::Resize(_) | Self::Expanded(_) => {}
        }
    }
}
