//! The cache of weights: what lies there, whether it is what it should be, and how it gets there.
//!
//! Invariant: a file gets its name in the cache only once it is whole and its SHA-256 is the one that the catalog pins,
//! or that its source vouches for. What that was is recorded beside it, and holds from then on.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    catalog::{CatalogEntry, Variant},
    fetch::Step,
};
use crate::file;

/// The largest file of weights.
pub(super) const LARGEST_WEIGHTS_LEN_BYTES: u64 = 8 << 30;

/// A record, and a licence, are a few lines.
const LARGEST_NOTE_LEN_BYTES: u64 = 1 << 16;

/// What is recorded of a file beside it.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Record {
    pub(super) sha256: String,
    pub(super) source: String,
    pub(super) fetched_at: String,
}

/// That somebody accepted a licence.
#[derive(Debug, Deserialize, Serialize)]
struct Acceptance {
    licence: String,
    accepted_at: String,
}

/// Whether a file of weights is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is, with the right content.
    Here {
        /// Where.
        path: PathBuf,
        /// What it is.
        sha256: String,
    },
    /// Something else lies in its place.
    Changed(PathBuf),
    /// It is not.
    Absent,
}

/// Whether anything may be fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Whatever the catalog names.
    #[default]
    Allowed,
    /// Nothing: the operator said so.
    Offline,
}

/// The directory of fetched weights.
#[derive(Clone, Debug)]
pub struct WeightsCache {
    directory: PathBuf,
    /// Where a lab's own weights lie: beside the catalog's entries.
    pub(super) own: PathBuf,
    pub(super) network: Network,
}

impl WeightsCache {
    /// The cache in `directory`; weights that lie in `own` are not fetched.
    pub fn new(directory: impl Into<PathBuf>, own: impl Into<PathBuf>, network: Network) -> Self {
        Self { directory: directory.into(), own: own.into(), network }
    }

    /// Whether `variant` of `model` is there.
    pub fn find(&self, model: &str, variant: &Variant) -> Presence {
        let own = self.own.join(&variant.file);
        if let Ok(sha256) = file::sha256(&own)
            && variant.allows(&sha256)
        {
            return Presence::Here { path: own, sha256 };
        }
        self.find_fetched(model, variant, file::sha256)
    }

    /// Whether `variant` of `model` was fetched, by what `hash` says of files.
    pub(super) fn find_fetched(
        &self,
        model: &str,
        variant: &Variant,
        hash: impl FnOnce(&Path) -> io::Result<String>,
    ) -> Presence {
        let path = self.path(model, &variant.file);
        let sha256 = match hash(&path) {
            Ok(sha256) => sha256,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Presence::Absent,
            Err(_unreadable) => return Presence::Changed(path),
        };
        let is_right = match read_note::<Record>(&record_path(&path)) {
            Some(record) => record.sha256 == sha256,
            // Somebody put it there by hand.
            None => variant.is_pinned(),
        };
        if is_right && variant.allows(&sha256) { Presence::Here { path, sha256 } } else { Presence::Changed(path) }
    }

    /// Its directory, and one for each model of which something was fetched.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let models = fs::read_dir(&self.directory).into_iter().flatten().flatten().map(|entry| entry.path());
        models.filter(|path| path.is_dir()).chain([self.directory.clone()]).collect()
    }

    /// Whether nobody has yet accepted the licence of `model`, and somebody has to.
    pub fn needs_licence(&self, model: &str, entry: &CatalogEntry) -> bool {
        let accepted = || read_note::<Acceptance>(&self.acceptance_path(model));
        entry.non_commercial && accepted().is_none_or(|accepted| accepted.licence != entry.licence)
    }

    /// Records that the licence of `model` is accepted.
    pub fn accept_licence(&self, model: &str, entry: &CatalogEntry) -> io::Result<()> {
        let acceptance = Acceptance { licence: entry.licence.clone(), accepted_at: now() };
        write_note(&self.acceptance_path(model), &acceptance)
    }

    /// Gives what lies at `from` the name `file`. The record first, so that the file is never there without it.
    pub(super) fn put(&self, model: &str, file: &str, from: &Path, record: &Record) -> io::Result<()> {
        let path = self.path(model, file);
        write_note(&record_path(&path), record)?;
        fs::rename(from, &path)
    }

    /// Waits until no other process fetches files of `model`; whoever holds the file that this returns does so alone.
    pub(super) fn lock(&self, model: &str, progress: &dyn Fn(Step<'_>)) -> io::Result<File> {
        fs::create_dir_all(self.directory.join(model))?;
        let lock = File::create(self.path(model, ".lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                progress(Step::Says(&format!("Waiting: another process fetches model {model}")));
                lock.lock()?;
            }
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        Ok(lock)
    }

    /// Where files of `model` grow until they are whole: beside their place, so that a rename takes them there.
    pub(super) fn partial(&self, model: &str) -> PathBuf {
        self.path(model, ".partial")
    }

    pub(super) fn path(&self, model: &str, file: &str) -> PathBuf {
        self.directory.join(model).join(file)
    }

    fn acceptance_path(&self, model: &str) -> PathBuf {
        self.path(model, "accepted-licence.json")
    }
}

fn record_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

pub(super) fn read_note<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&file::read(path, LARGEST_NOTE_LEN_BYTES).ok()?).ok()
}

/// Writes it whole or not at all.
pub(super) fn write_note(path: &Path, note: &impl Serialize) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    serde_json::to_writer_pretty(&mut file, note)?;
    file.persist(path)?;
    Ok(())
}

/// As records have it.
pub(super) fn now() -> String {
    format!("{:.0}", jiff::Timestamp::now())
}
