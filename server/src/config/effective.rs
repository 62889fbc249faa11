//! The configuration in force, key by key, and what differs between two of them.

use std::{collections::BTreeMap, sync::OnceLock};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Profile, origins::Origins};

/// These are read once, at the start.
const FIXED: [&str; 6] = [
    "server.listen",
    "server.inference_listen",
    "server.io_threads",
    "server.tls.certificate_file",
    "server.tls.key_file",
    "telemetry.crash_folder",
];

/// These are shown by a fingerprint.
const SECRET: [&str; 1] = ["security.admin_token"];

/// So are all keys below these.
const SECRETS: [&str; 2] = ["telemetry.otlp.headers.", "security.client_tokens."];

/// Every key's value and origin, by its dotted name.
pub type Effective = BTreeMap<String, Entry>;

/// One key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Its value; of a secret a fingerprint.
    pub value: Value,
    /// The unit of a number; empty when it has none.
    pub unit: &'static str,
    /// File and line, environment variable, or option.
    pub origin: String,
}

/// One key that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Its dotted name.
    pub key: String,
    /// Its value before; null when there was no such key.
    pub from: Value,
    /// Its value after; null when the key is gone.
    pub to: Value,
    /// Where the value was written; where it had been, when the key is gone.
    pub origin: String,
}

impl Origins {
    /// Every key of the `profile` with its value and origin.
    pub fn effective(&self, profile: &Profile) -> Effective {
        let mut entries = Effective::new();
        // The types of a profile have nothing that JSON can't hold.
        let whole = serde_json::to_value(profile).unwrap_or_default();
        flatten(String::new(), whole, &mut |key, value| {
            let origin = self.of(&key).map_or_else(|| "default".into(), |place| place.to_string());
            let value = if is_secret(&key) { fingerprint(&value) } else { value };
            let unit = unit(&key);
            entries.insert(key, Entry { value, unit, origin });
        });
        entries
    }
}

/// What differs between `old` and `new`, by key.
pub fn changes(old: &Effective, new: &Effective) -> Vec<Change> {
    let keys: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let value = |entry: Option<&Entry>| entry.map_or(Value::Null, |entry| entry.value.clone());
    keys.into_iter()
        .filter_map(|key| {
            let (before, after) = (old.get(key), new.get(key));
            let change = Change {
                key: key.clone(),
                from: value(before),
                to: value(after),
                origin: after.or(before).map(|entry| entry.origin.clone()).unwrap_or_default(),
            };
            (before.map(|entry| &entry.value) != after.map(|entry| &entry.value)).then_some(change)
        })
        .collect()
}

/// Those of `changes` that can't be made while the server runs.
pub fn fixed_keys(changes: &[Change]) -> impl Iterator<Item = &Change> {
    changes.iter().filter(|change| FIXED.contains(&change.key.as_str()))
}

/// Whether the value is nobody's business. A backend may be told keys of other services.
pub(super) fn is_secret(key: &str) -> bool {
    let is_setting = key.starts_with("modes.") && key.contains(".settings.");
    let name = key.rsplit('.').next().unwrap_or(key);
    SECRET.contains(&key)
        || SECRETS.iter().any(|section| key.starts_with(section))
        || is_setting && ["token", "key", "secret", "password"].iter().any(|end| name.ends_with(end))
}

fn flatten(key: String, value: Value, each: &mut impl FnMut(String, Value)) {
    match value {
        Value::Object(fields) if key.is_empty() || !fields.is_empty() => {
            for (name, value) in fields {
                // A dot of its own must not look like one between keys.
                let name = if name.contains('.') { format!("{name:?}") } else { name };
                let key = if key.is_empty() { name } else { format!("{key}.{name}") };
                flatten(key, value, each);
            }
        }
        value => each(key, value),
    }
}

/// Tells one secret from another, as long as this program runs, and nothing else of it.
fn fingerprint(secret: &Value) -> Value {
    static SALT: OnceLock<Uuid> = OnceLock::new();
    let salted =
        |secret: &str| Sha256::new().chain_update(SALT.get_or_init(Uuid::new_v4)).chain_update(secret).finalize();
    match secret.as_str() {
        None | Some("") => Value::String(String::new()),
        Some(secret) => Value::String(format!("(set: {})", hex::encode(&salted(secret)[..4]))),
    }
}

/// Units are a part of the keys' names.
fn unit(key: &str) -> &'static str {
    const UNITS: [(&str, &str); 4] = [("_millis", "ms"), ("_px", "px"), ("_bytes", "bytes"), ("_pixels", "pixels")];
    UNITS.iter().find(|(ending, _)| key.ends_with(ending)).map_or("", |(_, unit)| unit)
}
