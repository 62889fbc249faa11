//! Finds plugin files in a directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{CheckError, Descriptor, check::check};
use crate::file;

/// A plugin with kernels for a GPU has tens of megabytes.
const LARGEST_PLUGIN_LEN_BYTES: u64 = 1 << 30;

/// A plugin file that was read whole and passed the check.
#[derive(Clone)]
pub struct PluginFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says of itself.
    pub descriptor: Descriptor,
    /// SHA-256 of its content, in hex: the name of its build.
    pub sha256: String,
    pub(super) content: Vec<u8>,
}

impl PluginFile {
    /// Reads and checks the file at `path`.
    pub fn read(path: &Path) -> Result<Self, CheckError> {
        let content = file::read(path, LARGEST_PLUGIN_LEN_BYTES).map_err(CheckError::Unreadable)?;
        let descriptor = check(&content)?;
        let sha256 = hex::encode(Sha256::digest(&content));
        Ok(Self { path: path.to_owned(), descriptor, sha256, content })
    }
}

/// A file of the plugin directory, and whether it can be used.
pub struct FoundPlugin {
    /// Where it lies.
    pub path: PathBuf,
    /// The plugin, or why it is refused.
    pub plugin: Result<PluginFile, CheckError>,
}

/// Looks at every shared library directly in `directory`, in the order of their names. Of two plugins with one
/// name the later file is refused.
pub fn find(directory: &Path) -> io::Result<Vec<FoundPlugin>> {
    let mut paths =
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == std::env::consts::DLL_EXTENSION));
    paths.sort();
    let mut found: Vec<FoundPlugin> = Vec::new();
    for path in paths {
        let mut plugin = PluginFile::read(&path);
        if let Ok(file) = &plugin
            && let Some(first) = path_of(&found, &file.descriptor.name)
        {
            plugin = Err(CheckError::SameName { name: file.descriptor.name.clone(), first });
        }
        found.push(FoundPlugin { path, plugin });
    }
    Ok(found)
}

fn path_of(found: &[FoundPlugin], name: &str) -> Option<PathBuf> {
    let same = |plugin: &&PluginFile| plugin.descriptor.name == name;
    found.iter().filter_map(|other| other.plugin.as_ref().ok()).find(same).map(|plugin| plugin.path.clone())
}
