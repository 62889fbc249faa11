//! What happened to the server while frames came: reloads, swaps, crashes. Whoever looks at many frames sees them there.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use super::epoch_micros;

/// How many are kept.
const KEPT: usize = 200;

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Mark {
    /// When, microseconds since the epoch.
    pub at_micros: u64,
    /// What.
    pub kind: MarkKind,
    /// How it went.
    pub outcome: &'static str,
    /// The configuration in force after it; 0 when it does not matter.
    pub generation: u32,
    /// The modes that it was about; none when about all.
    pub modes: Vec<String>,
    /// What it was, in a sentence.
    pub text: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MarkKind {
    /// The configuration was read.
    Reload,
    /// Another build was put behind a mode.
    Swap,
    /// An instance crashed.
    Crash,
}

impl Mark {
    /// Now.
    pub fn now(kind: MarkKind, outcome: &'static str, generation: u32, modes: Vec<String>, text: String) -> Self {
        Self { at_micros: epoch_micros(), kind, outcome, generation, modes, text }
    }
}

#[derive(Default)]
pub(super) struct Marks(Mutex<VecDeque<Mark>>);

impl Marks {
    pub(super) fn add(&self, mark: Mark) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.push_front(mark);
        marks.truncate(KEPT);
    }

    pub(super) fn newest_first(&self) -> Vec<Mark> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
