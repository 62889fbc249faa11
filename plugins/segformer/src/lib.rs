//! SegFormer (Xie et al., "SegFormer: simple and efficient design for semantic segmentation with transformers", 2021)
//! as a plugin, B0 to B5, from Hugging Face's parameters.
//!
//! Architecture invariant: all of a file's parameters are read, and the network's size is what their shapes say.

mod backend;
mod block;
mod head;
mod naming;
mod network;

pub use backend::{SegFormer, Settings, Size, segue_plugin_v1};
pub use network::SegFormerNetwork;
