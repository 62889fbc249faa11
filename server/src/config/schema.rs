//! The JSON Schema of profiles, for editors; and what it says of one key, for errors.

use std::{fmt, sync::OnceLock};

use schemars::{
    generate::SchemaSettings,
    transform::{RecursiveTransform, Transform},
};
use serde_json::Value;

use super::Profile;

/// The schema of a profile's file. An overlay says only what differs, so no key is required.
pub fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut settings = SchemaSettings::draft07();
        settings.inline_subschemas = true;
        let mut schema = settings.into_generator().into_root_schema_for::<Profile>();
        RecursiveTransform(|schema: &mut schemars::Schema| {
            schema.remove("required");
            // The formats of Rust's numbers mean nothing to an editor.
            schema.remove("format");
        })
        .transform(&mut schema);
        schema.to_value()
    })
}

/// Expected where a text is.
pub(super) const A_TEXT: &str = "a text in quotes";

/// What the schema expects at a key.
pub(super) struct Expected(&'static Value);

impl Expected {
    /// At the dotted `key`; `None` when there is no such key, or it is a table.
    pub(super) fn at(key: &str) -> Option<Self> {
        let found = key.split('.').try_fold(schema(), |schema, part| {
            let named = schema["properties"].get(part);
            let element = || schema.get("items").filter(|_| part.parse::<usize>().is_ok());
            named.or_else(element).or_else(|| schema.get("additionalProperties").filter(|inner| inner.is_object()))
        })?;
        (found["type"] != "object").then_some(Self(found))
    }

    /// Whether it is a number between two others.
    pub(super) fn is_range(&self) -> bool {
        self.0["maximum"].is_number()
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(schema) = self;
        let bound = |name: &str| schema[name].as_f64();
        let choices = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array());
        let names: Vec<_> = choices
            .into_iter()
            .flatten()
            .filter_map(|choice| choice["const"].as_str().or_else(|| choice["enum"][0].as_str()))
            .map(|name| format!("{name:?}"))
            .collect();
        match (schema["type"].as_str(), bound("minimum"), bound("maximum")) {
            _ if !names.is_empty() => write!(f, "one of {}", names.join(", ")),
            (Some("integer"), Some(low), Some(high)) => write!(f, "{low} to {high}"),
            (Some("integer"), ..) => f.write_str("a whole number"),
            (Some("boolean"), ..) => f.write_str("true or false"),
            (Some("array"), ..) => f.write_str("a list, as in [\"one\", \"two\"]"),
            _ => match &schema["examples"][0] {
                Value::String(example) => write!(f, "a text in quotes, as in {example:?}"),
                _ => f.write_str(A_TEXT),
            },
        }
    }
}
