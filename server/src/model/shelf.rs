//! What lies in the directories of plugins and models now. Files are read again only when the file system says that
//! they changed.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{
    Places, labels,
    weights::{LARGEST_WEIGHTS_LEN_BYTES, WeightsCache},
};
use crate::{
    file::{self, Stamp},
    plugin_host::{CheckError, FoundPlugin, PluginFile, find_with, plugin_paths},
};

/// The directories, and what was read of them.
pub(super) struct Shelf {
    plugins: PathBuf,
    models: PathBuf,
    weights: WeightsCache,
    read_plugins: Readings<PluginFile>,
    hashed: Readings<String>,
}

impl Shelf {
    pub(super) fn new(places: &Places) -> Self {
        Self {
            plugins: places.plugins.clone(),
            models: places.models.clone(),
            weights: places.weights(),
            read_plugins: Readings::default(),
            hashed: Readings::default(),
        }
    }

    /// Every file of the plugin directory that looks like a plugin.
    pub(super) fn plugins(&self) -> io::Result<Vec<FoundPlugin>> {
        find_with(&self.plugins, |path| self.plugin(path))
    }

    /// The plugin in the file `name`, relative to the plugin directory.
    pub(super) fn plugin_in(&self, name: &str) -> (PathBuf, Result<PluginFile, CheckError>) {
        let path = self.plugins.join(name);
        let plugin = self.plugin(&path);
        (path, plugin)
    }

    /// The path and the SHA-256 of the weights `name`, if they lie beside the catalog's entries.
    pub(super) fn weights(&self, name: &str) -> io::Result<Option<(PathBuf, String)>> {
        let path = self.models.join(name);
        match self.hash(&path) {
            Ok(sha256) => Ok(Some((path, sha256))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The SHA-256 of a file, which may be as large as weights are.
    pub(super) fn hash(&self, path: &Path) -> io::Result<String> {
        let len_bytes = fs::metadata(path)?.len();
        if len_bytes > LARGEST_WEIGHTS_LEN_BYTES {
            let what = format!("it has {len_bytes} bytes, and weights at most {LARGEST_WEIGHTS_LEN_BYTES}");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        self.hashed.get(path, || file::sha256(path))
    }

    /// Its directories, and every file in them that may matter.
    pub(super) fn files(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let mut files = plugin_paths(&self.plugins).unwrap_or_default();
        let labels = self.models.join(labels::FOLDER);
        for folder in [&self.models, &labels] {
            files.extend(fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
        let folders = [self.plugins.clone(), self.models.clone(), labels];
        (folders.into_iter().chain(self.weights.folders()).collect(), files)
    }

    fn plugin(&self, path: &Path) -> Result<PluginFile, CheckError> {
        self.read_plugins.get(path, || PluginFile::trusted(path))
    }
}

/// What was read of files, by path. Failures are not kept.
struct Readings<T>(Mutex<HashMap<PathBuf, (Stamp, T)>>);

impl<T> Default for Readings<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Readings<T> {
    fn get<E>(&self, path: &Path, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = Stamp::of(path);
        match known.get(path) {
            Some((stamp, reading)) if Some(*stamp) == before => return Ok(reading.clone()),
            _ => drop(known.remove(path)),
        }
        let reading = read()?;
        if let Some(stamp) = before.filter(|before| Stamp::of(path) == Some(*before)) {
            known.insert(path.to_owned(), (stamp, reading.clone()));
        }
        Ok(reading)
    }
}
