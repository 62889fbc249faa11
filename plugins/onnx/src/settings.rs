//! What a model of the catalog, or a mode, can set.

use std::path::PathBuf;

use segue_nn::{Normalisation, Sampling};
use serde::Deserialize;

/// All of it; what the graph tells may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// The graph's input; the only one when left out.
    pub(crate) input: Option<String>,
    /// The graph's output; the first one when left out.
    pub(crate) output: Option<String>,
    /// What a byte of a pixel becomes; itself for a graph that takes bytes, else by ImageNet's mean.
    pub(crate) values: Option<Values>,
    /// In place of `values`: subtracted from each channel's 0 to 1 ...
    pub(crate) mean: Option<[f32; 3]>,
    /// ... and what the difference is divided by.
    pub(crate) deviation: Option<[f32; 3]>,
    /// In which order the graph wants a pixel's channels.
    pub(crate) channels: Channels,
    /// How a frame of another shape becomes the input.
    pub(crate) fit: Fit,
    /// Width and height, for a graph that takes any.
    pub(crate) input_size_px: Option<[usize; 2]>,
    /// What the output is.
    pub(crate) kind: Option<Kind>,
    /// Whether the output is to go through a sigmoid, for a matte; as the graph's last operator tells when left out.
    pub(crate) sigmoid: Option<bool>,
    /// How scores lie over the input.
    pub(crate) sampling: SamplingName,
    /// What runs the graph.
    pub(crate) engine: EngineName,
    /// ONNX Runtime's library, where it lies in no usual place.
    pub(crate) runtime: Option<PathBuf>,
    /// Where ONNX Runtime runs it.
    pub(crate) device: Device,
}

impl Settings {
    /// How pixels become the numbers of an input that is made of `bytes`, or of floats.
    pub(crate) fn normalisation(&self, bytes: bool) -> Normalisation {
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
pub(crate) enum Values {
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
pub(crate) enum Channels {
    #[default]
    Rgb,
    Bgr,
}

/// How a frame of another shape becomes the input.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fit {
    /// Both sides are resized: the aspect is lost.
    #[default]
    Stretch,
    /// Shrunk to fit, at the top left of a grey input.
    Pad,
    /// The longer side gets the size, the other one follows, both in multiples of 32; for graphs that take any size.
    Keep,
}

/// What an output is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A score for each class.
    Scores,
    /// Class ids.
    Labels,
    /// How much of each pixel is foreground.
    Matte,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
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
pub(crate) enum SamplingName {
    #[default]
    HalfPixelCentres,
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

/// What runs a graph.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EngineName {
    /// ONNX Runtime where its library is found, else rten.
    #[default]
    Auto,
    OnnxRuntime,
    Rten,
}

/// Where ONNX Runtime runs a graph.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Device {
    /// On an NVIDIA card where library and card are there, else on the CPU.
    #[default]
    Auto,
    Cpu,
    Cuda,
}
