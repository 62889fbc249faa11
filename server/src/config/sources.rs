//! The files of a profile: the profile itself and those that it extends, each read once.

use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use figment::{
    Metadata, Profile as FigmentProfile, Provider,
    value::{Dict, Map},
};

use super::{
    fault::{Fault, Place, line_of},
    layers::Layers,
    values,
};
use crate::file;

/// No profile that a person writes comes near it.
const LARGEST_PROFILE_LEN_BYTES: u64 = 1 << 20;

/// A longer chain is a mistake.
const LONGEST_CHAIN: usize = 32;

/// What was read of a profile's chain. Two that are equal hold the same texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Sources {
    /// The profile first, then what it extends.
    pub(super) files: Vec<Arc<SourceFile>>,
    /// Why the chain ends before its base.
    pub(super) broken: Option<Fault>,
    /// The file that can't be read.
    missing: Option<PathBuf>,
}

impl Sources {
    /// Reads the files.
    pub fn read(layers: &Layers) -> Self {
        let read = || Self::read_with(layers, |path| file::read(path, LARGEST_PROFILE_LEN_BYTES));
        // A parser that panics is one more way in which a file can be bad.
        catch_unwind(AssertUnwindSafe(read))
            .unwrap_or_else(|_told| Self::broken(layers, "makes the parser panic; the log has the message"))
    }

    /// What stands for files that can't be read now.
    pub fn broken(layers: &Layers, what: &str) -> Self {
        let place = Place::File(layers.directory.join(format!("{}.toml", layers.profile)), None);
        let fault = Fault { place, key: String::new(), what: what.into() };
        Self { files: Vec::new(), broken: Some(fault), missing: None }
    }

    /// Reads them by `read`, wherever that finds them.
    pub fn read_with(layers: &Layers, read: impl Fn(&Path) -> io::Result<Vec<u8>>) -> Self {
        let mut sources = Self { files: Vec::new(), broken: None, missing: None };
        let mut next = Some(layers.profile.clone());
        while let Some(name) = next {
            next = match sources.add(&layers.directory, &name, &read) {
                Ok(extends) => extends,
                Err(fault) => {
                    sources.broken = Some(fault);
                    None
                }
            };
        }
        sources
    }

    /// The files, and the one that can't be read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| &file.path).chain(&self.missing).map(PathBuf::as_path)
    }

    /// Whether a file that is named can't be read, or is empty, as one is when somebody begins to write it.
    pub fn is_incomplete(&self) -> bool {
        self.missing.is_some() || self.has_empty()
    }

    /// Whether a file is empty.
    pub fn has_empty(&self) -> bool {
        self.files.iter().any(|file| file.text.is_empty())
    }

    /// Reads the profile `name`, which the last file may have named; what it extends.
    fn add(
        &mut self,
        directory: &Path,
        name: &str,
        read: impl Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Option<String>, Fault> {
        let path = directory.join(format!("{name}.toml"));
        // A fault of the name itself lies where the name was written.
        let named_wrongly = |what: String| match self.files.last() {
            Some(file) => file.fault("extends", what),
            None => Fault { place: Place::File(path.clone(), None), key: String::new(), what },
        };
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
            return Err(named_wrongly(format!("{name:?} is no name of a profile; {}", known_profiles(directory))));
        }
        if self.files.len() == LONGEST_CHAIN {
            return Err(named_wrongly(format!(
                "more than {LONGEST_CHAIN} profiles extend each other; make the chain shorter"
            )));
        }
        if self.files.iter().any(|file| file.path == path) {
            let what = format!("the profiles extend each other in a circle, through {name:?}; end it with \"base\"");
            return Err(named_wrongly(what));
        }
        let bytes = match read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let what = format!("there is no profile {name:?}; {}", known_profiles(directory));
                let fault = named_wrongly(what);
                self.missing = Some(path);
                return Err(fault);
            }
            Err(error) => {
                let what = format!("can't be read: {error}");
                self.missing = Some(path.clone());
                return Err(Fault { place: Place::File(path, None), key: String::new(), what });
            }
        };
        let file = SourceFile::parse(path, bytes)?;
        let extends = match file.document.get("extends").map(|item| item.as_str()) {
            Some(None) => {
                return Err(file.fault("extends", "is no text; write the name of a profile, in quotes".into()));
            }
            Some(Some(name)) => Some(name.to_owned()),
            None => None,
        };
        self.files.push(Arc::new(file));
        Ok(extends)
    }
}

/// A profile's file, read and parsed once.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) path: PathBuf,
    text: String,
    document: toml_edit::Document<String>,
}

impl PartialEq for SourceFile {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, &self.text) == (&other.path, &other.text)
    }
}

impl SourceFile {
    fn parse(path: PathBuf, bytes: Vec<u8>) -> Result<Self, Fault> {
        let fault = |line, what| Fault { place: Place::File(path.clone(), line), key: String::new(), what };
        let text = String::from_utf8(bytes).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
            fault(Some(line), "is not UTF-8; save it as UTF-8".into())
        })?;
        let document = toml_edit::Document::parse(text.clone()).map_err(|error| {
            let line = error.span().map(|span| line_of(&text, span.start));
            fault(line, format!("is no TOML: {}", error.message().trim()))
        })?;
        Ok(Self { path, text, document })
    }

    fn fault(&self, key: &str, what: String) -> Fault {
        Fault { place: Place::File(self.path.clone(), self.line_of_key(key)), key: key.into(), what }
    }

    /// The line in which the dotted `key`, or the innermost table around it, is written.
    pub(super) fn line_of_key(&self, key: &str) -> Option<usize> {
        let mut table: &dyn toml_edit::TableLike = self.document.as_table();
        let mut line = None;
        for part in key.split('.') {
            let Some((name, item)) = table.get_key_value(part) else { break };
            if let Some(span) = name.span().or_else(|| item.span()) {
                line = Some(line_of(&self.text, span.start));
            }
            let Some(inner) = item.as_table_like() else { break };
            table = inner;
        }
        line
    }
}

impl Provider for &SourceFile {
    fn metadata(&self) -> Metadata {
        Metadata::from("profile", self.path.as_path())
    }

    fn data(&self) -> Result<Map<FigmentProfile, Dict>, figment::Error> {
        Ok(Map::from([(FigmentProfile::Default, values::dict(self.document.as_table()))]))
    }
}

/// The names of the profiles in `directory`, sorted.
pub fn profile_names(directory: &Path) -> io::Result<Vec<String>> {
    let is_plain = |name: &String| !name.starts_with('.');
    let mut names: Vec<_> = fs::read_dir(directory)?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
        .filter(is_plain)
        .collect();
    names.sort();
    Ok(names)
}

fn known_profiles(directory: &Path) -> String {
    match profile_names(directory) {
        Ok(names) => format!("there are: {}", names.join(", ")),
        Err(_unreadable) => format!("{} can't be listed; name the directory with --profiles", directory.display()),
    }
}
