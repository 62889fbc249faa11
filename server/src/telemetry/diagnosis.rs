//! Why a frame was slow, in words: each stage is compared with what it usually takes in the same mode.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::Serialize;

use super::{FrameRecord, Outcome, Stage, record::BACKEND_FAILED};

/// A frame stands out that takes so many times what is usual, and so much longer at least.
const OUTLIER_RATIO: f64 = 1.5;
const OUTLIER_MICROS: f64 = 20_000.0;

/// So many frames may stand out without anything being wrong.
const OUTLIERS_BORNE: f64 = 0.01;

/// Why one frame took what it took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Why {
    /// The stage that made the difference, or that most of the time goes to; empty when there is none.
    pub stage: &'static str,
    /// How much longer than usual that stage took.
    pub extra_micros: u32,
    /// In a sentence or two.
    pub text: String,
    #[serde(skip)]
    stands_out: bool,
}

/// What is the matter with many frames.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// How many frames were looked at.
    pub frames: usize,
    /// How many of them were slow, stood out or have no result.
    pub slow: usize,
    /// The median of those that were answered.
    pub typical_micros: u32,
    /// Whether there is nothing to mend.
    pub is_fine: bool,
    /// In a few sentences.
    pub text: String,
    /// What made frames slow, the worst first.
    pub causes: Vec<Cause>,
}

/// One reason for which frames were slow or failed.
#[derive(Clone, Debug, Serialize)]
pub struct Cause {
    /// The stage; empty when the frames were dropped.
    pub stage: &'static str,
    /// The reason of the drops; empty when the frames were slow.
    pub reason: &'static str,
    /// How many frames.
    pub frames: usize,
    /// What it cost the typical one of them.
    pub extra_micros: u32,
    /// In a sentence, of the worst of them.
    pub text: String,
    #[serde(skip)]
    weight: u64,
}

/// What stages usually take, by mode.
pub struct Usual(HashMap<Arc<str>, Typical>);

#[derive(Clone, Default)]
struct Typical {
    stages: [u32; Stage::COUNT],
    total: u32,
}

impl Usual {
    /// The medians of `frames`.
    pub fn of(frames: &[FrameRecord]) -> Self {
        let mut by_mode: HashMap<&Arc<str>, Vec<&FrameRecord>> = HashMap::new();
        for record in frames.iter().filter(|record| record.outcome == Outcome::Answered) {
            by_mode.entry(&record.mode).or_default().push(record);
        }
        Self(by_mode.into_iter().map(|(mode, records)| (Arc::clone(mode), Typical::of(&records))).collect())
    }

    /// Why a frame took what it took.
    pub fn why(&self, record: &FrameRecord) -> Why {
        let typical = self.0.get(&record.mode).cloned().unwrap_or_default();
        let took = |stage: Stage| record.spans.get(stage).map_or(0, |span| span.duration_micros);
        let extra = |stage: Stage| took(stage).saturating_sub(typical.stages[stage as usize]);
        let longest = longest(record).map(|(stage, _)| stage);
        if let Outcome::Dropped(reason) = record.outcome {
            let waited = longest.map_or_else(String::new, |stage| {
                format!(" Its longest stage was {} ({}): {}.", stage.words(), stage.name(), millis(took(stage)))
            });
            let text = format!("It was dropped ({reason}): {}.{waited}", record.message);
            return Why { stage: longest.map_or("", Stage::name), extra_micros: 0, text, stands_out: false };
        }
        let Some(longest) = longest else {
            return Why { stage: "", extra_micros: 0, text: "Nothing was measured.".into(), stands_out: false };
        };
        let total = record.total_micros();
        let stands_out = f64::from(total) > f64::from(typical.total) * OUTLIER_RATIO + OUTLIER_MICROS;
        let culprit = Stage::ALL.into_iter().max_by_key(|&stage| extra(stage)).unwrap_or(longest);
        let (stage, text) = match stands_out {
            true => (culprit, told(record, culprit, took(culprit), typical.stages[culprit as usize])),
            false => (longest, as_usual(record, longest, took(longest))),
        };
        Why { stage: stage.name(), extra_micros: extra(stage), text, stands_out }
    }

    /// What is the matter with `frames`, of which one is slow from `slow_micros` on.
    pub fn diagnose(&self, frames: &[&FrameRecord], slow_micros: u32) -> Diagnosis {
        let mut totals: Vec<_> = frames.iter().filter(|record| record.outcome == Outcome::Answered).collect();
        totals.sort_by_key(|record| record.total_micros());
        let typical = totals.get(totals.len() / 2);
        let typical_micros = typical.map_or(0, |record| record.total_micros());
        let mut found: BTreeMap<&'static str, Vec<(u32, Why)>> = BTreeMap::new();
        let (mut is_grave, mut slow) = (false, 0);
        for record in frames {
            let is_slow = record.total_micros() >= slow_micros;
            let (why, is_failed) = (self.why(record), record.outcome == Outcome::Dropped(BACKEND_FAILED));
            let key = match record.outcome {
                Outcome::Dropped(reason) => reason,
                Outcome::Answered if is_slow || why.stands_out => why.stage,
                Outcome::Answered => continue,
            };
            is_grave |= is_failed || (is_slow && record.outcome == Outcome::Answered);
            slow += 1;
            let cost = match record.outcome {
                Outcome::Answered if why.stands_out => why.extra_micros,
                Outcome::Answered => record.total_micros(),
                // However soon it was: nobody sees it.
                Outcome::Dropped(_) => record.total_micros().max(slow_micros),
            };
            found.entry(key).or_default().push((cost, why));
        }
        let mut causes: Vec<_> = found.into_iter().map(cause).collect();
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.weight));
        let is_fine = !is_grave && slow as f64 <= frames.len() as f64 * OUTLIERS_BORNE;
        let text = summary(frames.len(), slow, typical.map(|record| **record), &causes);
        Diagnosis { frames: frames.len(), slow, typical_micros, is_fine, text, causes }
    }
}

impl Typical {
    fn of(records: &[&FrameRecord]) -> Self {
        let median = |mut values: Vec<u32>| {
            let middle = values.len() / 2;
            if values.is_empty() { 0 } else { *values.select_nth_unstable(middle).1 }
        };
        let of_stage = |stage: Stage| {
            // What most frames don't go through usually takes nothing.
            let spans = records.iter().map(|record| record.spans.get(stage));
            median(spans.map(|span| span.map_or(0, |span| span.duration_micros)).collect())
        };
        Self {
            stages: Stage::ALL.map(of_stage),
            total: median(records.iter().map(|record| record.total_micros()).collect()),
        }
    }
}

fn cause((key, mut frames): (&'static str, Vec<(u32, Why)>)) -> Cause {
    frames.sort_by_key(|(cost, _)| *cost);
    let weight = frames.iter().map(|(cost, _)| u64::from(*cost)).sum();
    let count = frames.len();
    let extra_micros = frames[count / 2].0;
    let stage = Stage::ALL.into_iter().find(|stage| stage.name() == key);
    let reason = if stage.is_some() { "" } else { key };
    // There is one at least, or there would be no cause.
    let text = frames.pop().map_or_else(String::new, |(_, worst)| worst.text);
    Cause { stage: stage.map_or("", Stage::name), reason, frames: count, extra_micros, text, weight }
}

fn summary(frames: usize, slow: usize, typical: Option<&FrameRecord>, causes: &[Cause]) -> String {
    if frames == 0 {
        return "No frame was recorded.".into();
    }
    let usual = match typical.and_then(|record| Some((record, longest(record)?))) {
        Some((record, (stage, took))) => format!(
            "A frame typically takes {}, most of it ({}) for {} ({}).",
            millis(record.total_micros()),
            millis(took),
            stage.words(),
            stage.name()
        ),
        None => "No frame was answered.".into(),
    };
    let Some(worst) = causes.first() else { return usual };
    let by = match Stage::ALL.into_iter().find(|stage| stage.name() == worst.stage) {
        Some(stage) => format!("by {} ({})", stage.words(), stage.name()),
        None => format!("dropped as {}", worst.reason),
    };
    let were = if slow == 1 { "was" } else { "were" };
    let most = if worst.frames == slow { String::new() } else { format!("{} of them ", worst.frames) };
    format!("{slow} of {frames} frames {were} slow or dropped, {most}{by}. {usual}")
}

/// The stage that most of a frame's time went to, and how much that is.
fn longest(record: &FrameRecord) -> Option<(Stage, u32)> {
    record.spans.iter().map(|(stage, span)| (stage, span.duration_micros)).max_by_key(|&(_, took)| took)
}

fn as_usual(record: &FrameRecord, longest: Stage, took: u32) -> String {
    format!(
        "Most of it, {} of {}, goes to {} ({}), as usual.",
        millis(took),
        millis(record.total_micros()),
        longest.words(),
        longest.name()
    )
}

fn told(record: &FrameRecord, stage: Stage, took: u32, usual: u32) -> String {
    let hint = hint(record, stage);
    let space = if hint.is_empty() { "" } else { " " };
    format!(
        "{} of {} went to {} ({}), which usually takes {}.{space}{hint}",
        millis(took),
        millis(record.total_micros()),
        stage.words(),
        stage.name(),
        millis(usual),
    )
}

/// What to look at next.
fn hint(record: &FrameRecord, stage: Stage) -> String {
    let measures = &record.measures;
    match stage {
        Stage::Uplink => format!(
            "The frame has {}: a lower capture.jpeg_quality or capture.max_dimension_px sends less.",
            kilobytes(measures.frame_len_bytes)
        ),
        Stage::Downlink | Stage::Send => format!(
            "The result has {}: a smaller result.max_width_px, or no soft edge, sends less.",
            kilobytes(measures.result_len_bytes)
        ),
        Stage::Queue => match measures.queue_depth {
            0 => "The session's own frame before it held the model up.".into(),
            1 => "Another frame waited for the same model: it may need more instances.".into(),
            others => format!("{others} other frames waited for the same model: it may need more instances."),
        },
        Stage::Decode => {
            let (width, height) = measures.frame_size_px;
            format!("The frame is {width}x{height} and has {}.", kilobytes(measures.frame_len_bytes))
        }
        Stage::Preprocess | Stage::Infer | Stage::Postprocess | Stage::Call => match &record.served_by {
            Some(served_by) => format!(
                "That is {} by {}, build {}.",
                served_by.model,
                served_by.backend,
                served_by.build.get(..12).unwrap_or(&served_by.build)
            ),
            None => String::new(),
        },
        Stage::BrowserCapture | Stage::BrowserEncode | Stage::BrowserSend => {
            "The browser was busy before the frame left it.".into()
        }
        Stage::BrowserReceive | Stage::BrowserDecode | Stage::BrowserPaint => {
            "The browser was busy with something else, or its tab was hidden.".into()
        }
        Stage::Receive | Stage::Encode => "The server's cores were busy.".into(),
    }
}

/// Milliseconds, with as many digits as one reads.
pub fn millis(micros: u32) -> String {
    match micros {
        0..10_000 => format!("{:.1} ms", f64::from(micros) / 1e3),
        _ => format!("{:.0} ms", f64::from(micros) / 1e3),
    }
}

fn kilobytes(len_bytes: u32) -> String {
    format!("{:.1} KB", f64::from(len_bytes) / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{FrameTrace, TraceStart, record::Spans};

    fn frame(stages: &[(Stage, u32)]) -> FrameRecord {
        let mut record = FrameTrace::unrecorded(TraceStart::default()).into_record();
        record.spans = Spans::default();
        let mut at = 0;
        for &(stage, micros) in stages {
            record.spans.put(stage, at, at + micros as i32);
            at += micros as i32;
        }
        record
    }

    fn usual() -> Vec<FrameRecord> {
        let plain = [(Stage::Uplink, 4_000), (Stage::Queue, 100), (Stage::Infer, 12_000), (Stage::BrowserPaint, 8_000)];
        (0..99).map(|_| frame(&plain)).collect()
    }

    #[test]
    fn the_stage_that_took_longer_than_usual_is_named() {
        for stage in [Stage::Uplink, Stage::Infer, Stage::BrowserPaint, Stage::Decode] {
            let mut frames = usual();
            let mut stalled = frames[0].clone();
            stalled.spans.put(stage, 50_000, 142_000);
            frames.push(stalled);
            let usual = Usual::of(&frames);
            assert_eq!(usual.why(&frames[99]).stage, stage.name());
            let all: Vec<_> = frames.iter().collect();
            let diagnosis = usual.diagnose(&all, 100_000);
            assert_eq!((diagnosis.slow, diagnosis.is_fine), (1, false));
            assert_eq!(diagnosis.causes[0].stage, stage.name(), "{}", diagnosis.text);
        }
    }

    #[test]
    fn what_is_always_slow_is_named_as_what_is_usual() {
        let frames = usual();
        let all: Vec<_> = frames.iter().collect();
        let diagnosis = Usual::of(&frames).diagnose(&all, 100_000);
        assert!(diagnosis.is_fine && diagnosis.causes.is_empty());
        let expected = "A frame typically takes 24 ms, most of it (12 ms) for the backend's network (plugin.infer).";
        assert_eq!(diagnosis.text, expected);
    }
}
