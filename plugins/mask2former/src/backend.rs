//! The plugin: settings, and how a frame becomes the network's input.

use segue_nn::network::{Common, Device, Family, Fit, InputRule, NetworkBackend, Precision};
use segue_nn::{Engine, Normalisation, Sampling, Scores};
use segue_plugin::export_backend;
use serde::Deserialize;

use crate::network::Mask2FormerNetwork;

/// What a model of the catalog, or a mode, can set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which backbone the file is expected to have; it is what its parameters say either way.
    #[serde(default)]
    pub size: Option<Size>,
    /// Side of the square input in pixels (default 384). Frames are stretched to it, as the reference does it.
    #[serde(default)]
    pub input_size_px: Option<usize>,
    /// The frame's shorter side gets that size, and its aspect is kept, as the paper's own program does it.
    #[serde(default)]
    pub keeps_aspect: bool,
    /// Where it runs.
    #[serde(default)]
    pub device: Device,
    /// In which numbers.
    #[serde(default)]
    pub precision: Precision,
}

/// Swin's sizes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the paper's names")]
pub enum Size {
    Tiny,
    Small,
    Base,
    Large,
}

impl Size {
    /// The name that settings have for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Base => "base",
            Self::Large => "large",
        }
    }

    /// How many blocks each of its stages has.
    pub(crate) const fn depths(self) -> [usize; 4] {
        match self {
            Self::Tiny => [2, 2, 6, 2],
            Self::Small | Self::Base | Self::Large => [2, 2, 18, 2],
        }
    }
}

/// Networks of the family, as `segue-nn` wants them described.
pub struct Mask2Former;

impl Family for Mask2Former {
    type Settings = Settings;
    type Network<E: Engine> = Mask2FormerNetwork<E>;
    const SCORES: Scores = Scores::Weights;

    fn common(settings: &Settings) -> Common {
        let Settings { input_size_px, device, precision, .. } = *settings;
        Common { input_size_px, device, precision }
    }

    fn sampling(_: &Settings) -> Sampling {
        Sampling::HalfPixelCentres
    }

    fn input(settings: &Settings) -> InputRule {
        let (fit, multiple_of) = match settings.keeps_aspect {
            true => (Fit::Shorter { longest: 2048 }, 32),
            false => (Fit::Stretch, 1),
        };
        InputRule { size: 384, fit, multiple_of, normalisation: Normalisation::IMAGE_NET }
    }
}

export_backend!(NetworkBackend<Mask2Former>, "mask2former");
