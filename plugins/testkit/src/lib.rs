//! The conformance suite: [`check`] runs a plugin, through its C ABI, against the contract that the server relies
//! on. A plugin crate calls it from a test; nothing of the server is needed. `segue plugins verify` runs the same
//! checks, more thoroughly, on a built plugin.
//!
//! Invariant: every check looks at what the plugin did to memory that the testkit owns, never at what the plugin
//! says it did.
#![allow(unsafe_code, reason = "the testkit calls plugins through the C ABI, as the server does")]

mod checks;
mod frame;
mod host;
mod instance;
mod options;

use std::{fmt, path::PathBuf};

use segue_abi::Plugin;

pub use checks::promises;
pub use options::Options;

/// The model that the plugin is to load for the checks.
#[derive(Clone, Debug)]
pub struct ModelUnderTest {
    /// Its name in the catalog.
    pub name: String,
    /// Its weights; `None` when the backend needs none.
    pub weights: Option<PathBuf>,
    /// Labels and colours by class id; empty when the catalog gives none.
    pub classes: Vec<(String, [u8; 3])>,
    /// The settings, a JSON object.
    pub settings_json: String,
    /// How many threads the instance may use.
    pub max_threads: u32,
}

impl Default for ModelUnderTest {
    fn default() -> Self {
        Self {
            name: "under-test".into(),
            weights: None,
            classes: Vec::new(),
            settings_json: "{}".into(),
            max_threads: 1,
        }
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

/// What happens while the checks run.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The check of this promise begins.
    Begins(&'static str),
    /// It has taken a step of its way.
    Progress {
        /// Steps so far.
        done: u32,
        /// All its steps.
        of: u32,
    },
    /// It has ended.
    Ended(&'a Outcome),
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
        self.outcomes.iter().try_for_each(|outcome| writeln!(f, "{outcome}"))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            None => write!(f, "ok    {}", self.promise),
            Some(failure) => write!(f, "FAIL  {}: {failure}", self.promise),
        }
    }
}

/// Runs every check against `plugin`, in a few seconds.
pub fn check(plugin: &Plugin, model: &ModelUnderTest) -> Report {
    check_with(plugin, model, &Options::quick(), &|_event| {})
}

/// Runs every check against `plugin` as `options` say, and tells `tell` what happens meanwhile.
pub fn check_with(plugin: &Plugin, model: &ModelUnderTest, options: &Options, tell: &dyn Fn(Event<'_>)) -> Report {
    checks::run(&checks::Subject { plugin, model, options, tell })
}
