//! The licences of everything that is linked into what is handed out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::{output, tool};

/// Beginnings of the names of files that have to go along.
const LEGAL: [&str; 6] = ["licence", "license", "copying", "copyright", "notice", "readme.ijg"];

const HEAD: &str = "\
Segue is linked with the libraries below, each under the licence that stands beside its name; the texts follow.
This software is based in part on the work of the Independent JPEG Group.

The weights models/*.tflite are MediaPipe Selfie Segmentation by Google, under the Apache License 2.0, whose text is
in LICENSE-APACHE.
";

/// Names, versions and licences of what `packages` are linked with, and the texts.
pub(crate) fn third_party(packages: &[String]) -> Result<String> {
    let (mut list, mut texts) = (String::from(HEAD), BTreeMap::<String, BTreeSet<String>>::new());
    for library in libraries(packages)? {
        write!(list, "\n{} {}: {}", library.name, library.version, library.licence)?;
        for file in legal_files(&library.folder, 2)? {
            let text = fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
            texts.entry(text.trim().to_owned()).or_default().insert(library.name.clone());
        }
    }
    for (text, names) in texts {
        let names: Vec<_> = names.into_iter().collect();
        write!(list, "\n\n{:=<80}\n{}\n\n{text}", "", names.join(", "))?;
    }
    list.push('\n');
    Ok(list)
}

struct Library {
    name: String,
    version: String,
    licence: String,
    folder: PathBuf,
}

/// What others wrote of the dependencies of `packages`.
fn libraries(packages: &[String]) -> Result<Vec<Library>> {
    let mut tree = tool("cargo");
    tree.args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    tree.args(packages.iter().flat_map(|package| ["--package", package]));
    let tree = output(&mut tree)?;
    let linked: BTreeSet<_> = tree.lines().filter_map(|line| line.split_once(" v")).map(first_words).collect();
    let metadata: Value =
        serde_json::from_str(&output(tool("cargo").args(["metadata", "--locked", "--format-version=1"]))?)?;
    let known = metadata["packages"].as_array().context("cargo names no packages")?;
    let text = |package: &Value, key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let others = known.iter().filter(|package| !package["source"].is_null());
    let libraries = others.map(|package| Library {
        name: text(package, "name"),
        version: text(package, "version"),
        licence: text(package, "license"),
        folder: Path::new(&text(package, "manifest_path")).parent().map(Path::to_owned).unwrap_or_default(),
    });
    Ok(libraries.filter(|library| linked.contains(&(library.name.as_str(), library.version.as_str()))).collect())
}

/// `version` may be followed by what kind of package it is.
fn first_words<'a>((name, version): (&'a str, &'a str)) -> (&'a str, &'a str) {
    (name, version.split(' ').next().unwrap_or(version))
}

/// Those of a library, and of what it carries in folders of its own.
fn legal_files(folder: &Path, depth: usize) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if entry.file_type()?.is_dir() && depth > 1 {
            files.extend(legal_files(&entry.path(), depth - 1)?);
        } else if entry.file_type()?.is_file() && LEGAL.iter().any(|beginning| name.starts_with(beginning)) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}
