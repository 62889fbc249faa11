//! Private copies of files that others may overwrite or cut short at any moment: plugins, and weights of a lab's own.
//!
//! A copy is named by its content's hash and never changes. Whoever uses one holds a shared lock on it; those that
//! nobody uses are removed when the next copy is made.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::file;

/// How much of an original's name is kept, from its end.
const LONGEST_NAME_LEN_BYTES: usize = 100;

/// A directory of private copies. Several servers may share it.
#[derive(Clone, Debug)]
pub struct Copies {
    directory: PathBuf,
}

/// A copy, there for as long as this lives.
#[derive(Debug)]
pub struct PrivateCopy {
    path: PathBuf,
    _in_use: File,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum CopyError {
    #[error("can't write the private copy {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("it was changed while it was copied")]
    Changed,
}

impl Copies {
    /// The copies in `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// A copy of the file `original`, whose content has this SHA-256.
    pub fn keep(&self, original: &Path, sha256: &str) -> Result<Arc<PrivateCopy>, CopyError> {
        let mut name = original.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // A file system takes names of 255 bytes.
        name.drain(..name.floor_char_boundary(name.len().saturating_sub(LONGEST_NAME_LEN_BYTES)));
        let path = self.directory.join(format!("{sha256}-{name}"));
        let failed = |source| CopyError::Write { path: path.clone(), source };
        let _alone = self.lock().map_err(failed)?;
        if !file::sha256(&path).is_ok_and(|found| found == sha256) {
            self.sweep();
            self.copy(original, &path, sha256)?;
        }
        let in_use = file::open(&path).map_err(failed)?;
        in_use.lock_shared().map_err(failed)?;
        Ok(Arc::new(PrivateCopy { path, _in_use: in_use }))
    }

    /// Keeps other threads and other servers from making and removing copies meanwhile.
    fn lock(&self) -> io::Result<File> {
        fs::create_dir_all(&self.directory)?;
        let lock = File::create(self.directory.join(".lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    /// Copies by rename, so that nobody ever sees half a file.
    fn copy(&self, original: &Path, path: &Path, sha256: &str) -> Result<(), CopyError> {
        let failed = |source| CopyError::Write { path: path.to_owned(), source };
        let mut copy = tempfile::NamedTempFile::new_in(&self.directory).map_err(failed)?;
        let mut original = file::open(original).map_err(failed)?;
        io::copy(&mut original, copy.as_file_mut()).map_err(failed)?;
        if file::sha256(copy.path()).map_err(failed)? != sha256 {
            return Err(CopyError::Changed);
        }
        copy.persist(path).map(drop).map_err(|error| failed(error.error))
    }

    /// Removes what nobody uses. To be called under the lock.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| !path.ends_with(".lock")) {
            let is_unused = file::open(&path).is_ok_and(|file| file.try_lock().is_ok());
            if is_unused {
                // What can't be removed lies there until next time.
                let _ = fs::remove_file(&path);
            }
        }
    }
}

impl PrivateCopy {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_outlives_its_original_and_is_removed_once_nobody_uses_it() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let (original, copies) = (folder.path().join("lib.so"), Copies::new(folder.path().join("copies")));
        let keep = |text: &str| {
            fs::write(&original, text)?;
            Ok::<_, Box<dyn std::error::Error>>(copies.keep(&original, &file::sha256(&original)?)?)
        };
        let first = keep("first")?;
        let (second, path) = (keep("second")?, first.path().to_owned());
        assert_eq!(fs::read(&path)?, b"first", "it is in use");
        Copies::new(folder.path().join("copies")).sweep();
        assert!(path.exists() && second.path().exists(), "another server sees that");
        drop((first, second));
        keep("third")?;
        assert!(!path.exists(), "nobody uses it any more");
        Ok(())
    }

    #[test]
    fn a_file_that_changes_while_it_is_copied_is_no_copy() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let original = folder.path().join("lib.so");
        fs::write(&original, "now")?;
        let copies = Copies::new(folder.path().join("copies"));
        assert!(matches!(copies.keep(&original, &"0".repeat(64)), Err(CopyError::Changed)));
        assert_eq!(fs::read_dir(folder.path().join("copies"))?.count(), 1, "nothing but the lock");
        Ok(())
    }
}
