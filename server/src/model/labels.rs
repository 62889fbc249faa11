//! Label sets: the classes of a dataset, which many models share, in `models/labels/<name>.toml`.

use std::{fs, io, path::Path};

use serde::Deserialize;

use super::catalog::{CatalogClass, CatalogError};
use crate::file;

/// Names of hundreds of classes fit easily.
const LARGEST_SET_LEN_BYTES: u64 = 1 << 20;

/// Where they lie, below the directory of the catalog.
pub(super) const FOLDER: &str = "labels";

/// A file of label sets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelSet {
    /// What it is, for people.
    #[serde(rename = "title")]
    _title: String,
    /// By class id.
    classes: Vec<CatalogClass>,
}

/// Why a label set can't be had.
pub(super) enum LabelFault {
    /// There is none of this name; those that there are.
    Unknown(String),
    /// It is no label set.
    Broken(CatalogError),
}

/// The classes of the set `name` of the catalog in `models`, by id.
pub(super) fn read(models: &Path, name: &str) -> Result<Vec<CatalogClass>, LabelFault> {
    let path = models.join(FOLDER).join(format!("{name}.toml"));
    let unknown = || LabelFault::Unknown(names(models).join(", "));
    if !file::is_plain_name(name) {
        return Err(unknown());
    }
    let content = file::read(&path, LARGEST_SET_LEN_BYTES).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => unknown(),
        _ => LabelFault::Broken(CatalogError::Unreadable { path: path.clone(), source }),
    })?;
    let text = String::from_utf8_lossy(&content);
    let broken = |line, message| LabelFault::Broken(CatalogError::Invalid { path: path.clone(), line, message });
    let set: LabelSet = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| crate::config::line_of(&text, span.start));
        broken(line, error.message().to_owned())
    })?;
    match set.classes.len() {
        1..=256 => Ok(set.classes),
        count => Err(broken(1, format!("classes: {count}, and a set has 1 to 256"))),
    }
}

/// The names of all sets there are.
fn names(models: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| Some(entry.file_name().to_str()?.strip_suffix(".toml")?.to_owned());
    let entries = fs::read_dir(models.join(FOLDER)).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(name).collect();
    names.sort();
    names
}
