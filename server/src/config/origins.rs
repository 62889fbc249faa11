//! Where each value was written, and what is wrong with those that can't be read.

use std::sync::Arc;

use figment::{
    Figment, Metadata,
    error::{Actual, Kind},
    value::{Dict, Tag, Value},
};

use super::{
    Profile,
    effective::is_secret,
    fault::{Fault, Faults, Place},
    layers::ENVIRONMENT_PREFIX,
    schema::{A_TEXT, Expected},
    sources::SourceFile,
};

/// More faults than these help nobody.
const MOST_FAULTS: usize = 50;

/// Knows where each value was written.
pub struct Origins {
    figment: Figment,
    /// Every layer merged.
    merged: Value,
    /// Base first.
    files: Vec<Arc<SourceFile>>,
}

impl Origins {
    pub(super) fn new(figment: Figment, files: Vec<Arc<SourceFile>>) -> Result<Self, Faults> {
        match figment.extract::<Dict>() {
            Ok(merged) => Ok(Self { figment, merged: Value::Dict(Tag::Default, merged), files }),
            Err(error) => Err(Fault {
                place: Place::Layer("the configuration".into()),
                key: String::new(),
                what: error.to_string(),
            }
            .into()),
        }
    }

    /// A fault of the value at the dotted `key`.
    pub fn fault(&self, key: &str, what: String) -> Fault {
        Fault { place: self.place(key, None), key: key.into(), what }
    }

    /// Where the value at the dotted `key` was written; `None` when nobody wrote one.
    pub fn of(&self, key: &str) -> Option<Place> {
        // Of a quoted key, the table around it is found.
        let key = key.split_once(".\"").map_or(key, |(table, _quoted)| table);
        self.merged.find_ref(key).map(|_| self.place(key, None))
    }

    /// The profile, and every fault that keeps it from being read. Serde ends at the first fault: each one is mended
    /// with the base's own value, to find the next.
    pub(super) fn extract(&self) -> (Option<Profile>, Vec<Fault>) {
        let (mut values, mut faults) = (self.merged.clone(), Vec::<Fault>::new());
        loop {
            let error = match values.deserialize::<Profile>() {
                Ok(profile) => return (Some(profile), faults),
                Err(error) => error,
            };
            let fault = self.explain(&error);
            if faults.len() == MOST_FAULTS || faults.iter().any(|known| known.key == fault.key) {
                return (None, faults);
            }
            let is_mended = self.mend(&mut values, &fault.key);
            faults.push(fault);
            if !is_mended {
                return (None, faults);
            }
        }
    }

    /// Gives the value at `key` its base's value, or takes it away; whether that could help. Of a list the whole is
    /// mended.
    fn mend(&self, values: &mut Value, key: &str) -> bool {
        let (list, _) = key.rsplit_once('.').unwrap_or_default();
        if values.find_ref(list).is_some_and(|value| value.as_array().is_some()) {
            return self.mend(values, list);
        }
        let base = self.files.first().and_then(|file| {
            let mut data = figment::Provider::data(&&**file).ok()?;
            Value::Dict(Tag::Default, data.remove(&figment::Profile::Default)?).find(key)
        });
        let (parent, name) = key.rsplit_once('.').unwrap_or(("", key));
        let mut dict = values;
        for part in parent.split('.').filter(|part| !part.is_empty()) {
            let Value::Dict(_, inner) = dict else { return false };
            let Some(value) = inner.get_mut(part) else { return false };
            dict = value;
        }
        let Value::Dict(_, dict) = dict else { return false };
        match base {
            Some(value) => dict.insert(name.into(), value).is_none_or(|_| true),
            None => dict.remove(name).is_some(),
        }
    }

    pub(super) fn out_of_range(&self, key: String, error: &garde::Error) -> Fault {
        let is_shown = |value: &&Value| !is_secret(&key) && value.as_dict().is_none() && value.as_array().is_none();
        let value = self.merged.find_ref(&key).filter(is_shown).and_then(|value| serde_json::to_string(value).ok());
        let value = value.unwrap_or_else(|| "this".into());
        let what = match Expected::at(&key).filter(Expected::is_range) {
            Some(expected) => format!("{value} is {error}; write {expected}"),
            None => format!("{value} is {error}"),
        };
        self.fault(&key, what)
    }

    fn explain(&self, error: &figment::Error) -> Fault {
        let parent = error.path.join(".");
        // figment's path has the field at its end in some cases, and in others not.
        let below = |field: &str| match &error.path[..] {
            [.., last] if last == field => parent.clone(),
            [] => field.to_owned(),
            _ => format!("{parent}.{field}"),
        };
        let (key, what) = match &error.kind {
            Kind::UnknownField(field, known) => (below(field), self.unknown_key(field, known)),
            Kind::MissingField(field) => (below(field), self.missing_key()),
            kind => (parent.clone(), wrong_value(&parent, kind)),
        };
        let place = self.place(&key, error.metadata.as_ref());
        let is_text = matches!(&place, Place::Layer(_)) && what.ends_with(A_TEXT);
        let what = if is_text { format!("{what} of its own, as in '\"…\"' in a shell") } else { what };
        Fault { place, key, what }
    }

    fn missing_key(&self) -> String {
        match &self.files[..] {
            [only] if only.path.file_stem().is_none_or(|name| name != "base") => {
                "is missing; start the file with `extends = \"base\"`, which has all defaults".into()
            }
            _ => "is missing; the base.toml that comes with the server has its default".into(),
        }
    }

    fn unknown_key(&self, field: &str, known: &[&str]) -> String {
        // A key of another section is likelier than one that is spelt a little alike.
        let sections = self.merged.as_dict().into_iter().flat_map(|sections| sections.keys());
        let paths = sections.map(|section| format!("{section}.{field}"));
        let elsewhere: Vec<_> = paths.filter(|path| Expected::at(path).is_some()).collect();
        let likeness = |name: &str| strsim::jaro_winkler(field, name);
        let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        match (&elsewhere[..], nearest) {
            ([path], _) => format!("there is no such key; did you mean `{path}`?"),
            (_, Some(name)) if likeness(name) > 0.7 => format!("there is no such key; did you mean `{name}`?"),
            _ => format!("there is no such key; there are: {}", known.join(", ")),
        }
    }

    fn place(&self, key: &str, metadata: Option<&Metadata>) -> Place {
        let value = self.merged.find_ref(key);
        let metadata = value.and_then(|value| self.figment.get_metadata(value.tag())).or(metadata);
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

fn wrong_value(key: &str, kind: &Kind) -> String {
    // What was found in place of a table may be meant for one of its keys, which may be secret.
    let Some(expected) = Expected::at(key) else {
        return format!("is a table; write [{key}] and its keys below it");
    };
    match kind {
        _ if is_secret(key) => format!("is of the wrong type; write {expected}"),
        Kind::InvalidType(Actual::Signed(number), _) | Kind::InvalidValue(Actual::Signed(number), _) => {
            format!("{number} is out of range; write {expected}")
        }
        Kind::InvalidType(found, _) | Kind::InvalidValue(found, _) => format!("found {found}; write {expected}"),
        Kind::UnknownVariant(found, _) => format!("there is no {found:?}; write {expected}"),
        kind => format!("{kind}; write {expected}"),
    }
}
