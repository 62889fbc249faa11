//! Merges the layers of a profile, and judges the whole: base, overlays, environment, command line.

use std::path::PathBuf;

use figment::{
    Figment, Metadata, Profile as FigmentProfile, Provider,
    providers::Env,
    value::{Dict, Map},
};
use garde::Validate;
use serde_json::Value;

use super::{
    Profile,
    fault::{Fault, Faults, Place},
    origins::Origins,
    sources::Sources,
    values,
};

/// A prefix of its own, so that a stray variable is never taken for an unknown key.
pub(super) const ENVIRONMENT_PREFIX: &str = "SEGUE_CFG__";

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

/// A profile that may be applied.
pub struct Loaded {
    /// Every layer merged.
    pub profile: Profile,
    /// Where each value was written.
    pub origins: Origins,
}

/// Reads, merges and validates; all faults at once, as far as they can be told.
pub fn load(layers: &Layers) -> Result<Loaded, Faults> {
    Sources::read(layers).load(&layers.overrides)
}

impl Sources {
    /// Merges and validates what was read, under the environment and the `overrides`.
    pub fn load(&self, overrides: &[String]) -> Result<Loaded, Faults> {
        if let Some(fault) = &self.broken {
            return Err(fault.clone().into());
        }
        let files: Vec<_> = self.files.iter().rev().cloned().collect();
        let mut figment = Figment::new();
        for file in &files {
            figment = figment.merge(&**file);
        }
        figment = figment.merge(Env::prefixed(ENVIRONMENT_PREFIX).split("__"));
        for text in overrides {
            figment = figment.merge(Override::parse(text)?);
        }
        let origins = Origins::new(figment, files)?;
        let (profile, mut faults) = origins.extract();
        let Some(mut profile) = profile else { return Err(Faults(faults)) };
        for mode in profile.modes.values_mut() {
            mode.allowed_plugins.clone_from(&profile.security.allowed_plugins);
        }
        faults.extend(judge(&profile, &origins));
        if faults.is_empty() { Ok(Loaded { profile, origins }) } else { Err(Faults(faults)) }
    }
}

/// What is wrong with values that are each of the right type.
fn judge(profile: &Profile, origins: &Origins) -> Vec<Fault> {
    let mut faults: Vec<Fault> = match profile.validate() {
        Ok(()) => Vec::new(),
        Err(report) => report.iter().map(|(path, error)| origins.out_of_range(path.to_string(), error)).collect(),
    };
    if let Some(place @ Place::Layer(_)) = origins.of("extends") {
        let what = "can be written in a file only; name the profile with --profile".into();
        faults.push(Fault { place, key: "extends".into(), what });
    }
    for name in profile.modes.keys().filter(|name| !is_mode_name(name)) {
        let what = "is no name of a mode; write up to 64 of a-z, A-Z, 0-9, - and _".into();
        faults.push(origins.fault(&format!("modes.{name}"), what));
    }
    if !profile.modes.contains_key(&profile.server.default_mode) {
        let known: Vec<_> = profile.modes.keys().map(String::as_str).collect();
        let what = format!("there is no mode {:?}; write one of {}", profile.server.default_mode, known.join(", "));
        faults.push(origins.fault("server.default_mode", what));
    }
    for (name, mode) in profile.modes.iter().filter(|(_, mode)| !mode.fallback.is_empty()) {
        let key = format!("modes.{name}.fallback");
        if mode.fallback == *name {
            faults.push(origins.fault(&key, "is the mode itself; write another, or leave it out".into()));
        } else if !profile.modes.contains_key(&mode.fallback) {
            let known: Vec<_> = profile.modes.keys().filter(|other| *other != name).map(String::as_str).collect();
            let what = format!("there is no mode {:?}; write one of {}", mode.fallback, known.join(", "));
            faults.push(origins.fault(&key, what));
        }
    }
    let clients = &profile.security.client_tokens;
    for name in profile.security.preferred_clients.iter().filter(|name| !clients.contains_key(*name)) {
        let known: Vec<_> = clients.keys().map(String::as_str).collect();
        let what = format!("there is no {name:?} among security.client_tokens; there are: {}", known.join(", "));
        faults.push(origins.fault("security.preferred_clients", what));
    }
    let capture = &profile.capture;
    let floors = [
        ("min_jpeg_quality", u32::from(capture.adaptive.min_jpeg_quality), "jpeg_quality", capture.jpeg_quality.into()),
        ("min_dimension_px", capture.adaptive.min_dimension_px, "max_dimension_px", capture.max_dimension_px),
    ];
    for (key, floor, of, ceiling) in floors {
        if capture.adaptive.enabled && floor > ceiling {
            let what = format!("{floor} is above capture.{of}, which is {ceiling}; write {ceiling} or less");
            faults.push(origins.fault(&format!("capture.adaptive.{key}"), what));
        }
    }
    for (key, _) in origins.effective(profile).iter().filter(|(_, entry)| holds_null(&entry.value)) {
        faults.push(origins.fault(key, "nan and inf can't be told to a backend; write a finite number".into()));
    }
    faults
}

/// Names are parts of keys, of addresses and of metrics.
fn is_mode_name(name: &str) -> bool {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    (1..=64).contains(&name.len()) && name.chars().all(is_allowed)
}

/// TOML has no null: it is what JSON makes of a number that is not finite.
fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.iter().any(holds_null),
        Value::Object(fields) => fields.values().any(holds_null),
        _ => false,
    }
}

/// One `--set key=value`.
struct Override {
    text: String,
    data: Dict,
}

impl Override {
    fn parse(text: &str) -> Result<Self, Faults> {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        let fault = |what: String| Fault { place: Place::Layer(format!("--set {key}")), key: String::new(), what };
        if !text.contains('=') {
            return Err(fault("expected key=value, as in capture.jpeg_quality=40".into()).into());
        }
        // A value that is no TOML is a text without its quotes.
        let parse = |value: &str| toml_edit::Document::parse(format!("{key} = {value}"));
        match parse(value).or_else(|_no_toml| parse(&toml_edit::Value::from(value).to_string())) {
            Ok(document) => Ok(Self { text: key.trim().to_owned(), data: values::dict(document.as_table()) }),
            Err(error) => Err(fault(format!("is no TOML: {}", error.message().trim())).into()),
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
