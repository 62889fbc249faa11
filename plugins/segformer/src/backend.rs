//! The plugin: settings, and how a frame becomes the network's input.

use segue_nn::network::{Common, Device, Family, Fit, InputRule, NetworkBackend, Precision};
use segue_nn::{Engine, Normalisation, Sampling, Scores};
use segue_plugin::export_backend;
use serde::Deserialize;

use crate::network::SegFormerNetwork;

/// What a model of the catalog, or a mode, can set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which size the file is expected to be; it is what its parameters say either way.
    #[serde(default)]
    pub size: Option<Size>,
    /// Side of the square input in pixels (default 512). Frames are stretched to it, as the reference does it.
    #[serde(default)]
    pub input_size_px: Option<usize>,
    /// Where it runs.
    #[serde(default)]
    pub device: Device,
    /// In which numbers.
    #[serde(default)]
    pub precision: Precision,
}

/// The paper's sizes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the paper's names")]
pub enum Size {
    B0,
    B1,
    B2,
    B3,
    B4,
    B5,
}

impl Size {
    /// How many blocks each of its stages has.
    pub(crate) const fn depths(self) -> [usize; 4] {
        match self {
            Self::B0 | Self::B1 => [2, 2, 2, 2],
            Self::B2 => [3, 4, 6, 3],
            Self::B3 => [3, 4, 18, 3],
            Self::B4 => [3, 8, 27, 3],
            Self::B5 => [3, 6, 40, 3],
        }
    }

    /// Channels of its first stage.
    pub(crate) const fn width(self) -> usize {
        match self {
            Self::B0 => 32,
            _ => 64,
        }
    }
}

/// Networks of the family, as `segue-nn` wants them described.
pub struct SegFormer;

impl Family for SegFormer {
    type Settings = Settings;
    type Network<E: Engine> = SegFormerNetwork<E>;
    const SCORES: Scores = Scores::Logits;

    fn common(settings: &Settings) -> Common {
        let Settings { input_size_px, device, precision, .. } = *settings;
        Common { input_size_px, device, precision }
    }

    fn sampling(_: &Settings) -> Sampling {
        Sampling::HalfPixelCentres
    }

    fn input(_: &Settings) -> InputRule {
        InputRule { size: 512, fit: Fit::Stretch, multiple_of: 1, normalisation: Normalisation::IMAGE_NET }
    }
}

export_backend!(NetworkBackend<SegFormer>, "segformer");
