//! The networks, their inputs' sizes, and how fast they are meant to be.

use segue_nn::Level;

use crate::Precision;

/// One network at one size.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Height and width of the input.
    pub(crate) size: [usize; 2],
    pub(crate) model: Model,
    /// The time of a pass that is wanted, as a share of ONNX Runtime's, both in f32.
    f32_target: f64,
    /// Whether it is run in bf16, too.
    pub(crate) has_bf16: bool,
}

/// Where its weights come from.
#[derive(Clone, Copy)]
pub(crate) enum Model {
    /// A TensorFlow Lite file of MediaPipe's.
    Selfie(&'static str),
    /// The formula, for an architecture of `architectures.py`.
    Formula(Family, &'static str),
}

/// Which of our crates has the network.
#[derive(Clone, Copy)]
pub(crate) enum Family {
    DeepLab(&'static str),
    SegFormer,
    Mask2Former,
}

impl Case {
    /// What our time beside the peer's is meant to be at most: in bf16, and where all are kept to fewer instructions than
    /// the CPU has, as long.
    pub(crate) fn target(&self, precision: Precision, level: Level) -> f64 {
        if precision == Precision::F32 && level == Level::best() { self.f32_target } else { 1.0 }
    }
}

const V2_OS16: Model =
    deeplab("deeplabv3_mobilenet_v2_os16", r#"{"architecture": "mobilenet-v2", "output_stride": 16}"#);
const V2_OS8: Model = deeplab("deeplabv3_mobilenet_v2_os8", r#"{"architecture": "mobilenet-v2", "output_stride": 8}"#);
const V3: Model = deeplab("deeplabv3_mobilenet_v3_large", r#"{"architecture": "mobilenet-v3-large"}"#);
const RESNET: Model = deeplab("deeplabv3_resnet50", r#"{"architecture": "resnet50"}"#);
const B0: Model = Model::Formula(Family::SegFormer, "segformer-b0");
const B3: Model = Model::Formula(Family::SegFormer, "segformer-b3");
const SWIN_TINY: Model = Model::Formula(Family::Mask2Former, "mask2former-swin-tiny");
const SWIN_LARGE: Model = Model::Formula(Family::Mask2Former, "mask2former-swin-large");

pub(crate) const CASES: [Case; 11] = [
    selfie("selfie-256x256", [256, 256], "selfie_segmentation.tflite"),
    selfie("selfie-landscape-144x256", [144, 256], "selfie_segmentation_landscape.tflite"),
    square("deeplab-mobilenet-v2-os16-513", 513, V2_OS16, 0.8),
    square("deeplab-mobilenet-v2-os8-513", 513, V2_OS8, 0.8),
    square("deeplab-mobilenet-v3-large-512", 512, V3, 0.8),
    square("deeplab-mobilenet-v3-large-320", 320, V3, 0.8),
    square("deeplab-resnet50-512", 512, RESNET, 0.8),
    square("segformer-b0-512", 512, B0, 0.55),
    square("segformer-b0-256", 256, B0, 0.55),
    square("segformer-b3-512", 512, B3, 0.55),
    square("mask2former-swin-tiny-512", 512, SWIN_TINY, 0.7),
];

/// Those that want a card.
pub(crate) const CARD_CASES: [Case; 3] = [
    square("deeplab-resnet50-512", 512, RESNET, 1.0),
    square("segformer-b3-512", 512, B3, 1.0),
    square("mask2former-swin-large-512", 512, SWIN_LARGE, 1.0),
];

const fn deeplab(architecture: &'static str, settings: &'static str) -> Model {
    Model::Formula(Family::DeepLab(settings), architecture)
}

const fn selfie(name: &'static str, size: [usize; 2], file: &'static str) -> Case {
    Case { name, size, model: Model::Selfie(file), f32_target: 0.7, has_bf16: false }
}

const fn square(name: &'static str, side: usize, model: Model, f32_target: f64) -> Case {
    Case { name, size: [side; 2], model, f32_target, has_bf16: true }
}

impl Case {
    /// Height x width x 3.
    pub(crate) fn pixels(&self) -> Vec<f32> {
        let [height, width] = self.size;
        match self.model {
            // From 0 to 1, as this network wants them.
            Model::Selfie(_) => (0..height * width * 3).map(|i| (i * 7919 % 256) as f32 / 255.0).collect(),
            Model::Formula(..) => segue_parity::pixels(height, width),
        }
    }
}
