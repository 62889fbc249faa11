//! Write a Segue backend in Rust: implement [`Backend`], name it with [`export_backend!`], build a `cdylib`,
//! drop the file into the server's plugin directory.
//!
//! On a frame's path this crate stands between the server's `plugin_host` and the backend's own code. It turns
//! the C ABI of `segue-abi` into safe types, catches panics, and forwards `log` records to the server's log.
//!
//! Invariant: nothing that a backend does in safe code (panic, wrong sizes, odd labels) reaches the server as
//! anything but an error message.

#![allow(unsafe_code, reason = "this crate turns raw pointers of the ABI into safe types")]

pub mod export;
pub mod preprocess;

mod backend;
mod call;
mod error;
mod frame;
mod host;
mod model;

#[doc(hidden)]
pub use segue_abi as abi;

pub use backend::{Backend, Class, Info};
pub use call::{Call, RunningStage, Stage};
pub use error::Error;
pub use frame::{Frame, Mask};
pub use model::Model;

/// What the methods of [`Backend`] return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
