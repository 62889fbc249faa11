//! What a model's settings say of what goes into its network and what comes out.

use segue_nn::{Normalisation, Sampling};
use segue_plugin::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Names of all rules, to be taken out of a model's settings.
const NAMES: [&str; 11] = [
    "input",
    "output",
    "values",
    "mean",
    "deviation",
    "channels",
    "fit",
    "input_size_px",
    "kind",
    "sigmoid",
    "sampling",
];

/// All of them; what the network tells may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// The network's input; the only one when left out.
    pub input: Option<String>,
    /// The network's output; the first one when left out.
    pub output: Option<String>,
    /// What a byte of a pixel becomes; itself for a network that takes bytes, else by ImageNet's mean.
    pub values: Option<Values>,
    /// In place of `values`: subtracted from each channel's 0 to 1 ...
    pub mean: Option<[f32; 3]>,
    /// ... and what the difference is divided by.
    pub deviation: Option<[f32; 3]>,
    /// In which order the network wants a pixel's channels.
    pub channels: Channels,
    /// How a frame of another shape becomes the input.
    pub fit: Fit,
    /// Width and height, for a network that takes any.
    pub input_size_px: Option<[usize; 2]>,
    /// What the output is.
    pub kind: Option<Kind>,
    /// Whether the output is to go through a sigmoid, for a matte; as the network's last operator tells when left out.
    pub sigmoid: Option<bool>,
    /// How scores lie over the input.
    pub sampling: SamplingName,
}

impl Rules {
    /// Takes the rules out of a model's `settings`; what is left there is the backend's own.
    pub fn take_from(settings: &mut Map<String, Value>) -> Result<Self> {
        let known: Map<_, _> = NAMES.iter().filter_map(|&name| settings.remove_entry(name)).collect();
        serde_json::from_value(Value::Object(known)).map_err(|error| Error::new(format!("the settings: {error}")))
    }

    /// How pixels become the numbers of an input that is made of `bytes`, or of floats.
    pub fn normalisation(&self, bytes: bool) -> Normalisation {
        let named = match self.values.unwrap_or(if bytes { Values::Bytes } else { Values::Imagenet }) {
            Values::Imagenet => Normalisation::IMAGE_NET,
            Values::Unit => Normalisation::UNIT,
            Values::Signed => Normalisation::SIGNED,
            Values::Bytes => Normalisation { mean: [0.0; 3], scale: [255.0; 3] },
        };
        Normalisation {
            mean: self.mean.unwrap_or(named.mean),
            scale: self.deviation.map_or(named.scale, |deviation| deviation.map(|value| 1.0 / value)),
        }
    }
}

/// What a byte of a pixel becomes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Values {
    /// By the mean and the deviation of ImageNet's pictures.
    Imagenet,
    /// 0 to 1.
    Unit,
    /// -1 to 1.
    Signed,
    /// 0 to 255.
    Bytes,
}

/// The order of a pixel's channels.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first.
    Bgr,
}

/// How a frame of another shape becomes the input.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Both sides are resized: the aspect is lost.
    #[default]
    Stretch,
    /// Shrunk to fit, at the top left of a grey input.
    Pad,
    /// The longer side gets the size, the other one follows, both in multiples of 32; for networks that take any size.
    Keep,
}

/// What an output is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A score for each class.
    Scores,
    /// Class ids.
    Labels,
    /// How much of each pixel is foreground.
    Matte,
}

impl Kind {
    /// As settings have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scores => "scores",
            Self::Labels => "labels",
            Self::Matte => "matte",
        }
    }
}

/// How scores lie over the input.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum SamplingName {
    /// Pixels are squares, and corners are corners of squares.
    #[default]
    HalfPixelCentres,
    /// The middles of the corners lie on each other.
    AlignedCorners,
}

impl From<SamplingName> for Sampling {
    fn from(name: SamplingName) -> Self {
        match name {
            SamplingName::HalfPixelCentres => Self::HalfPixelCentres,
            SamplingName::AlignedCorners => Self::AlignedCorners,
        }
    }
}
