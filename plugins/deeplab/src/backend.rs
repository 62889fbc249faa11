//! The plugin: settings, and how a frame becomes the input of each network.

use segue_nn::network::{Common, Device, Family, Fit, InputRule, NetworkBackend, Precision};
use segue_nn::{Engine, Normalisation, Sampling, Scores};
use segue_plugin::export_backend;
use serde::Deserialize;

use crate::network::DeepLabNetwork;

/// What a model of the catalog, or a mode, can set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which network the weights are of.
    pub architecture: Architecture,
    /// Input pixels for one pixel of scores.
    #[serde(default)]
    pub output_stride: OutputStride,
    /// Longer side of the input for MobileNetV2 (default 513), shorter side for the others (default 520), in pixels.
    #[serde(default)]
    pub input_size_px: Option<usize>,
    /// Whether MobileNetV2's input is padded to a square, as its reference does it. Without, a 16:9 frame takes a little
    /// more than half the time.
    #[serde(default)]
    pub square: bool,
    /// Where it runs.
    #[serde(default)]
    pub device: Device,
    /// In which numbers.
    #[serde(default)]
    pub precision: Precision,
}

/// The networks.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// Sandler et al., "MobileNetV2", 2018; with pooling for the only context.
    #[serde(rename = "mobilenet-v2")]
    MobileNetV2,
    /// Howard et al., "Searching for MobileNetV3", 2019.
    #[serde(rename = "mobilenet-v3-large")]
    MobileNetV3Large,
    /// He et al., "Deep residual learning", 2016.
    #[serde(rename = "resnet50")]
    ResNet50,
}

/// Input pixels for one pixel of scores.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(try_from = "u32")]
pub enum OutputStride {
    /// Finer, and three times the work.
    #[default]
    Eight,
    /// Coarser.
    Sixteen,
}

impl TryFrom<u32> for OutputStride {
    type Error = String;

    fn try_from(stride: u32) -> Result<Self, String> {
        match stride {
            8 => Ok(Self::Eight),
            16 => Ok(Self::Sixteen),
            other => Err(format!("output_stride = {other}: write 8 or 16")),
        }
    }
}

/// Networks of the family, as `segue-nn` wants them described.
pub struct DeepLab;

impl Family for DeepLab {
    type Settings = Settings;
    type Network<E: Engine> = DeepLabNetwork<E>;
    const SCORES: Scores = Scores::Logits;

    fn common(settings: &Settings) -> Common {
        let Settings { input_size_px, device, precision, .. } = *settings;
        Common { input_size_px, device, precision }
    }

    fn sampling(settings: &Settings) -> Sampling {
        match settings.architecture {
            Architecture::MobileNetV2 => Sampling::AlignedCorners,
            Architecture::MobileNetV3Large | Architecture::ResNet50 => Sampling::HalfPixelCentres,
        }
    }

    fn input(settings: &Settings) -> InputRule {
        match settings.architecture {
            Architecture::MobileNetV2 => InputRule {
                size: 513,
                fit: if settings.square { Fit::LongerOfSquare } else { Fit::Longer },
                multiple_of: 1,
                normalisation: Normalisation::SIGNED,
            },
            Architecture::MobileNetV3Large | Architecture::ResNet50 => InputRule {
                size: 520,
                fit: Fit::Shorter { longest: 4096 },
                multiple_of: 1,
                normalisation: Normalisation::IMAGE_NET,
            },
        }
    }
}

export_backend!(NetworkBackend<DeepLab>, "deeplab");
