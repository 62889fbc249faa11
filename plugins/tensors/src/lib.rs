//! From frames to the tensors of any network, and from its tensors to masks: what backends share that run networks which they
//! did not write.
//!
//! [`Rules`] are what a model's settings say of it, [`Input`] makes its input of a frame, and [`Output`] a mask of what it gives.

mod input;
mod output;
mod rules;
mod tensor;

pub use input::Input;
pub use output::{Output, Reading};
pub use rules::{Channels, Fit, Kind, Rules};
pub use tensor::{Element, Tensor, Values};
