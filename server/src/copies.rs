//! Private copies of files that others may overwrite or cut short at any moment: plugins, and weights of a lab's own.
//!
//! A copy is named by its content's hash and never changes. Whoever uses one holds a shared lock on it; those that
//! nobody uses are removed when the next copy is made.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::file;

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
        let name = original.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let path = self.directory.join(format!("{sha256}-{name}"));
        let failed = |source| CopyError::Write { path: path.clone(), source };
        // Another server may remove a copy between our making it and our locking it: then it is made again.
        loop {
            if let Some(copy) = find(&path, sha256) {
                return Ok(Arc::new(copy));
            }
            self.sweep();
            let copied = self.copy(original, &path).map_err(failed)?;
            if copied != sha256 {
                // The file has the name of another content: nobody may find it there.
                let _ = fs::remove_file(&path);
                return Err(CopyError::Changed);
            }
        }
    }

    /// Copies by rename, so that nobody ever sees half a file; the SHA-256 of what was copied.
    fn copy(&self, original: &Path, path: &Path) -> io::Result<String> {
        fs::create_dir_all(&self.directory)?;
        let mut copy = tempfile::NamedTempFile::new_in(&self.directory)?;
        copy.as_file().lock_shared()?;
        io::copy(&mut file::open(original)?, &mut copy)?;
        let sha256 = file::sha256(copy.path())?;
        copy.persist(path)?;
        Ok(sha256)
    }

    /// Removes what nobody uses.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_unused = file::open(&path).is_ok_and(|file| file.try_lock().is_ok() && is_at(&file, &path));
            if is_unused {
                // Another server may have been faster.
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

/// The copy at `path`, if it is there and whole.
fn find(path: &Path, sha256: &str) -> Option<PrivateCopy> {
    let in_use = file::open(path).ok()?;
    in_use.lock_shared().ok()?;
    let is_right = is_at(&in_use, path) && file::sha256(path).is_ok_and(|found| found == sha256);
    is_right.then(|| PrivateCopy { path: path.to_owned(), _in_use: in_use })
}

/// Whether `file` is still the one that has the name `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
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
        let other_server = Copies::new(folder.path().join("copies"));
        other_server.sweep();
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
        assert_eq!(fs::read_dir(folder.path().join("copies"))?.count(), 0);
        Ok(())
    }
}
