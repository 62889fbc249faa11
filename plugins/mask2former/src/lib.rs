//! Mask2Former (Cheng et al., "Masked-attention mask transformer for universal image segmentation", 2022) with Swin
//! (Liu et al., "Swin transformer", 2021) as a plugin, for semantic segmentation, as Hugging Face's checkpoints have it.
//!
//! A backbone gives features at four sizes, a pixel decoder makes them speak of each other, and a decoder's queries look
//! at them through masks of their own making. Each query says what it is and where; the classes of a pixel are what the
//! queries that claim it say.
//!
//! Architecture invariant: a network is made of a file's parameters by name, all of them; what the file has beyond the
//! network, what only training needs aside, is an error.

mod backend;
mod decoder;
mod layers;
mod naming;
mod network;
mod pixel_decoder;
mod positions;
mod swin;
mod windows;

pub use backend::{Mask2Former, Settings, Size, segue_plugin_v1};
pub use decoder::Prediction;
pub use network::Mask2FormerNetwork;
