//! From the network's output to the mask.

use half::slice::HalfFloatSliceExt;
use segue_nn::{Layout, Level, MaskOutput, Placement, PlaneLabeller, Pool, Sampling, Scores, Shape};
use segue_plugin::{Error, Mask, Result};

use crate::{Kind, Rules, Tensor, Values};

/// Classes that a byte can tell apart.
const MOST_CLASSES: usize = 256;

/// How the output is read; its memory is used again from frame to frame.
pub struct Output {
    /// Its name in the network.
    pub name: String,
    reading: Reading,
    /// How scores lie over the input.
    sampling: Sampling,
    labeller: PlaneLabeller,
    /// Values as planes, where they do not lie so already.
    planes: Vec<f32>,
}

/// What the output is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// What it gives.
    pub kind: Kind,
    /// Of scores.
    pub classes: usize,
    /// Whether planes lie apart, one for each class.
    planes_apart: bool,
    /// Whether values are to go through a sigmoid.
    sigmoid: bool,
    scores: Scores,
}

impl Reading {
    /// As the rules, a first output `name`, and the operator that makes it (empty when nobody knows) tell.
    pub fn of(
        name: &str,
        maker: &str,
        rules: &Rules,
        input_planes_apart: bool,
        (shape, values): (&[usize], Values<'_>),
    ) -> Result<Self> {
        let sides: Vec<_> = shape.iter().map(ToString::to_string).collect();
        let wrong = |why: &str| Error::new(format!("its output {name:?} has {} values: {why}", sides.join(" x ")));
        let is_whole = matches!(values, Values::U8(_) | Values::I32(_) | Values::I64(_) | Values::Bool(_));
        let (channels, planes_apart) = match *shape {
            [1, _] => return Err(wrong("no mask has such a shape; scores are 1 x classes x height x width")),
            [_, _] | [1, _, _] | [1, 1, _, _] => (1, true),
            [1, _, _, 1] => (1, false),
            // Channels lie where the input has them, unless there would be too many.
            [1, a, _, c] | [a, _, c] => match (input_planes_apart, a <= MOST_CLASSES, c <= MOST_CLASSES) {
                (true, true, _) | (false, true, false) => (a, true),
                _ => (c, false),
            },
            _ => return Err(wrong("no mask has such a shape; scores are 1 x classes x height x width")),
        };
        let kind = rules.kind.unwrap_or(match (is_whole, channels) {
            (true, _) => Kind::Labels,
            (false, 1) => Kind::Matte,
            (false, _) => Kind::Scores,
        });
        match kind {
            Kind::Scores if is_whole => return Err(wrong("scores are no whole numbers; write kind = \"labels\"")),
            Kind::Matte if is_whole => return Err(wrong("a matte is of floats; write kind = \"labels\"")),
            Kind::Scores if !(2..=MOST_CLASSES).contains(&channels) => {
                return Err(wrong("scores are of 2 to 256 classes"));
            }
            Kind::Matte | Kind::Labels if channels != 1 => {
                return Err(wrong(&format!("kind = {:?} has one value for each pixel", kind.name())));
            }
            _ => {}
        }
        let sigmoid = rules.sigmoid.unwrap_or(
            kind == Kind::Matte
                && !matches!(maker, "Sigmoid" | "HardSigmoid" | "Clip" | "Softmax")
                && !is_share(values),
        );
        let scores = if matches!(maker, "Softmax" | "Sigmoid") { Scores::Weights } else { Scores::Logits };
        Ok(Self { kind, classes: channels, planes_apart, sigmoid, scores })
    }
}

/// Whether all values are from 0 to 1.
fn is_share(values: Values<'_>) -> bool {
    match values {
        Values::F32(values) => values.iter().all(|value| (0.0..=1.0).contains(value)),
        Values::F16(values) => values.iter().all(|value| (0.0..=1.0).contains(&value.to_f32())),
        _ => false,
    }
}

impl Output {
    /// The output that the rules name, or the first one.
    pub fn choose<'a>(tensors: &'a [Tensor], rules: &Rules) -> Result<&'a Tensor> {
        let names: Vec<_> = tensors.iter().map(|output| output.name.as_str()).collect();
        match &rules.output {
            None => tensors.first().ok_or_else(|| Error::new("the network has no output")),
            Some(name) => tensors.iter().find(|output| output.name == *name).ok_or_else(|| {
                Error::new(format!("output = {name:?}: the network's outputs are {}", names.join(", ")))
            }),
        }
    }

    /// How the output `name` is read, whose scores lie over the input as `sampling` says.
    pub fn new(name: &str, reading: Reading, sampling: Sampling) -> Self {
        Self { name: name.into(), reading, sampling, labeller: PlaneLabeller::new(Level::best()), planes: Vec::new() }
    }

    /// What it gives.
    pub fn kind(&self) -> Kind {
        self.reading.kind
    }

    /// How many classes it tells apart; a label map doesn't say.
    pub fn classes(&self) -> Option<usize> {
        match self.reading.kind {
            Kind::Scores => Some(self.reading.classes),
            Kind::Matte => Some(2),
            Kind::Labels => None,
        }
    }

    /// Fills `mask` from what the network gave for a frame that lay as `layout` says.
    pub fn fill(
        &mut self,
        pool: &mut Pool,
        (shape, values): (&[usize], Values<'_>),
        layout: Layout,
        mask: &mut Mask<'_>,
        classes: usize,
    ) -> Result<()> {
        let Self { reading, planes, labeller, .. } = self;
        let shape = reading
            .shape(shape)
            .ok_or_else(|| Error::new(format!("the network's output {:?} is now of shape {shape:?}", self.name)))?;
        if reading.kind == Kind::Labels {
            return label_map(values, shape, layout, mask, classes);
        }
        let values = reading.planes(values, shape, planes)?;
        let (channels, scores) = match reading.kind {
            Kind::Matte => (2, Scores::Weights),
            _ => (shape.channels, reading.scores),
        };
        let placement = Placement { canvas: layout.canvas, picture: layout.picture, sampling: self.sampling };
        let mut output = MaskOutput {
            width: mask.width_px as usize,
            height: mask.height_px as usize,
            labels: mask.labels,
            confidence: mask.confidence.as_deref_mut(),
        };
        labeller.run(pool, values, Shape { channels, ..shape }, scores, placement, &mut output);
        Ok(())
    }
}

impl Reading {
    /// The sides of an output, which may have another height and width than the first one.
    fn shape(&self, shape: &[usize]) -> Option<Shape> {
        let (height, width, channels) = match *shape {
            [height, width] | [1, height, width] if self.classes == 1 => (height, width, 1),
            [1, a, b, c] | [a, b, c] if self.planes_apart => (b, c, a),
            [1, a, b, c] | [a, b, c] => (a, b, c),
            _ => return None,
        };
        (height > 0 && width > 0 && channels == self.classes).then_some(Shape { height, width, channels })
    }

    /// The values as planes of scores, one for each class; in `buffer` where they do not lie so already.
    fn planes<'a>(&self, values: Values<'a>, shape: Shape, buffer: &'a mut Vec<f32>) -> Result<&'a [f32]> {
        let len = shape.len();
        match values {
            Values::F32(values) if values.len() != len => return Err(self.short()),
            Values::F16(values) if values.len() != len => return Err(self.short()),
            Values::F32(values) if self.kind == Kind::Scores && (self.planes_apart || shape.channels == 1) => {
                return Ok(values);
            }
            Values::F32(values) => {
                buffer.clear();
                buffer.extend_from_slice(values);
            }
            Values::F16(values) => {
                buffer.resize(len, 0.0);
                values.convert_to_f32_slice(buffer);
            }
            _ => return Err(Error::new("the network's output is of another type than at first")),
        }
        if self.kind == Kind::Matte {
            let foreground =
                |value: &f32| if self.sigmoid { 1.0 / (1.0 + (-value).exp()) } else { value.clamp(0.0, 1.0) };
            let shares: Vec<f32> = buffer.iter().map(foreground).collect();
            buffer.clear();
            buffer.extend(shares.iter().map(|share| 1.0 - share));
            buffer.extend(shares);
        } else if !self.planes_apart {
            let pixels = std::mem::take(buffer);
            let channels = 0..shape.channels;
            buffer.extend(channels.flat_map(|channel| pixels.iter().skip(channel).step_by(shape.channels)));
        }
        Ok(buffer)
    }

    fn short(&self) -> Error {
        Error::new("the network's output has not the values that its shape says")
    }
}

/// The nearest class of each pixel.
fn label_map(values: Values<'_>, shape: Shape, layout: Layout, mask: &mut Mask<'_>, classes: usize) -> Result<()> {
    match values {
        Values::U8(values) => nearest(values, i64::from, shape, layout, mask, classes),
        Values::I32(values) => nearest(values, i64::from, shape, layout, mask, classes),
        Values::I64(values) => nearest(values, |value| value, shape, layout, mask, classes),
        Values::Bool(values) => nearest(values, i64::from, shape, layout, mask, classes),
        Values::F32(values) => nearest(values, |value: f32| value.round() as i64, shape, layout, mask, classes),
        Values::F16(values) => {
            nearest(values, |value: half::f16| value.to_f32().round() as i64, shape, layout, mask, classes)
        }
    }
}

fn nearest<T: Copy>(
    values: &[T],
    class: impl Fn(T) -> i64,
    shape: Shape,
    layout: Layout,
    mask: &mut Mask<'_>,
    classes: usize,
) -> Result<()> {
    if values.len() != shape.height * shape.width {
        return Err(Error::new("the network's label map has not the values that its shape says"));
    }
    let (mask_width, mask_height) = (mask.width_px as usize, mask.height_px as usize);
    // In halves of a pixel: `(i + 1/2) * picture / mask * map / canvas`.
    let place = |i: usize, picture: usize, mask: usize, map: usize, canvas: usize| {
        ((2 * i + 1) * picture * map / (2 * mask * canvas)).min(map - 1)
    };
    let columns: Vec<usize> =
        (0..mask_width).map(|x| place(x, layout.picture.0, mask_width, shape.width, layout.canvas.0)).collect();
    for (y, row) in mask.labels.chunks_exact_mut(mask_width).enumerate() {
        let from = place(y, layout.picture.1, mask_height, shape.height, layout.canvas.1) * shape.width;
        for (label, &column) in row.iter_mut().zip(&columns) {
            let id = class(values[from + column]);
            *label = u8::try_from(id).ok().filter(|&id| usize::from(id) < classes).ok_or_else(|| {
                Error::new(format!(
                    "the network's label map has the class {id}, and the catalog names {classes} classes"
                ))
            })?;
        }
    }
    if let Some(confidence) = &mut mask.confidence {
        confidence.fill(255);
    }
    Ok(())
}
