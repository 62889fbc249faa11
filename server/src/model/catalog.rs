//! The catalog: one TOML per model, `models/<name>.toml`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::golden::Golden;
use crate::{
    file,
    plugin_host::{ModelSpec, WeightsFile},
};

/// Labels and palettes of hundreds of classes fit easily.
const LARGEST_ENTRY_LEN_BYTES: u64 = 1 << 20;

/// A file of the catalog.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct CatalogEntry {
    /// The plugin that runs it.
    pub backend: String,
    /// What it is, in a few words.
    pub title: String,
    /// SPDX expression of the weights' licence.
    pub licence: String,
    /// Which variant a mode gets that names none.
    #[serde(default)]
    pub default_variant: String,
    /// Files of weights by variant; none when the backend needs none.
    #[serde(default)]
    pub variants: BTreeMap<String, Variant>,
    /// Packages that carry the files, tried in this order.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// What a build has to show before it serves.
    #[serde(default)]
    pub golden: Option<Golden>,
    /// Classes by id; the backend's own when empty.
    #[serde(default)]
    pub classes: Vec<CatalogClass>,
    /// What the backend is told.
    #[serde(default)]
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// One file of weights.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name, in the package and in the cache.
    pub file: String,
    /// SHA-256 of its content, in hex. May be left out of a file that lies beside this one, so that it can be overwritten.
    #[serde(default)]
    pub sha256: String,
}

impl Variant {
    /// Whether a file of this SHA-256 may be taken for it.
    pub fn allows(&self, sha256: &str) -> bool {
        self.sha256.is_empty() || self.sha256.eq_ignore_ascii_case(sha256)
    }
}

/// A package of a registry, fetched by the registry's ordinary client.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, tag = "registry", rename_all = "lowercase")]
pub enum Source {
    /// By `npm pack`.
    Npm {
        /// Name.
        package: String,
        /// Exact version.
        version: String,
    },
}

/// A class as the catalog writes it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct CatalogClass {
    /// Its name.
    pub label: String,
    /// Red, green, blue.
    pub colour: [u8; 3],
}

/// Why an entry can't be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum CatalogError {
    #[error("{}: there is no model {name:?}; there are: {known}", directory.display())]
    Unknown { directory: PathBuf, name: String, known: String },
    #[error("{}: can't be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}:{line}: {message}", path.display())]
    Invalid { path: PathBuf, line: usize, message: String },
    #[error("model {model:?} has no variant {variant:?}; it has: {known}")]
    NoVariant { model: String, variant: String, known: String },
}

/// The directory of the catalog.
#[derive(Clone, Debug)]
pub struct Catalog {
    directory: PathBuf,
}

impl Catalog {
    /// The catalog in `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The names of all entries, sorted.
    pub fn names(&self) -> Result<Vec<String>, CatalogError> {
        let unreadable = |source| CatalogError::Unreadable { path: self.directory.clone(), source };
        let mut names: Vec<_> = fs::read_dir(&self.directory)
            .map_err(unreadable)?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    /// The entry `name`.
    pub fn entry(&self, name: &str) -> Result<CatalogEntry, CatalogError> {
        let path = self.directory.join(format!("{name}.toml"));
        let is_plain = !name.contains(['/', '\\']);
        let read = file::read(&path, LARGEST_ENTRY_LEN_BYTES).and_then(|content| {
            String::from_utf8(content).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        });
        let text = match read {
            Ok(text) if is_plain => text,
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(CatalogError::Unreadable { path, source });
            }
            _ => {
                let known = self.names()?.join(", ");
                return Err(CatalogError::Unknown { directory: self.directory.clone(), name: name.into(), known });
            }
        };
        parse(&path, &text)
    }
}

impl CatalogEntry {
    /// What an instance of the model `name` is created for; `settings` go over the entry's own.
    pub fn spec(
        &self,
        name: &str,
        weights: Option<WeightsFile>,
        settings: &serde_json::Map<String, serde_json::Value>,
        max_threads: u32,
    ) -> ModelSpec {
        let mut merged = self.settings.clone();
        merged.extend(settings.clone());
        ModelSpec {
            name: name.to_owned(),
            weights,
            classes: self.classes.iter().map(|class| (class.label.clone(), class.colour)).collect(),
            settings_json: serde_json::Value::Object(merged).to_string(),
            max_threads,
        }
    }

    /// The variant `name`, or the default one when `name` is empty; `None` when the model has no weights.
    pub fn variant(&self, model: &str, name: &str) -> Result<Option<&Variant>, CatalogError> {
        let wanted = if name.is_empty() { &self.default_variant } else { name };
        if wanted.is_empty() && self.variants.is_empty() {
            return Ok(None);
        }
        self.variants.get(wanted).map(Some).ok_or_else(|| CatalogError::NoVariant {
            model: model.into(),
            variant: wanted.into(),
            known: self.variants.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })
    }
}

fn parse(path: &Path, text: &str) -> Result<CatalogEntry, CatalogError> {
    let invalid = |line, message| CatalogError::Invalid { path: path.to_owned(), line, message };
    let entry: CatalogEntry = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| crate::config::line_of(text, span.start));
        invalid(line, error.message().to_owned())
    })?;
    for (name, variant) in &entry.variants {
        let line = line_with(text, &variant.sha256);
        if !variant.sha256.is_empty() && hex::decode(&variant.sha256).map(|bytes| bytes.len()) != Ok(32) {
            return Err(invalid(line, format!("variants.{name}.sha256: expected 64 hex digits")));
        }
        if !file::is_plain_name(&variant.file) {
            return Err(invalid(line, format!("variants.{name}.file: expected a file name without directories")));
        }
    }
    if let Some(golden) = &entry.golden {
        let line = line_with(text, "[golden]");
        if !file::is_plain_name(&golden.picture) || !file::is_plain_name(&golden.mask) {
            return Err(invalid(line, "golden: expected file names without directories".into()));
        }
        if !(0.0..=1.0).contains(&golden.min_agreement) {
            return Err(invalid(line, format!("golden.min_agreement: {} is not from 0 to 1", golden.min_agreement)));
        }
    }
    if !entry.variants.is_empty() && !entry.variants.contains_key(&entry.default_variant) {
        let known: Vec<_> = entry.variants.keys().map(String::as_str).collect();
        return Err(invalid(
            line_with(text, "default_variant"),
            format!("default_variant: {:?} is none of {}", entry.default_variant, known.join(", ")),
        ));
    }
    if entry.classes.len() > 256 {
        return Err(invalid(line_with(text, "classes"), format!("classes: {} of at most 256", entry.classes.len())));
    }
    Ok(entry)
}

fn line_with(text: &str, part: &str) -> usize {
    crate::config::line_of(text, text.find(part).unwrap_or(0))
}
