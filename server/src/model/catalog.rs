//! The catalog: one TOML per model, `models/<name>.toml`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    golden::Golden,
    labels::{self, LabelFault},
    source::Source,
};
use crate::{
    file,
    plugin_host::{ModelSpec, WeightsFile},
};

/// Labels and palettes of hundreds of classes fit easily.
const LARGEST_ENTRY_LEN_BYTES: u64 = 1 << 20;

/// The variant that `file` is short for.
const OWN: &str = "own";

/// A file of the catalog.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct CatalogEntry {
    /// The plugin that runs it.
    pub backend: String,
    /// What it is, in a few words.
    pub title: String,
    /// The weights' licence: an SPDX expression where there is one.
    pub licence: String,
    /// Whether that licence forbids commercial use: then nothing is fetched until somebody has accepted it.
    #[serde(default)]
    pub non_commercial: bool,
    /// A file that lies beside this one: short for one variant.
    #[serde(default)]
    pub file: String,
    /// Packages of Python, as pip takes them, that the model needs: they are installed into an environment of its own.
    #[serde(default)]
    pub requirements: Vec<String>,
    /// What runs the model, if its plugin is a program, or makes its environment; `python3` when empty.
    #[serde(default)]
    pub python: String,
    /// Which variant a mode gets that names none.
    #[serde(default)]
    pub default_variant: String,
    /// Files of weights by variant; none when the backend needs none.
    #[serde(default)]
    pub variants: BTreeMap<String, Variant>,
    /// What carries the files of all variants, tried in this order.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// What it is known to reach.
    #[serde(default)]
    pub expected_miou: Option<ExpectedMiou>,
    /// What a build has to show before it serves.
    #[serde(default)]
    pub golden: Option<Golden>,
    /// The label set that says the classes, in place of `classes`.
    #[serde(default)]
    pub labels: String,
    /// Classes by id; the backend's own when empty.
    #[serde(default)]
    pub classes: Vec<CatalogClass>,
    /// What the backend is told.
    #[serde(default)]
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// One file of weights, and what is peculiar to it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name in the cache, beside the catalog's entries, and in packages.
    pub file: String,
    /// SHA-256 of its content in hex, or its first 8 digits or more where no more is published. May be left out of a file
    /// that lies beside this one, so that it can be overwritten, and of one whose source vouches for it.
    #[serde(default)]
    pub sha256: String,
    /// What carries it, tried before the sources of the model.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// What it is known to reach; the model's own when it says nothing.
    #[serde(default)]
    pub expected_miou: Option<ExpectedMiou>,
    /// The label set that says its classes.
    #[serde(default)]
    pub labels: String,
    /// Its classes by id; the model's own when empty.
    #[serde(default)]
    pub classes: Vec<CatalogClass>,
    /// What the backend is told, over the model's own settings.
    #[serde(default)]
    pub settings: serde_json::Map<String, serde_json::Value>,
}

impl Variant {
    /// Whether a file of this SHA-256 may be taken for it.
    pub fn allows(&self, sha256: &str) -> bool {
        let len = self.sha256.len();
        sha256.get(..len).is_some_and(|start| start.eq_ignore_ascii_case(&self.sha256))
    }

    /// Whether the catalog says what its content is, or begins to.
    pub fn is_pinned(&self) -> bool {
        !self.sha256.is_empty()
    }
}

/// A published figure: how well weights do, on what, and who says so.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedMiou {
    /// Mean intersection over union, in percent.
    pub value: f64,
    /// Of which pictures.
    pub dataset: String,
    /// Who published it.
    pub source: String,
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
    #[error("{}:{line}: labels: there is no label set {name:?} in {}; there are: {known}", path.display(), path.with_file_name(labels::FOLDER).display())]
    NoLabels { path: PathBuf, line: usize, name: String, known: String },
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

    /// The classes of a label set, by id; or why they can't be had.
    pub fn label_set(&self, name: &str) -> Result<Vec<CatalogClass>, String> {
        labels::read(&self.directory, name).map_err(|fault| match fault {
            LabelFault::Unknown(known) => format!("there is no label set {name:?}; there are: {known}"),
            LabelFault::Broken(error) => error.to_string(),
        })
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
        let content = file::refuse_writable_by_all(&path).and_then(|()| file::read(&path, LARGEST_ENTRY_LEN_BYTES));
        let read = content.and_then(|content| {
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
        let mut entry = parse(&path, &text)?;
        self.resolve(&mut entry, &path, &text)?;
        Ok(entry)
    }

    /// Puts the classes of label sets into `entry`, whose file says `text`.
    fn resolve(&self, entry: &mut CatalogEntry, path: &Path, text: &str) -> Result<(), CatalogError> {
        let variants = entry.variants.values_mut().map(|variant| (&variant.labels, &mut variant.classes));
        for (labels, classes) in std::iter::once((&entry.labels, &mut entry.classes)).chain(variants) {
            if labels.is_empty() {
                continue;
            }
            let (name, line) = (labels.clone(), line_with(text, &format!("{labels:?}")));
            *classes = labels::read(&self.directory, labels).map_err(|fault| match fault {
                LabelFault::Unknown(known) => CatalogError::NoLabels { path: path.into(), line, name, known },
                LabelFault::Broken(error) => error,
            })?;
        }
        Ok(())
    }
}

impl CatalogEntry {
    /// What an instance of the `variant` of the model `name` is created for; `settings` go over the entry's own.
    pub fn spec(
        &self,
        name: &str,
        variant: Option<&Variant>,
        weights: Option<WeightsFile>,
        settings: &serde_json::Map<String, serde_json::Value>,
        max_threads: u32,
        interpreter: String,
    ) -> ModelSpec {
        let mut merged = self.settings.clone();
        merged.extend(variant.map(|variant| variant.settings.clone()).unwrap_or_default());
        merged.extend(settings.clone());
        ModelSpec {
            name: name.to_owned(),
            weights,
            classes: self.classes_of(variant).iter().map(|class| (class.label.clone(), class.colour)).collect(),
            settings_json: serde_json::Value::Object(merged).to_string(),
            max_threads,
            interpreter,
        }
    }

    /// The classes of `variant`, by id; none when they are the backend's own.
    pub fn classes_of<'a>(&'a self, variant: Option<&'a Variant>) -> &'a [CatalogClass] {
        variant.map(|variant| &variant.classes).filter(|classes| !classes.is_empty()).unwrap_or(&self.classes)
    }

    /// What `variant` is known to reach.
    pub fn expected_miou_of<'a>(&'a self, variant: &'a Variant) -> Option<&'a ExpectedMiou> {
        variant.expected_miou.as_ref().or(self.expected_miou.as_ref())
    }

    /// What carries `variant`, in the order in which it is to be tried.
    pub fn sources_of<'a>(&'a self, variant: &'a Variant) -> impl Iterator<Item = &'a Source> {
        variant.sources.iter().chain(&self.sources)
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
    let mut entry: CatalogEntry = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| crate::config::line_of(text, span.start));
        invalid(line, error.message().to_owned())
    })?;
    if !entry.file.is_empty() {
        if !entry.variants.is_empty() {
            return Err(invalid(line_with(text, "file"), "file: name one file, or [variants], not both".into()));
        }
        let variant = Variant { file: entry.file.clone(), ..Variant::default() };
        entry.variants.insert(OWN.into(), variant);
        entry.default_variant = OWN.into();
    }
    for (name, variant) in &entry.variants {
        let header = format!("[variants.{name}]");
        let part = if variant.is_pinned() { &variant.sha256 } else { &header };
        let fault = |fault| invalid(line_with(text, part), format!("variants.{name}.{fault}"));
        check_variant(&entry, variant).map_err(fault)?;
    }
    let sets = entry.variants.values().map(|variant| (&variant.labels, &variant.classes));
    if sets.chain([(&entry.labels, &entry.classes)]).any(|(labels, classes)| !labels.is_empty() && !classes.is_empty())
    {
        return Err(invalid(line_with(text, "labels"), "labels: name a label set, or list classes, not both".into()));
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

fn check_variant(entry: &CatalogEntry, variant: &Variant) -> Result<(), String> {
    let is_hex = variant.sha256.bytes().all(|digit| digit.is_ascii_hexdigit());
    if variant.is_pinned() && !(is_hex && (8..=64).contains(&variant.sha256.len())) {
        return Err("sha256: expected 64 hex digits, or the first 8 of them or more".into());
    }
    if !file::is_plain_name(&variant.file) {
        return Err("file: expected a file name without directories".into());
    }
    match entry.sources_of(variant).find(|source| !source.vouches()) {
        Some(source) if !variant.is_pinned() => {
            Err(format!("sha256: is missing, and {} can't be trusted without it", source.name()))
        }
        _ => Ok(()),
    }
}

fn line_with(text: &str, part: &str) -> usize {
    crate::config::line_of(text, text.find(part).unwrap_or(0))
}
