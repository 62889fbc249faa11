//! A lab's own installation: one plugin, a model that names it, a profile with one mode.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{Server, program};

/// A file that was built beside the program.
pub fn built(file: &str) -> Result<PathBuf> {
    Ok(program().parent().context("the program lies in no directory")?.join(file))
}

/// The folders of an installation; gone with the scenario.
pub struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    /// Installs the file `plugin`, whose name is `backend`, as the mode `fast`; `settings` are lines of TOML.
    pub fn install(plugin: &Path, backend: &str, settings: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for part in ["plugins", "models", "profiles"] {
            fs::create_dir(folder.path().join(part))?;
        }
        fs::copy(plugin, folder.path().join("plugins/libinstalled.so"))
            .with_context(|| format!("{} is missing", plugin.display()))?;
        let model = format!("backend = \"{backend}\"\ntitle = \"Test\"\nlicence = \"MIT\"\n\n[settings]\n{settings}\n");
        fs::write(folder.path().join("models/test.toml"), model)?;
        let base = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles/base.toml"))?;
        let (before, rest) = base.split_once("[modes.fast]").context("no mode in base.toml")?;
        let (_, after) = rest.split_once("# What the server accepts.").context("no limits in base.toml")?;
        let profile = format!("{before}[modes.fast]\nmodel = \"test\"\ninstances = 1\n{after}");
        fs::write(folder.path().join("profiles/base.toml"), profile)?;
        Ok(Self { folder })
    }

    /// Starts a server with this installation.
    pub fn serve(&self) -> Result<Server> {
        let part = |name: &str| self.folder.path().join(name).to_string_lossy().into_owned();
        Server::start(&["--plugins", &part("plugins"), "--models", &part("models"), "--profiles", &part("profiles")])
    }
}
