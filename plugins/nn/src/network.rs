//! From a network to a backend: settings, the frame's way in, the mask's way out.
//!
//! A plugin writes its network over [`Engine`] and says by [`Family`] how its input is made; what all networks have
//! alike is here.

mod running;

use segue_plugin::{Backend, Call, Class, Error, Frame, Info, Mask, Model, Result};
use serde::{Deserialize, de::DeserializeOwned};

use self::running::Running;
use crate::weights::{Weights, WeightsError};
use crate::{Engine, EngineError, EngineResult, Layout, Normalisation, Sampling, Scores};

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
    /// 16 bits, 8 of them exponent. A CPU multiplies so and sums in f32; one without instructions for it computes in
    /// f32.
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
    running: Running<F>,
    classes: Vec<Class>,
    rule: InputRule,
}

impl<F: Family> Backend for NetworkBackend<F> {
    fn load(model: &Model<'_>) -> Result<Self> {
        let settings: F::Settings = model.settings()?;
        let common = F::common(&settings);
        check_device(common)?;
        let path = model.require_weights()?;
        let weights = Weights::open(path).map_err(Error::new)?;
        let rule = F::input(&settings);
        let rule = InputRule { size: input_size(common)?.unwrap_or(rule.size), ..rule };
        let (running, count) = Running::load(common, model.max_threads, &weights, &settings, rule)?;
        Ok(Self { running, classes: model.classes_of(count)?, rule })
    }

    fn info(&self) -> Info {
        let square = (self.rule.size as u32, self.rule.size as u32);
        let input_size_px = (self.rule.fit == Fit::Stretch).then_some(square);
        Info { input_size_px, classes: self.classes.clone(), has_confidence: true, memory_bytes: 0 }
    }

    fn segment(&mut self, frame: &Frame<'_>, mask: &mut Mask<'_>, call: &Call<'_>) -> Result<()> {
        self.running.segment(frame, mask, call)
    }

    fn warm_up(&mut self) -> Result<()> {
        self.running.warm_up()
    }
}

fn check_device(common: Common) -> Result<()> {
    match common.device {
        Device::Cuda if cfg!(feature = "cuda") => return Ok(()),
        Device::Cuda => {
            return Err(Error::new(
                "device = \"cuda\": this build of the plugin runs on the CPU alone; build it with `--features cuda`, or write device = \"cpu\"",
            ));
        }
        Device::Cpu => {}
    }
    match common.precision {
        Precision::F32 | Precision::Bf16 => Ok(()),
        Precision::F16 => {
            Err(Error::new("precision = \"f16\" is for device = \"cuda\"; the CPU computes in \"f32\" or \"bf16\""))
        }
    }
}

/// The size that the settings ask for, if a network can have it: below, the deepest stages have no pixels; above, memory ends.
fn input_size(common: Common) -> Result<Option<usize>> {
    match common.input_size_px {
        Some(size) if !(32..=4096).contains(&size) => {
            Err(Error::new(format!("input_size_px = {size} is out of range; write 32 to 4096")))
        }
        size => Ok(size),
    }
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
