//! Worker processes: a plugin runs in a process of its own, and costs no more than that when it crashes.
//!
//! Each instance has one process, which is this program again. Frames and masks lie in memory that both map; two
//! eventfds say that a call begins and ends, and a socket carries what is said once: the model, and what it says of
//! itself.
//!
//! Architecture invariant: nothing that a worker writes is trusted. It is copied out, then judged; sizes are the
//! server's own.

mod child;
pub(super) mod life;
mod parent;
mod running;
pub(super) mod sandbox;
mod scratch;
pub(super) mod setup;
mod shared;

use std::sync::Arc;

use crate::copies::PrivateCopy;

pub(super) use child::end_with_the_server;
pub use child::run_worker;
pub(super) use parent::Worker;
pub use running::Running;
pub(super) use shared::SharedMemory;

/// What a worker process is started with.
#[derive(Debug)]
pub struct WorkerImage {
    /// Name of the plugin.
    pub plugin: String,
    /// SHA-256 of its file, in hex.
    pub sha256: String,
    /// The private copy of its file.
    pub copy: Arc<PrivateCopy>,
    /// What it may use.
    pub limits: WorkerLimits,
    /// Whether it calls other machines.
    pub needs_network: bool,
    /// Whether it is run by an interpreter, rather than opened.
    pub is_program: bool,
    /// The processes that were started with it and have not ended.
    pub running: Running,
}

/// What a worker process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerLimits {
    /// Longest call, in milliseconds.
    pub timeout_millis: u64,
    /// Longest time for loading and warming up the model, in milliseconds.
    pub load_timeout_millis: u64,
    /// Most memory of its own, in bytes.
    pub memory_len_bytes: u64,
}
