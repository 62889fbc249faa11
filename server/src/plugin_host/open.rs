//! Opens a checked plugin from a private copy, and never closes it.

use std::{
    fs,
    io::{self, Write},
    mem::ManuallyDrop,
    path::{Path, PathBuf},
    sync::Arc,
};

use libloading::os::unix::{Library as OsLibrary, RTLD_LOCAL, RTLD_NOW};
use segue_abi as abi;

use super::{Descriptor, PluginFile, callbacks::HostTable};

/// An opened plugin.
pub struct Library {
    /// What it says of itself.
    pub descriptor: Descriptor,
    /// SHA-256 of its content, in hex.
    pub sha256: String,
    pub(super) plugin: &'static abi::Plugin,
    pub(super) host: &'static HostTable,
    /// Threads and thread-local state of the plugin may outlive us, so it stays mapped for good.
    _library: ManuallyDrop<OsLibrary>,
}

/// Why a checked plugin could not be opened.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum OpenError {
    #[error("can't write the private copy {}", path.display())]
    Copy { path: PathBuf, source: io::Error },
    #[error("the loader refuses it")]
    Load(#[source] libloading::Error),
    #[error("its descriptor in memory is not the one in its file")]
    Changed,
}

impl Library {
    /// Opens `file` from a copy in `copies`, a directory that only this program writes to.
    pub fn open(file: &PluginFile, copies: &Path) -> Result<Arc<Self>, OpenError> {
        Self::open_copy(file, &private_copy(file, copies)?)
    }

    /// Opens `copy`, which holds exactly what `file` does.
    pub(super) fn open_copy(file: &PluginFile, copy: &Path) -> Result<Arc<Self>, OpenError> {
        // SAFETY: `check` found a Segue descriptor in exactly these bytes; running the plugin's initialisers is
        // what its operator asked for by installing it.
        let library = unsafe { OsLibrary::open(Some(copy), RTLD_NOW | RTLD_LOCAL) }.map_err(OpenError::Load)?;
        let library = ManuallyDrop::new(library);
        // SAFETY: the ABI has this symbol be a `Plugin`, and `check` has read its magic number and its size.
        let symbol = unsafe { library.get::<*const abi::Plugin>(abi::PLUGIN_SYMBOL.as_bytes()) };
        let pointer = *symbol.map_err(OpenError::Load)?;
        // SAFETY: the static lives as long as the library is open, which is for good.
        let plugin: &'static abi::Plugin = unsafe { &*pointer };
        if plugin.magic != abi::MAGIC || plugin.abi_major != abi::ABI_MAJOR {
            return Err(OpenError::Changed);
        }
        let host = HostTable::leak(&file.descriptor.name);
        let (descriptor, sha256) = (file.descriptor.clone(), file.sha256.clone());
        Ok(Arc::new(Self { descriptor, sha256, plugin, host, _library: library }))
    }
}

/// A copy named by the content's hash. glibc takes two files of one path for the same library, so each content
/// has a path of its own; and nobody overwrites a file that a process has mapped.
pub(super) fn private_copy(file: &PluginFile, copies: &Path) -> Result<PathBuf, OpenError> {
    let path = copies.join(format!("{}-{}.{}", file.descriptor.name, file.sha256, std::env::consts::DLL_EXTENSION));
    let is_there = fs::read(&path).is_ok_and(|content| content == file.content);
    if !is_there {
        write_atomically(&path, copies, &file.content)
            .map_err(|source| OpenError::Copy { path: path.clone(), source })?;
    }
    Ok(path)
}

fn write_atomically(path: &Path, directory: &Path, content: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.persist(path)?;
    Ok(())
}
