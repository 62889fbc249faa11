//! Plugins: find their files, check them before any of their code runs, open them, call them.
//!
//! On a frame's path this is where `pipeline` hands the pixels to a backend. It is the server's only unsafe code.
//!
//! Architecture invariant: what is opened is a private copy, which nobody changes, and its hash and descriptor are judged
//! before any of its code runs. An opened library is never closed.
#![allow(unsafe_code, reason = "opening shared libraries and calling through the C ABI is what this module is for")]

mod callbacks;
mod check;
mod direct;
mod find;
mod instance;
mod memory;
mod open;
mod program;
mod trial;
mod worker;

pub use check::{CheckError, Descriptor};
pub use direct::propose;
pub use find::{FoundPlugin, PluginFile, find, find_with, plugin_paths};
pub use instance::{
    Build, FrameCall, Instance, InstanceError, InstanceInfo, ModelSpec, RunningCall, StageMicros, TraceContext,
    WeightsFile,
};
pub use memory::{bound_arenas, give_back_memory};
pub use open::{Library, OpenError};
pub use program::DEFAULT_INTERPRETER;
pub use trial::{Candidate, Heard, Trial};
pub use worker::{Running, WorkerImage, WorkerLimits, run_worker};
