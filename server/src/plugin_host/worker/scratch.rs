//! A folder of its own for a worker that is a program: PyTorch, for one, is not imported without a place for temporary files.
//!
//! It lies in memory, among the devices that a worker may write to. Whoever uses one holds a lock on it; those that nobody uses
//! any more, because their server was killed, are removed when the next one is made.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use tempfile::{Builder, TempDir};

const PLACE: &str = "/dev/shm";
const PREFIX: &str = "segue-scratch-";

/// The folder, there for as long as this lives.
pub(super) struct Scratch {
    folder: TempDir,
    _in_use: File,
}

impl Scratch {
    /// A new one; `None` on a system that has no place for it, and then the worker goes without.
    pub(super) fn new() -> Option<Self> {
        let make = || -> io::Result<Self> {
            // A folder that is not locked yet is not for others to sweep.
            let alone = File::open(PLACE)?;
            alone.lock()?;
            sweep();
            let folder = Builder::new().prefix(PREFIX).tempdir_in(PLACE)?;
            let in_use = File::open(folder.path())?;
            in_use.lock_shared()?;
            Ok(Self { folder, _in_use: in_use })
        };
        make().ok()
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn sweep() {
    for entry in fs::read_dir(PLACE).into_iter().flatten().flatten() {
        let is_scratch = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_scratch && File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok()) {
            // What can't be removed lies there until next time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
