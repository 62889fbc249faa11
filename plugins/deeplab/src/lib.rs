//! DeepLabV3 (Chen et al., "Rethinking atrous convolution for semantic image segmentation", 2017) as a plugin: with
//! MobileNetV2 as TensorFlow's and Hugging Face's checkpoints have it, with MobileNetV3-Large and ResNet-50 as
//! torchvision's do.
//!
//! Architecture invariant: a network is made of a file's parameters by name, all of them; what the file has beyond
//! the network, the heads that only training needs aside, is an error.

mod backend;
mod blocks;
mod head;
mod mobilenet_v2;
mod mobilenet_v3;
mod network;
mod resnet;

pub use backend::{Architecture, DeepLab, Settings, segue_plugin_v1};
pub use network::DeepLabNetwork;
