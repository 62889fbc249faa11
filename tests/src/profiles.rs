//! Profiles to edit: a copy of those that are shipped.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::Server;

/// A copy of `profiles/`, and room beside it; gone with the scenario.
pub struct Profiles {
    folder: TempDir,
}

impl Profiles {
    /// Copies what is shipped, into memory where there is a folder for that: a busy disk keeps each save waiting.
    pub fn copy() -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
        let copy = folder.path().join("profiles");
        fs::create_dir(&copy)?;
        for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles"))? {
            let entry = entry?;
            fs::copy(entry.path(), copy.join(entry.file_name()))?;
        }
        Ok(Self { folder })
    }

    /// The folder around the copy.
    pub fn outside(&self) -> &Path {
        self.folder.path()
    }

    /// The copy.
    pub fn directory(&self) -> PathBuf {
        self.outside().join("profiles")
    }

    /// The file of the profile `name`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory().join(format!("{name}.toml"))
    }

    /// What the profile `name` says.
    pub fn text(&self, name: &str) -> Result<String> {
        Ok(fs::read_to_string(self.file(name))?)
    }

    /// Saves the profile `name`.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        Ok(fs::write(self.file(name), content)?)
    }

    /// Saves the profile `name` as an overlay on `base` that says `lines`.
    pub fn overlay(&self, name: &str, lines: &str) -> Result<()> {
        self.write(name, format!("extends = \"base\"\n{lines}\n"))
    }

    /// Saves the profile `name` with `new` in place of `old`, which it has once.
    pub fn replace(&self, name: &str, old: &str, new: &str) -> Result<()> {
        let text = self.text(name)?;
        ensure!(text.matches(old).count() == 1, "{name}.toml has {old:?} {} times", text.matches(old).count());
        self.write(name, text.replace(old, new))
    }

    /// Starts a server with these profiles.
    pub fn serve(&self, arguments: &[&str]) -> Result<Server> {
        let directory = self.directory();
        let directory = directory.to_str().context("the temporary directory is no text")?;
        Server::start(&[&["--profiles", directory], arguments].concat())
    }

    /// `text` without the place of this copy, which is another in every run.
    pub fn without_place(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.outside().display()), "")
    }
}
