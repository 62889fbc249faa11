//! The model that a backend is to load.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::{Class, Error, Result};

/// One model of the catalog, together with the settings of the mode that uses it.
#[derive(Clone, Debug)]
pub struct Model<'a> {
    /// Its name in the catalog.
    pub name: &'a str,
    /// Its weights, checked against their SHA-256; `None` when the model has none.
    pub weights: Option<&'a Path>,
    /// The classes that the catalog gives; empty when it gives none.
    pub classes: Vec<Class>,
    /// How many threads the instance may keep busy, the caller's included.
    pub max_threads: usize,
    /// The settings as a JSON object; read them with [`settings`](Self::settings).
    pub settings_json: &'a str,
}

impl Model<'_> {
    /// The settings as a type of the backend's. Give it `#[serde(deny_unknown_fields)]`, and a misspelt key
    /// becomes a clear error.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(self.settings_json).map_err(|error| {
            // The place in the JSON is none that an operator has seen.
            let text = error.to_string();
            let what = text.split(" at line ").next().unwrap_or(&text);
            Error::new(format!("the settings of model {:?}: {what}", self.name))
        })
    }

    /// The catalog's classes, or numbered ones when it gives none: as many as the weights have, `count`.
    pub fn classes_of(&self, count: usize) -> Result<Vec<Class>> {
        match self.classes.len() {
            0 => Ok((0..count).map(Class::numbered).collect()),
            named if named == count => Ok(self.classes.clone()),
            named => Err(Error::new(format!(
                "model {:?} names {named} classes, and its weights have {count}: its labels are those of another data set",
                self.name
            ))),
        }
    }

    /// The weights, or an error that says what is missing.
    pub fn require_weights(&self) -> Result<&Path> {
        self.weights.ok_or_else(|| {
            Error::new(format!("model {:?} names no weights file, and this backend needs one", self.name))
        })
    }
}
