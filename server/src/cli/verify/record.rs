//! What came of the checks, told as it comes.

use std::{path::Path, time::Instant};

use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use super::{
    super::{CliResult, Failure},
    IS_A_PLUGIN, OPENS,
};
use crate::plugin_host::PluginFile;

/// What came of one check.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Outcome {
    promise: String,
    kept: bool,
    reason: Option<String>,
}

impl Outcome {
    pub(super) fn kept(promise: &str) -> Self {
        Self { promise: promise.to_owned(), kept: true, reason: None }
    }

    pub(super) fn broken(promise: &str, reason: impl ToString) -> Self {
        Self { promise: promise.to_owned(), kept: false, reason: Some(reason.to_string()) }
    }
}

/// All outcomes so far.
pub(super) struct Record {
    outcomes: Vec<Outcome>,
    json: bool,
    start: Instant,
    /// Drawn on stderr, and only when that is a terminal.
    bar: ProgressBar,
    running: String,
}

impl Record {
    pub(super) fn new(json: bool) -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        Self { outcomes: Vec::new(), json, start: Instant::now(), bar, running: String::new() }
    }

    pub(super) fn begin(&mut self, promise: &str) {
        self.bar.set_message(promise.to_owned());
        self.running = promise.to_owned();
    }

    pub(super) fn progress(&self, done: u32, of: u32) {
        self.bar.set_message(format!("{} ({done} of {of})", self.running));
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        if !self.json {
            let line = match &outcome.reason {
                None => format!("ok    {}", outcome.promise),
                Some(reason) => format!("FAIL  {}: {reason}", outcome.promise),
            };
            self.bar.suspend(|| println!("{line}"));
        }
        self.outcomes.push(outcome);
    }

    /// Tells the count, or everything as JSON; and whether all promises are kept.
    pub(super) fn finish(self, path: &Path, file: Option<&PluginFile>, model: Option<String>) -> CliResult {
        self.bar.finish_and_clear();
        let kept = self.outcomes.iter().filter(|outcome| outcome.kept).count();
        let unchecked = self.unchecked();
        let seconds = self.start.elapsed().as_secs_f64();
        if self.json {
            let told = file.map(|file| &file.descriptor);
            let document = serde_json::json!({
                "file": path.to_string_lossy(), "name": told.map(|told| &told.name),
                "version": told.map(|told| &told.version), "sha256": file.map(|file| &file.sha256), "model": model,
                "promises": self.outcomes, "not_checked": unchecked, "seconds": seconds,
            });
            println!("{document}");
        } else {
            println!("{}", count(kept, self.outcomes.len() - kept, unchecked.len(), seconds));
        }
        if kept == self.outcomes.len() && unchecked.is_empty() {
            return Ok(());
        }
        Err(Failure::does_not_hold(format!("{} does not keep its contract", path.display())))
    }

    fn unchecked(&self) -> Vec<&'static str> {
        let promises = [IS_A_PLUGIN, OPENS].into_iter().chain(segue_testkit::promises());
        promises.filter(|promise| !self.outcomes.iter().any(|outcome| outcome.promise == *promise)).collect()
    }
}

fn count(kept: usize, broken: usize, unchecked: usize, seconds: f64) -> String {
    let all = kept + broken + unchecked;
    let mut line = match kept == all {
        true => format!("All {all} promises are kept"),
        false => format!("{kept} of {all} promises are kept"),
    };
    if unchecked > 0 {
        line.push_str(&format!("; {unchecked} were not checked"));
    }
    format!("{line} ({seconds:.1} s)")
}
