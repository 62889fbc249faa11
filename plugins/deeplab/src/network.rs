//! A backbone and a head.

use segue_nn::network::{LoadError, Network};
use segue_nn::weights::Weights;
use segue_nn::{Engine, EngineResult};

use crate::backend::{Architecture, Settings};
use crate::head::{AtrousHead, PooledHead};
use crate::mobilenet_v2::MobileNetV2;
use crate::mobilenet_v3::MobileNetV3;
use crate::resnet::ResNet;

/// One of the three networks.
pub enum DeepLabNetwork<E: Engine> {
    /// With MobileNetV2.
    MobileNetV2(MobileNetV2<E>, PooledHead<E>),
    /// With MobileNetV3-Large.
    MobileNetV3(MobileNetV3<E>, AtrousHead<E>),
    /// With ResNet-50.
    ResNet(ResNet<E>, AtrousHead<E>),
}

/// torchvision's second head, which helps in training alone, and MobileNetV2's last layer, which only its
/// classification head reads.
fn is_unread(name: &str) -> bool {
    name.starts_with("aux_classifier.") || name.starts_with("mobilenet_v2.conv_1x1.")
}

impl<E: Engine> Network<E> for DeepLabNetwork<E> {
    type Settings = Settings;

    fn load(engine: &E, weights: &Weights, settings: &Settings) -> Result<Self, LoadError> {
        let root = &weights.root();
        let network = match settings.architecture {
            Architecture::MobileNetV2 => {
                let (backbone, head) = crate::mobilenet_v2::load(engine, root, settings.output_stride)?;
                Self::MobileNetV2(backbone, head)
            }
            Architecture::MobileNetV3Large => {
                let backbone = MobileNetV3::load(engine, &root.at("backbone"))?;
                Self::MobileNetV3(
                    backbone,
                    AtrousHead::load(engine, &root.at("classifier"), MobileNetV3::<E>::OUTPUTS)?,
                )
            }
            Architecture::ResNet50 => {
                let backbone = ResNet::load(engine, &root.at("backbone"))?;
                Self::ResNet(backbone, AtrousHead::load(engine, &root.at("classifier"), ResNet::<E>::OUTPUTS)?)
            }
        };
        weights.finish(is_unread)?;
        Ok(network)
    }

    fn classes(&self) -> usize {
        match self {
            Self::MobileNetV2(_, head) => head.classes(),
            Self::MobileNetV3(_, head) | Self::ResNet(_, head) => head.classes(),
        }
    }

    fn scores(&mut self, engine: &mut E, input: E::Image) -> EngineResult<E::Image> {
        match self {
            Self::MobileNetV2(backbone, head) => {
                let features = backbone.forward(engine, input)?;
                head.forward(engine, features)
            }
            Self::MobileNetV3(backbone, head) => {
                let features = backbone.forward(engine, input)?;
                head.forward(engine, features)
            }
            Self::ResNet(backbone, head) => {
                let features = backbone.forward(engine, input)?;
                head.forward(engine, features)
            }
        }
    }
}
