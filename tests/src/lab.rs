//! A lab's own installation: plugins, models that name them, a profile with their modes.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{Server, program};

/// A file that was built beside the program.
pub fn built(file: &str) -> Result<PathBuf> {
    Ok(program().parent().context("the program lies in no directory")?.join(file))
}

/// A Python that has numpy and ONNX Runtime. Says loudly what is skipped without it.
pub fn model_python(skipped: &str) -> Option<PathBuf> {
    let python = env::var_os("SEGUE_MODEL_PYTHON").map(PathBuf::from);
    if python.is_none() {
        eprintln!("SKIPPED: {skipped}: SEGUE_MODEL_PYTHON names no Python with numpy and onnxruntime");
    }
    python
}

/// Where weights lie that were fetched before.
fn weights() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("segue/models")).filter(|models| models.is_dir())
}

/// Copies the files of a folder, and those of the folders in it.
fn copy_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, copy) = (entry?.path(), to.to_owned());
        let copy = copy.join(path.file_name().context("no name")?);
        if path.is_dir() {
            copy_all(&path, &copy)?;
        } else {
            fs::copy(&path, &copy)?;
        }
    }
    Ok(())
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

    /// Installs what is shipped, and beside it `misbehaving` as the mode `lab`, of which `mode` says more, in TOML.
    pub fn beside_the_default(mode: &str) -> Result<Self> {
        let lab = Self { folder: tempfile::tempdir()? };
        for part in ["plugins", "models", "profiles", "cache"] {
            fs::create_dir(lab.path(part))?;
        }
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        for (from, to) in [
            (built("plugins/libselfie.so")?, "plugins/libselfie.so"),
            (built("libmisbehaving.so")?, "plugins/libmisbehaving.so"),
            (root.join("profiles/base.toml"), "profiles/base.toml"),
        ] {
            fs::copy(&from, lab.path(to)).with_context(|| format!("{} is missing", from.display()))?;
        }
        copy_all(&root.join("models"), &lab.path("models"))?;
        // Weights were fetched once for all scenarios.
        if let Some(fetched) = weights() {
            symlink(fetched, lab.path("cache/models"))?;
        }
        lab.model("lab", "misbehaving", "")?;
        lab.profile(&format!("[modes.lab]\nmodel = \"lab\"\ninstances = 1\n{mode}"))?;
        Ok(lab)
    }

    /// A file or folder of the installation.
    pub fn path(&self, part: &str) -> PathBuf {
        self.folder.path().join(part)
    }

    /// Installs another plugin, under the file name `name`.
    pub fn add_plugin(&self, plugin: &Path, name: &str) -> Result<()> {
        fs::copy(plugin, self.path("plugins").join(name))
            .with_context(|| format!("{} is missing", plugin.display()))?;
        Ok(())
    }

    /// Saves the catalog's entry `name`, whose model the plugin `backend` runs; `lines` of TOML say the rest.
    pub fn model(&self, name: &str, backend: &str, lines: &str) -> Result<()> {
        let entry = format!("backend = \"{backend}\"\ntitle = \"Test\"\nlicence = \"MIT\"\n{lines}\n");
        Ok(fs::write(self.path("models").join(format!("{name}.toml")), entry)?)
    }

    /// Saves the profile `default`, an overlay that says `lines`.
    pub fn profile(&self, lines: &str) -> Result<()> {
        Ok(fs::write(self.path("profiles/default.toml"), format!("extends = \"base\"\n{lines}\n"))?)
    }

    /// The arguments that name its folders.
    pub fn places(&self) -> Vec<String> {
        let folders = ["plugins", "models", "profiles", "cache"];
        let place = |name: &str| [format!("--{name}"), self.path(name).to_string_lossy().into_owned()];
        folders.into_iter().flat_map(place).collect()
    }

    /// Starts a server with this installation.
    pub fn serve(&self) -> Result<Server> {
        self.serve_with(&[])
    }

    /// Starts a server with this installation and these arguments.
    pub fn serve_with(&self, arguments: &[&str]) -> Result<Server> {
        let places = self.places();
        let places: Vec<_> = places.iter().map(String::as_str).collect();
        Server::start(&[&places, arguments].concat())
    }
}
