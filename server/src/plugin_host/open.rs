//! Opens a checked plugin from a private copy, and never closes it.

use std::{
    collections::HashMap,
    mem::{ManuallyDrop, MaybeUninit},
    path::Path,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use libloading::os::unix::{Library as OsLibrary, RTLD_LOCAL, RTLD_NOW};
use segue_abi as abi;

use super::{CheckError, Descriptor, PluginFile, callbacks::HostTable, check::check};
use crate::{
    copies::{Copies, CopyError, PrivateCopy},
    file,
};

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
    _copy: Option<Arc<PrivateCopy>>,
}

/// Why a checked plugin could not be opened.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum OpenError {
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("the loader refuses it")]
    Load(#[source] libloading::Error),
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error("the plugin's private copy was changed")]
    CopyChanged,
    #[error("it is a program, which runs in a process of its own: isolation = \"process\"")]
    Program,
    #[error("its descriptor in memory is not the one in its file")]
    Changed,
}

impl Library {
    /// Opens `file` from a copy of its own, once: a build that is asked for again is open already.
    pub fn open(file: &PluginFile, copies: &Copies) -> Result<Arc<Self>, OpenError> {
        if file.descriptor.is_program {
            return Err(OpenError::Program);
        }
        static OPEN: LazyLock<Mutex<HashMap<String, Arc<Library>>>> = LazyLock::new(Mutex::default);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = open.get(&file.sha256) {
            return Ok(Arc::clone(library));
        }
        let copy = copies.keep(&file.path, &file.sha256)?;
        // What was read at first may have been overwritten between its check and its hash.
        let copied = check(file::open(copy.path()).map_err(|_gone| OpenError::Changed)?);
        if !copied.is_ok_and(|descriptor| descriptor == file.descriptor) {
            return Err(OpenError::Changed);
        }
        let library = Arc::new(Self { _copy: Some(copy.clone()), ..Self::open_at(file, copy.path())? });
        open.insert(file.sha256.clone(), Arc::clone(&library));
        Ok(library)
    }

    /// Opens the private copy at `path`, in a process that has only been told of it and of its SHA-256.
    pub(super) fn open_copy(path: &Path, sha256: &str) -> Result<Self, OpenError> {
        let file = PluginFile::read(path)?;
        if file.sha256 != sha256 {
            return Err(OpenError::CopyChanged);
        }
        Self::open_at(&file, path)
    }

    /// Opens the private copy of `file` at `path`.
    fn open_at(file: &PluginFile, path: &Path) -> Result<Self, OpenError> {
        // SAFETY: `check` found a Segue descriptor in exactly these bytes; running the plugin's initialisers is
        // what its operator asked for by installing it.
        let library = unsafe { OsLibrary::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(OpenError::Load)?;
        let library = ManuallyDrop::new(library);
        // SAFETY: the ABI has this symbol be a `Plugin`, and `check` has read its magic number and its size.
        let symbol = unsafe { library.get::<*const abi::Plugin>(abi::PLUGIN_SYMBOL.as_bytes()) };
        let pointer = *symbol.map_err(OpenError::Load)?;
        let plugin = Box::leak(Box::new(read_descriptor(pointer)));
        if plugin.magic != abi::MAGIC || plugin.abi_major != abi::ABI_MAJOR {
            return Err(OpenError::Changed);
        }
        let host = HostTable::leak(&file.descriptor.name);
        let (descriptor, sha256) = (file.descriptor.clone(), file.sha256.clone());
        Ok(Self { descriptor, sha256, plugin, host, _library: library, _copy: None })
    }
}

/// The descriptor at `pointer`, where `check` has found one: an older one is shorter, and has none of the functions that came later.
fn read_descriptor(pointer: *const abi::Plugin) -> abi::Plugin {
    let mut whole = MaybeUninit::<abi::Plugin>::zeroed();
    // SAFETY: `check` has judged that the descriptor has at least its `struct_size`, which lies in its first part.
    let len_bytes = unsafe { (&raw const (*pointer).struct_size).read() } as usize;
    // SAFETY: so many bytes are there, and so many fit. Zeros are a missing function, or a number.
    unsafe {
        whole.as_mut_ptr().cast::<u8>().copy_from(pointer.cast(), len_bytes.min(size_of::<abi::Plugin>()));
        whole.assume_init()
    }
}
