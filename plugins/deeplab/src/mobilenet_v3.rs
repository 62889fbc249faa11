//! MobileNetV3-Large as torchvision's segmentation models have it: the last three blocks dilate in place of striding.

use segue_nn::network::LoadError;
use segue_nn::weights::Scope;
use segue_nn::{Activation, Engine, EngineResult, Padding, Step};

use crate::blocks::{Excite, Inverted, conv_norm};

/// What the network adds to variances.
const EPSILON: f32 = 1e-3;
const STEM: usize = 16;

/// One row of the paper's table 1.
struct Row {
    kernel: usize,
    expanded: usize,
    outputs: usize,
    excites: bool,
    activation: Activation,
    stride: usize,
    dilation: usize,
}

const fn row(
    kernel: usize,
    expanded: usize,
    outputs: usize,
    excites: bool,
    activation: Activation,
    stride: usize,
    dilation: usize,
) -> Row {
    Row { kernel, expanded, outputs, excites, activation, stride, dilation }
}

const ROWS: [Row; 15] = [
    row(3, 16, 16, false, Activation::Relu, 1, 1),
    row(3, 64, 24, false, Activation::Relu, 2, 1),
    row(3, 72, 24, false, Activation::Relu, 1, 1),
    row(5, 72, 40, true, Activation::Relu, 2, 1),
    row(5, 120, 40, true, Activation::Relu, 1, 1),
    row(5, 120, 40, true, Activation::Relu, 1, 1),
    row(3, 240, 80, false, Activation::HardSwish, 2, 1),
    row(3, 200, 80, false, Activation::HardSwish, 1, 1),
    row(3, 184, 80, false, Activation::HardSwish, 1, 1),
    row(3, 184, 80, false, Activation::HardSwish, 1, 1),
    row(3, 480, 112, true, Activation::HardSwish, 1, 1),
    row(3, 672, 112, true, Activation::HardSwish, 1, 1),
    row(5, 672, 160, true, Activation::HardSwish, 2, 2),
    row(5, 960, 160, true, Activation::HardSwish, 1, 2),
    row(5, 960, 160, true, Activation::HardSwish, 1, 2),
];

/// The backbone.
pub struct MobileNetV3<E: Engine> {
    stem: E::Conv,
    blocks: Vec<Inverted<E>>,
    last: E::Conv,
}

impl<E: Engine> MobileNetV3<E> {
    /// Channels of its features.
    pub(crate) const OUTPUTS: usize = 960;

    pub(crate) fn load(engine: &E, scope: &Scope<'_>) -> Result<Self, LoadError> {
        let conv = |at: &Scope<'_>, shape, step, activation| -> Result<E::Conv, LoadError> {
            Ok(engine.make_conv(conv_norm(&at.at(0), &at.at(1), shape, EPSILON)?, step, activation)?)
        };
        let stem = conv(&scope.at(0), [STEM, 3, 3, 3], Step::of(2, 1), Activation::HardSwish)?;
        let (mut inputs, mut blocks) = (STEM, Vec::new());
        for (i, row) in ROWS.iter().enumerate() {
            blocks.push(block(engine, &scope.at(i + 1).at("block"), inputs, row)?);
            inputs = row.outputs;
        }
        let shape = [Self::OUTPUTS, inputs, 1, 1];
        let last = conv(&scope.at(ROWS.len() + 1), shape, Step::ONE, Activation::HardSwish)?;
        Ok(Self { stem, blocks, last })
    }

    pub(crate) fn forward(&self, engine: &mut E, input: E::Image) -> EngineResult<E::Image> {
        let mut image = engine.conv(&self.stem, &input, None)?;
        drop(input);
        for block in &self.blocks {
            image = block.forward(engine, image)?;
        }
        engine.conv(&self.last, &image, None)
    }
}

/// The parts of a block are numbered; which there are depends on the row.
fn block<E: Engine>(engine: &E, scope: &Scope<'_>, inputs: usize, row: &Row) -> Result<Inverted<E>, LoadError> {
    let mut parts = (0..).map(|part| scope.at(part));
    let mut next = || parts.next().unwrap_or_else(|| scope.clone());
    let filter = |at: &Scope<'_>, shape| conv_norm(&at.at(0), &at.at(1), shape, EPSILON);
    let expand = match row.expanded == inputs {
        true => None,
        false => {
            let filter = filter(&next(), [row.expanded, inputs, 1, 1])?;
            Some(engine.make_conv(filter, Step::ONE, row.activation)?)
        }
    };
    let depthwise = filter(&next(), [row.expanded, 1, row.kernel, row.kernel])?;
    let excite = match row.excites {
        true => Some(Excite::load(engine, &next(), row.expanded, squeezed(row.expanded))?),
        false => None,
    };
    let project = filter(&next(), [row.outputs, row.expanded, 1, 1])?;
    let step = Step {
        stride: if row.dilation > 1 { 1 } else { row.stride },
        dilation: row.dilation,
        padding: Padding::Zeros((row.kernel - 1) / 2 * row.dilation),
    };
    Ok(Inverted {
        expand,
        depthwise: engine.make_depthwise(depthwise, step, row.activation)?,
        excite,
        project: engine.make_conv(project, Step::ONE, Activation::None)?,
        keeps_input: row.stride == 1 && inputs == row.outputs,
    })
}

/// A quarter of the channels, to the nearest multiple of 8 that is no more than a tenth below it.
fn squeezed(channels: usize) -> usize {
    let quarter = channels / 4;
    let rounded = ((quarter + 4) / 8 * 8).max(8);
    if 10 * rounded < 9 * quarter { rounded + 8 } else { rounded }
}
