//! Reads the layers of a profile and merges them: base, overlays, environment, command line.

use std::{
    fs,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Metadata, Profile as FigmentProfile, Provider,
    error::Kind,
    providers::{Env, Format, Toml},
    value::{Dict, Map},
};
use garde::Validate;

use super::{
    Profile,
    fault::{Fault, Faults, Place, line_of},
};
use crate::file;

/// No profile that a person writes comes near it.
const LARGEST_PROFILE_LEN_BYTES: u64 = 1 << 20;

/// A prefix of its own, so that a stray variable is never taken for an unknown key.
const ENVIRONMENT_PREFIX: &str = "SEGUE_CFG__";

/// Where a configuration comes from.
#[derive(Clone, Debug)]
pub struct Layers {
    /// The directory of the profiles.
    pub directory: PathBuf,
    /// The profile's name: a file there without its `.toml`.
    pub profile: String,
    /// `key=value` pairs of the command line.
    pub overrides: Vec<String>,
}

/// Reads, merges and validates; all faults at once, as far as they can be told. The origins know where each value
/// was written.
pub fn load(layers: &Layers) -> Result<(Profile, Origins), Faults> {
    let files = read_chain(layers)?;
    let mut figment = Figment::new();
    for file in &files {
        figment = figment.merge(file);
    }
    figment = figment.merge(Env::prefixed(ENVIRONMENT_PREFIX).split("__"));
    for text in &layers.overrides {
        figment = figment.merge(Override::parse(text)?);
    }
    let origins = Origins { figment, files };
    let profile: Profile = origins.figment.extract().map_err(|error| origins.explain(error))?;
    let mut faults: Vec<Fault> = match profile.validate() {
        Ok(()) => Vec::new(),
        Err(report) => report.iter().map(|(path, error)| origins.out_of_range(path.to_string(), error)).collect(),
    };
    if !profile.modes.contains_key(&profile.server.default_mode) {
        let known: Vec<_> = profile.modes.keys().map(String::as_str).collect();
        let what = format!("there is no mode {:?}; write one of {}", profile.server.default_mode, known.join(", "));
        faults.push(origins.fault("server.default_mode".into(), what));
    }
    if faults.is_empty() { Ok((profile, origins)) } else { Err(Faults(faults)) }
}

/// A profile's file, read once.
struct LayerFile {
    path: PathBuf,
    text: String,
}

impl Provider for &LayerFile {
    fn metadata(&self) -> Metadata {
        Metadata::from("profile", self.path.as_path())
    }

    fn data(&self) -> Result<Map<FigmentProfile, Dict>, figment::Error> {
        Toml::string(&self.text).data()
    }
}

impl LayerFile {
    /// Reads the profile `name`, which `extended_by` may have named.
    fn read(directory: &Path, name: &str, extended_by: Option<&Self>) -> Result<Self, Faults> {
        let path = directory.join(format!("{name}.toml"));
        let fault = |what: String| Fault { place: Place::File(path.clone(), None), key: String::new(), what };
        let bytes =
            file::read(&path, LARGEST_PROFILE_LEN_BYTES).map_err(|error| match (error.kind(), extended_by) {
                (std::io::ErrorKind::NotFound, Some(file)) => Fault {
                    place: Place::File(file.path.clone(), file.line_of_key("extends")),
                    key: "extends".into(),
                    what: format!("there is no profile {name:?}; {}", known_profiles(directory)),
                },
                (std::io::ErrorKind::NotFound, None) => {
                    fault(format!("there is no such profile; {}", known_profiles(directory)))
                }
                _ => fault(format!("can't be read: {error}")),
            })?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { path, text }),
            Err(error) => {
                let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&b| b == b'\n').count();
                Err(Fault { place: Place::File(path, Some(line + 1)), key: String::new(), what: "is not UTF-8".into() }
                    .into())
            }
        }
    }

    /// Parses the file with its places.
    fn document(&self) -> Result<toml_edit::Document<String>, Faults> {
        toml_edit::Document::parse(self.text.clone()).map_err(|error| {
            let line = error.span().map(|span| line_of(&self.text, span.start));
            let place = Place::File(self.path.clone(), line);
            Fault { place, key: String::new(), what: format!("is no TOML: {}", error.message().trim()) }.into()
        })
    }

    /// The line in which the dotted `key`, or the innermost table around it, is written.
    fn line_of_key(&self, key: &str) -> Option<usize> {
        let document = self.document().ok()?;
        let mut table: &dyn toml_edit::TableLike = document.as_table();
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

/// The profile's file and those it extends, the first one extended by all others first.
fn read_chain(layers: &Layers) -> Result<Vec<LayerFile>, Faults> {
    let mut files: Vec<LayerFile> = Vec::new();
    let mut next = Some(layers.profile.clone());
    while let Some(name) = next {
        let file = LayerFile::read(&layers.directory, &name, files.last())?;
        let extends = file.document()?.get("extends").and_then(|item| item.as_str()).map(str::to_owned);
        if files.iter().any(|other| other.path == file.path) {
            let place = Place::File(file.path.clone(), file.line_of_key("extends"));
            let what = format!("the profiles extend each other in a circle, through {name:?}; end it with \"base\"");
            return Err(Fault { place, key: "extends".into(), what }.into());
        }
        files.push(file);
        next = extends;
    }
    files.reverse();
    Ok(files)
}

fn known_profiles(directory: &Path) -> String {
    let Ok(entries) = fs::read_dir(directory) else {
        return format!("{} can't be listed; name the directory with --profiles", directory.display());
    };
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
        .collect();
    names.sort();
    format!("there are: {}", names.join(", "))
}

/// One `--set key=value`.
struct Override {
    text: String,
    data: Dict,
}

impl Override {
    fn parse(text: &str) -> Result<Self, Faults> {
        let place = || Place::Layer(format!("--set {text}"));
        let Some((key, value)) = text.split_once('=') else {
            let what = "expected key=value, as in capture.jpeg_quality=40".into();
            return Err(Fault { place: place(), key: String::new(), what }.into());
        };
        // A value that is no TOML is a text without its quotes.
        let mut document = format!("{key} = {value}");
        if document.parse::<toml_edit::DocumentMut>().is_err() {
            document = format!("{key} = {}", toml_edit::Value::from(value));
        }
        match Toml::string(&document).data() {
            Ok(mut data) => {
                let data = data.remove(&FigmentProfile::Default).unwrap_or_default();
                Ok(Self { text: text.to_owned(), data })
            }
            Err(error) => Err(Fault { place: place(), key: key.into(), what: error.to_string() }.into()),
        }
    }
}

impl Provider for Override {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("--set {}", self.text))
    }

    fn data(&self) -> Result<Map<FigmentProfile, Dict>, figment::Error> {
        Ok(Map::from([(FigmentProfile::Default, self.data.clone())]))
    }
}

/// Knows where each value was written.
pub struct Origins {
    figment: Figment,
    files: Vec<LayerFile>,
}

impl Origins {
    /// A fault of the value at the dotted `key`.
    pub fn fault(&self, key: String, what: String) -> Fault {
        Fault { place: self.place(&key, self.figment.find_metadata(&key)), key, what }
    }

    fn out_of_range(&self, key: String, error: &garde::Error) -> Fault {
        let value = self.figment.find_value(&key).ok().and_then(|value| serde_json::to_string(&value).ok());
        let value = value.unwrap_or_else(|| "this".into());
        self.fault(key, format!("{value} is {error}; profiles/base.toml gives the range"))
    }

    fn explain(&self, error: figment::Error) -> Faults {
        Faults(error.into_iter().map(|error| self.explain_one(&error)).collect())
    }

    fn explain_one(&self, error: &figment::Error) -> Fault {
        let parent = error.path.join(".");
        // figment's path has the field at its end in some cases, and in others not.
        let below = |field: &str| match &error.path[..] {
            [.., last] if last == field => parent.clone(),
            [] => field.to_owned(),
            _ => format!("{parent}.{field}"),
        };
        let (key, what) = match &error.kind {
            Kind::UnknownField(field, known) => (below(field), unknown_key(field, known)),
            Kind::MissingField(field) => (below(field), "is missing; profiles/base.toml has its default".into()),
            kind => (parent, format!("{kind}; see profiles/base.toml")),
        };
        let metadata = self.figment.find_metadata(&key).or(error.metadata.as_ref());
        Fault { place: self.place(&key, metadata), key, what }
    }

    fn place(&self, key: &str, metadata: Option<&Metadata>) -> Place {
        let path = metadata.and_then(|metadata| metadata.source.as_ref()?.file_path());
        match (path, metadata) {
            (Some(path), _) => {
                let file = self.files.iter().find(|file| file.path == path);
                Place::File(path.to_owned(), file.and_then(|file| file.line_of_key(key)))
            }
            (None, Some(metadata)) if metadata.name.contains(ENVIRONMENT_PREFIX) => {
                let variable = key.to_uppercase().replace('.', "__");
                Place::Layer(format!("environment variable {ENVIRONMENT_PREFIX}{variable}"))
            }
            (None, Some(metadata)) => Place::Layer(metadata.name.to_string()),
            (None, None) => match self.files.last() {
                Some(file) => Place::File(file.path.clone(), file.line_of_key(key)),
                None => Place::Layer("the configuration".into()),
            },
        }
    }
}

fn unknown_key(field: &str, known: &[&str]) -> String {
    let nearest = known.iter().max_by(|a, b| {
        let likeness = |name: &str| strsim::jaro_winkler(field, name);
        likeness(a).total_cmp(&likeness(b))
    });
    match nearest {
        Some(name) if strsim::jaro_winkler(field, name) > 0.7 => {
            format!("there is no such key; did you mean `{name}`?")
        }
        _ => format!("there is no such key; there are: {}", known.join(", ")),
    }
}
