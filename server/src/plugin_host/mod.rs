//! Plugins: find their files, check them before any of their code runs, open them, call them.
//!
//! On a frame's path this is where `pipeline` hands the pixels to a backend. It is the server's only unsafe code.
//!
//! Architecture invariant: a plugin file is read once, into memory. What was checked is what is hashed, what is
//! copied and what is opened; nobody can change it in between. An opened library is never closed.
#![allow(unsafe_code, reason = "opening shared libraries and calling through the C ABI is what this module is for")]

mod callbacks;
mod check;
mod direct;
mod find;
mod instance;
mod open;
mod trial;
mod worker;

pub use check::{CheckError, Descriptor};
pub use find::{FoundPlugin, PluginFile, find};
pub use instance::{Build, FrameCall, Instance, InstanceError, InstanceInfo, ModelSpec, RunningCall, StageMicros};
pub use open::{Library, OpenError};
pub use trial::{Candidate, Heard, Trial};
pub use worker::{WorkerImage, WorkerLimits, run_worker};
