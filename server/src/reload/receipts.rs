//! Receipts: what became of each attempt to reload.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;

use crate::{
    config::Change,
    telemetry::{Mark, MarkKind, Telemetry},
};

/// How many receipts are kept.
const KEPT: usize = 100;

/// One attempt.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    /// Counted from 1, the start.
    pub number: u64,
    /// When it ended, as RFC 3339 has it.
    pub at: String,
    /// What it came from.
    pub trigger: Trigger,
    /// Name of the profile.
    pub profile: String,
    /// The files that were read.
    pub files: Vec<String>,
    /// What became of it.
    pub outcome: ReloadOutcome,
    /// The modes that were to be swapped; none when it was the profile's.
    pub modes: Vec<String>,
    /// The generation that was in force after it.
    pub generation: u32,
    /// What it changed.
    pub changes: Vec<Change>,
    /// What was wrong, each with its place and its mend.
    pub faults: Vec<String>,
    /// From the moment in which the files were quiet to the end.
    pub took_millis: f64,
}

/// What an attempt came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// The start of the server.
    Start,
    /// An edit.
    File,
    /// SIGHUP.
    Signal,
    /// The admin API.
    Admin,
    /// Another file of a plugin, a model's entry or its weights.
    Swap,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReloadOutcome {
    /// It is in force.
    Applied,
    /// Nothing changed, since something was wrong.
    Rejected,
    /// Nothing changed, since it says what was in force already.
    Unchanged,
    /// A newer edit came before its models were loaded.
    Superseded,
}

impl ReloadOutcome {
    const ALL: [Self; 4] = [Self::Applied, Self::Rejected, Self::Unchanged, Self::Superseded];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Rejected => "rejected",
            Self::Unchanged => "unchanged",
            Self::Superseded => "superseded",
        }
    }
}

/// The last receipts.
pub struct Receipts {
    kept: Mutex<Kept>,
    telemetry: Arc<Telemetry>,
}

#[derive(Default)]
struct Kept {
    number: u64,
    newest_first: VecDeque<Arc<Receipt>>,
    standing: Option<Arc<Receipt>>,
    /// The refused builds that still lie there, by mode.
    refused: BTreeMap<String, Arc<Receipt>>,
}

impl Receipts {
    pub(super) fn new(telemetry: Arc<Telemetry>) -> Self {
        telemetry.metrics.expect_reloads(&ReloadOutcome::ALL.map(ReloadOutcome::name));
        Self { kept: Mutex::default(), telemetry }
    }

    /// The last receipts, the newest first.
    pub fn newest_first(&self) -> Vec<Arc<Receipt>> {
        self.kept().newest_first.iter().cloned().collect()
    }

    /// The rejected edit that nobody has mended yet.
    pub fn standing(&self) -> Option<Arc<Receipt>> {
        self.kept().standing.clone()
    }

    /// The refused builds that still lie there, one for each mode that they were refused for.
    pub fn refused(&self) -> Vec<Arc<Receipt>> {
        self.kept().refused.values().cloned().collect()
    }

    /// Numbers, keeps, counts and logs a receipt. `of_files` says that the attempt was for what lies in the files in
    /// force: then a rejection stands until an edit mends it.
    pub(super) fn add(&self, mut receipt: Receipt, of_files: bool) -> Arc<Receipt> {
        let mut kept = self.kept();
        kept.number += 1;
        receipt.number = kept.number;
        let receipt = Arc::new(receipt);
        let (outcome, is_swap) = (receipt.outcome, !receipt.modes.is_empty());
        match outcome {
            ReloadOutcome::Applied | ReloadOutcome::Unchanged if is_swap => {
                kept.refused.retain(|mode, _| !receipt.modes.contains(mode));
            }
            ReloadOutcome::Applied | ReloadOutcome::Unchanged => kept.standing = None,
            ReloadOutcome::Rejected if is_swap => {
                let refused = receipt.modes.iter().map(|mode| (mode.clone(), Arc::clone(&receipt)));
                kept.refused.extend(refused);
            }
            ReloadOutcome::Rejected if of_files => kept.standing = Some(Arc::clone(&receipt)),
            ReloadOutcome::Rejected | ReloadOutcome::Superseded => {}
        }
        kept.newest_first.push_front(Arc::clone(&receipt));
        kept.newest_first.truncate(KEPT);
        self.telemetry.metrics.set_generation(receipt.generation);
        match is_swap {
            true => self.telemetry.metrics.count_swap(outcome.name(), kept.refused.len()),
            false => self.telemetry.metrics.count_reload(outcome.name(), kept.standing.is_none()),
        }
        drop(kept);
        self.telemetry.mark(receipt.mark());
        receipt.log();
        receipt
    }

    /// Forgets what was refused for modes for which that does not lie there any more.
    pub(super) fn keep_refused(&self, lies_there: impl Fn(&str) -> bool) {
        let mut kept = self.kept();
        kept.refused.retain(|mode, _| lies_there(mode));
        self.telemetry.metrics.set_refused(kept.refused.len());
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receipt {
    pub(super) fn now(
        trigger: Trigger,
        profile: &str,
        outcome: ReloadOutcome,
        generation: u32,
        took: Duration,
    ) -> Self {
        Self {
            number: 0,
            at: format!("{:.3}", jiff::Timestamp::now()),
            trigger,
            profile: profile.to_owned(),
            files: Vec::new(),
            outcome,
            modes: Vec::new(),
            generation,
            changes: Vec::new(),
            faults: Vec::new(),
            took_millis: took.as_micros() as f64 / 1e3,
        }
    }

    /// As those see it who look at the frames around it.
    fn mark(&self) -> Mark {
        let kind = if self.modes.is_empty() { MarkKind::Reload } else { MarkKind::Swap };
        let text = match self.outcome {
            _ if self.trigger == Trigger::Start => "the server started".into(),
            ReloadOutcome::Rejected => self.faults.join("; "),
            _ => self.shown_changes(),
        };
        Mark::now(kind, self.outcome.name(), self.generation, self.modes.clone(), text)
    }

    fn log(&self) {
        match self.modes.is_empty() {
            true => self.log_reload(),
            false => self.log_swap(),
        }
    }

    fn shown_changes(&self) -> String {
        let shown = |change: &Change| format!("{} = {} (was {})", change.key, change.to, change.from);
        self.changes.iter().map(shown).collect::<Vec<_>>().join(", ")
    }

    fn log_swap(&self) {
        let Self { generation, took_millis, .. } = self;
        let modes = self.modes.join(", ");
        match self.outcome {
            ReloadOutcome::Applied | ReloadOutcome::Unchanged => {
                tracing::info!(generation, modes, took_millis, changes = self.shown_changes(), "Build swapped");
            }
            ReloadOutcome::Rejected => {
                for fault in &self.faults {
                    tracing::error!(generation, modes, fault, "Build refused, what was there before stays");
                }
            }
            ReloadOutcome::Superseded => tracing::info!(generation, modes, "Swap superseded by something newer"),
        }
    }

    fn log_reload(&self) {
        let Self { profile, generation, took_millis, .. } = self;
        match self.outcome {
            ReloadOutcome::Applied => {
                let changes = self.shown_changes();
                tracing::info!(generation, profile, took_millis, changes, "Configuration applied");
            }
            ReloadOutcome::Rejected => {
                for fault in &self.faults {
                    tracing::error!(generation, fault, "Configuration rejected, the last good one stays in force");
                }
            }
            ReloadOutcome::Unchanged => {
                tracing::info!(generation, profile, "Configuration read again: nothing changed")
            }
            ReloadOutcome::Superseded => {
                tracing::info!(generation, profile, "Configuration superseded by a newer edit")
            }
        }
    }
}
