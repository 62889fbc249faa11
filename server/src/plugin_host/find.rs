//! Finds plugin files in a directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{CheckError, Descriptor, check::check, program};
use crate::file;

/// A plugin file that passed the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says of itself.
    pub descriptor: Descriptor,
    /// SHA-256 of its content, in hex: the name of its build.
    pub sha256: String,
}

impl PluginFile {
    /// Reads and checks the file at `path`, which is to be run: it must not be everybody's to write.
    pub fn trusted(path: &Path) -> Result<Self, CheckError> {
        let plugin = Self::read(path)?;
        file::refuse_writable_by_all(path).map_err(CheckError::Unreadable)?;
        Ok(plugin)
    }

    /// Reads and checks the file at `path`.
    pub fn read(path: &Path) -> Result<Self, CheckError> {
        let content = file::open(path).map_err(CheckError::Unreadable)?;
        let descriptor = if is_program(path) { program::check(content)? } else { check(content)? };
        let sha256 = file::sha256(path).map_err(CheckError::Unreadable)?;
        Ok(Self { path: path.to_owned(), descriptor, sha256 })
    }
}

/// A file of the plugin directory, and whether it can be used.
pub struct FoundPlugin {
    /// Where it lies.
    pub path: PathBuf,
    /// The plugin, or why it is refused.
    pub plugin: Result<PluginFile, CheckError>,
    /// The file of another plugin of this name that comes first: then only a mode that names this one's file uses it.
    pub is_behind: Option<PathBuf>,
}

/// Looks at every plugin directly in `directory`, in the order of their names.
pub fn find(directory: &Path) -> io::Result<Vec<FoundPlugin>> {
    find_with(directory, PluginFile::trusted)
}

/// As [`find`], with files read by `read`.
pub fn find_with(
    directory: &Path,
    read: impl Fn(&Path) -> Result<PluginFile, CheckError>,
) -> io::Result<Vec<FoundPlugin>> {
    let mut found: Vec<FoundPlugin> = Vec::new();
    for path in plugin_paths(directory)? {
        let plugin = read(&path);
        let is_behind = plugin.as_ref().ok().and_then(|file| path_of(&found, &file.descriptor.name));
        found.push(FoundPlugin { path, plugin, is_behind });
    }
    Ok(found)
}

/// Every file directly in `directory` that looks like a plugin, in the order of their names.
pub fn plugin_paths(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths =
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    let is_library = |path: &PathBuf| path.extension().is_some_and(|ending| ending == std::env::consts::DLL_EXTENSION);
    paths.retain(|path| is_library(path) || is_program(path));
    paths.sort();
    Ok(paths)
}

fn is_program(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == program::EXTENSION)
}

fn path_of(found: &[FoundPlugin], name: &str) -> Option<PathBuf> {
    let same = |plugin: &&PluginFile| plugin.descriptor.name == name;
    found.iter().filter_map(|other| other.plugin.as_ref().ok()).find(same).map(|plugin| plugin.path.clone())
}
