//! From a network to a backend: settings, the frame's way in, the mask's way out.
//!
//! A plugin writes its network over [`Engine`] and says by [`Family`] how its input is made; what all networks have
//! alike is here.

use segue_plugin::{Backend, Call, Class, Error, Frame, Info, Mask, Model, Result, Stage};
use serde::{Deserialize, de::DeserializeOwned};

use crate::weights::{Weights, WeightsError};
use crate::{
    Cpu, Engine, EngineError, EngineResult, Layout, MaskOutput, Normalisation, Placement, Preprocessor, RgbFrame,
    Sampling, Scores, Shape,
};

/// Where a network runs.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// On the processor's cores.
    #[default]
    Cpu,
    /// On the first NVIDIA card.
    Cuda,
}

/// The numbers in which a network computes.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits, 8 of them exponent; a GPU's.
    Bf16,
    /// 16 bits, 5 of them exponent; a GPU's.
    F16,
}

/// What all networks can be told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Common {
    /// The input's size in place of the network's own, in pixels.
    pub input_size_px: Option<usize>,
    /// Where it runs.
    pub device: Device,
    /// In which numbers.
    pub precision: Precision,
}

/// How a frame becomes a network's input.
#[derive(Clone, Copy, Debug)]
pub struct InputRule {
    /// In pixels; what of is for `fit` to say.
    pub size: usize,
    /// Which side of the frame gets the size.
    pub fit: Fit,
    /// Both sides are rounded up to a multiple of this.
    pub multiple_of: usize,
    /// Mean and deviation.
    pub normalisation: Normalisation,
}

/// Which side of the frame is resized to the input's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Both: the aspect is lost.
    Stretch,
    /// The shorter one; the longer one has at most `longest` pixels.
    Shorter {
        /// In pixels.
        longest: usize,
    },
    /// The longer one, if it is longer.
    Longer,
    /// The longer one, if it is longer; the input is a square with bytes of 127 below or beside the picture.
    LongerOfSquare,
}

impl InputRule {
    /// Where a frame of this width and height goes.
    pub fn layout(&self, (width, height): (usize, usize)) -> Layout {
        let (shorter, longer) = (width.min(height) as f64, width.max(height) as f64);
        let size = self.size as f64;
        let scale = match self.fit {
            Fit::Stretch => return Layout::whole((self.size, self.size)),
            Fit::Shorter { longest } => (size / shorter).min(longest as f64 / longer),
            Fit::Longer | Fit::LongerOfSquare => (size / longer).min(1.0),
        };
        let side = |pixels: usize| ((pixels as f64 * scale).round() as usize).max(1).next_multiple_of(self.multiple_of);
        let picture = (side(width), side(height));
        match self.fit {
            Fit::LongerOfSquare => Layout { picture, canvas: (picture.0.max(self.size), picture.1.max(self.size)) },
            _ => Layout::whole(picture),
        }
    }
}

/// Why a network can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is not what it needs.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The device is not there, or is too small.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// A network that is loaded for one engine.
pub trait Network<E: Engine>: Sized + Send + 'static {
    /// What it is told.
    type Settings;

    /// Takes its parameters out of `weights`.
    fn load(engine: &E, weights: &Weights, settings: &Self::Settings) -> std::result::Result<Self, LoadError>;

    /// How many classes it tells apart.
    fn classes(&self) -> usize;

    /// Scores of each class over the input, on a grid as coarse as the network has it.
    fn scores(&mut self, engine: &mut E, input: E::Image) -> EngineResult<E::Image>;
}

/// Networks of one plugin.
pub trait Family: 'static {
    /// What they are told.
    type Settings: DeserializeOwned;
    /// The network on an engine.
    type Network<E: Engine>: Network<E, Settings = Self::Settings>;
    /// What its scores are.
    const SCORES: Scores;
    /// The settings that all networks have.
    fn common(settings: &Self::Settings) -> Common;

    /// How scores lie over the input.
    fn sampling(settings: &Self::Settings) -> Sampling;

    /// How its input is made.
    fn input(settings: &Self::Settings) -> InputRule;
}

/// A backend of networks of one family.
pub struct NetworkBackend<F: Family> {
    running: Running<Cpu, F::Network<Cpu>>,
    classes: Vec<Class>,
    rule: InputRule,
    sampling: Sampling,
}

/// A network with its engine.
struct Running<E: Engine, N> {
    engine: E,
    network: N,
    preprocessor: Preprocessor,
}

impl<F: Family> Backend for NetworkBackend<F> {
    fn load(model: &Model<'_>) -> Result<Self> {
        let settings: F::Settings = model.settings()?;
        let common = F::common(&settings);
        check_device(common)?;
        let path = model.require_weights()?;
        let weights = Weights::open(path).map_err(Error::new)?;
        let engine = Cpu::new(model.max_threads).map_err(Error::new)?;
        let network = F::Network::<Cpu>::load(&engine, &weights, &settings).map_err(Error::new)?;
        let rule = F::input(&settings);
        let rule = InputRule { size: common.input_size_px.unwrap_or(rule.size), ..rule };
        let preprocessor = Preprocessor::new(engine.level(), rule.normalisation).with_beside(127);
        let classes = classes(model, network.classes())?;
        Ok(Self { running: Running { engine, network, preprocessor }, classes, rule, sampling: F::sampling(&settings) })
    }

    fn info(&self) -> Info {
        let square = (self.rule.size as u32, self.rule.size as u32);
        let input_size_px = (self.rule.fit == Fit::Stretch).then_some(square);
        Info { input_size_px, classes: self.classes.clone(), has_confidence: true, memory_bytes: 0 }
    }

    fn segment(&mut self, frame: &Frame<'_>, mask: &mut Mask<'_>, call: &Call<'_>) -> Result<()> {
        let Running { engine, network, preprocessor } = &mut self.running;
        let pixels = RgbFrame {
            bytes: frame.bytes(),
            width: frame.width_px() as usize,
            height: frame.height_px() as usize,
            stride: frame.stride_bytes(),
        };
        let layout = self.rule.layout((pixels.width, pixels.height));
        let shape = Shape { height: layout.canvas.1, width: layout.canvas.0, channels: 3 };
        let fill = |pool: &mut _, values: &mut [f32]| preprocessor.run(pool, pixels, layout, values);
        let input = call.stage(Stage::Preprocess, || engine.input(shape, fill)).map_err(Error::new)?;
        if call.cancelled() {
            return Err(Error::Cancelled);
        }
        let scores = call.stage(Stage::Forward, || network.scores(engine, input)).map_err(Error::new)?;
        if call.cancelled() {
            return Err(Error::Cancelled);
        }
        let placement = Placement { canvas: layout.canvas, picture: layout.picture, sampling: self.sampling };
        let mut output = MaskOutput {
            width: mask.width_px as usize,
            height: mask.height_px as usize,
            labels: mask.labels,
            confidence: mask.confidence.as_deref_mut(),
        };
        call.stage(Stage::Postprocess, || engine.labels(&scores, F::SCORES, placement, &mut output)).map_err(Error::new)
    }

    fn warm_up(&mut self) -> Result<()> {
        let Running { engine, network, .. } = &mut self.running;
        let layout = self.rule.layout((640, 360));
        let shape = Shape { height: layout.canvas.1, width: layout.canvas.0, channels: 3 };
        // The first pass finds out how much memory the second one has at once.
        for _ in 0..2 {
            let input = engine.input(shape, |_, values| values.fill(0.0)).map_err(Error::new)?;
            network.scores(engine, input).map_err(Error::new)?;
        }
        Ok(())
    }
}

fn check_device(common: Common) -> Result<()> {
    if common.device == Device::Cuda {
        return Err(Error::new(
            "device = \"cuda\": this build of the plugin runs on the CPU alone; build it with `--features cuda`, or write device = \"cpu\"",
        ));
    }
    if common.precision != Precision::F32 {
        return Err(Error::new(
            "precision: the CPU computes in \"f32\"; \"bf16\" and \"f16\" are for device = \"cuda\"",
        ));
    }
    Ok(())
}

/// The catalog's classes, or numbered ones; as many as the network has.
fn classes(model: &Model<'_>, count: usize) -> Result<Vec<Class>> {
    match model.classes.len() {
        0 => Ok((0..count).map(|class| Class::new(format!("class {class}"), colour(class))).collect()),
        named if named == count => Ok(model.classes.clone()),
        named => Err(Error::new(format!(
            "model {:?} names {named} classes, and its weights have {count}: its labels are those of another data set",
            model.name
        ))),
    }
}

/// A colour that differs from those of the classes before.
fn colour(class: usize) -> [u8; 3] {
    let byte = |factor: usize| (class * factor % 256) as u8;
    [byte(67), byte(113), byte(199)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(size: usize, fit: Fit, multiple_of: usize) -> InputRule {
        InputRule { size, fit, multiple_of, normalisation: Normalisation::UNIT }
    }

    #[test]
    fn the_aspect_is_kept_where_the_rule_keeps_it() {
        let frame = (640, 360);
        assert_eq!(rule(512, Fit::Stretch, 1).layout(frame), Layout::whole((512, 512)));
        assert_eq!(rule(520, Fit::Shorter { longest: 4096 }, 1).layout(frame), Layout::whole((924, 520)));
        assert_eq!(rule(512, Fit::Shorter { longest: 800 }, 32).layout(frame), Layout::whole((800, 480)));
        assert_eq!(rule(513, Fit::Longer, 1).layout(frame), Layout::whole((513, 289)));
        let square = Layout { picture: (513, 289), canvas: (513, 513) };
        assert_eq!(rule(513, Fit::LongerOfSquare, 1).layout(frame), square);
        assert_eq!(rule(513, Fit::LongerOfSquare, 1).layout((500, 375)).picture, (500, 375));
    }
}
