//! The conformance suite: [`check`] runs a plugin, through its C ABI, against the contract that the server relies
//! on. A plugin crate calls it from a test; nothing of the server is needed.
//!
//! Invariant: every check looks at what the plugin did to memory that the testkit owns, never at what the plugin
//! says it did.
#![allow(unsafe_code, reason = "the testkit calls plugins through the C ABI, as the server does")]

mod checks;
mod host;
mod instance;

use std::{fmt, path::PathBuf};

use segue_abi::Plugin;

/// The model that the plugin is to load for the checks.
#[derive(Clone, Debug)]
pub struct ModelUnderTest {
    /// Its weights; `None` when the backend needs none.
    pub weights: Option<PathBuf>,
    /// The settings, a JSON object.
    pub settings_json: String,
    /// How many threads the instance may use.
    pub max_threads: u32,
}

impl Default for ModelUnderTest {
    fn default() -> Self {
        Self { weights: None, settings_json: "{}".into(), max_threads: 1 }
    }
}

/// What came of one check.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The promise that was checked, as a sentence.
    pub promise: &'static str,
    /// Why the plugin does not keep it.
    pub failure: Option<String>,
}

/// What came of all checks.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order of the run. It ends early when the plugin can't be loaded.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// The promises that are not kept, each with its reason.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        self.outcomes
            .iter()
            .filter_map(|outcome| outcome.failure.as_ref().map(|failure| format!("{}: {failure}", outcome.promise)))
    }

    /// For tests: panics with the whole report unless every promise is kept.
    ///
    /// # Panics
    /// When a promise is not kept.
    pub fn expect_all(&self) {
        assert!(self.failures().next().is_none(), "the plugin does not keep its contract\n{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for outcome in &self.outcomes {
            match &outcome.failure {
                None => writeln!(f, "ok    {}", outcome.promise)?,
                Some(failure) => writeln!(f, "FAIL  {}: {failure}", outcome.promise)?,
            }
        }
        Ok(())
    }
}

/// Runs every check against `plugin`.
pub fn check(plugin: &Plugin, model: &ModelUnderTest) -> Report {
    checks::run(plugin, model)
}
