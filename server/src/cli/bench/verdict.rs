//! What to make of a load's figures: a list of what a live demonstration needs, each with its mend.

use std::time::Duration;

use serde::Serialize;

use super::{
    crowd::Told,
    figures::{Figures, Load, Usage},
    live::Frames,
};

/// A load of at least so long shows whether memory stays where it is, to the percent.
const LONG: Duration = Duration::from_secs(600);

/// One line of the verdict.
#[derive(Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) holds: bool,
    pub(super) measured: String,
    pub(super) wanted: String,
    /// What to do about it.
    pub(super) mend: &'static str,
}

fn check(name: &'static str, holds: bool, measured: String, wanted: &str, mend: &'static str) -> Check {
    Check { name, holds, measured, wanted: wanted.into(), mend }
}

fn millis(millis: f64) -> String {
    format!("{millis:.1} ms")
}

/// What a live demonstration needs, and whether it is so.
pub(super) fn verdict(load: &Load, figures: &Figures) -> Vec<Check> {
    let mut verdict = Vec::from(of_frames(load, figures));
    verdict.push(of_frame_size(figures));
    verdict.extend(of_pace(load, figures));
    verdict.extend(of_the_server(load, figures));
    verdict
}

fn of_frames(load: &Load, figures: &Figures) -> [Check; 4] {
    let Frames { sent, answered, dropped, lost } = load.frames;
    let (latency, server) = (figures.latency_millis, &figures.server_micros);
    // A lease lasts from decode to encode.
    let busy_seconds = (server.total.p50 - server.queue.p50).max(1.0) / 1e6;
    let due = if load.pace.is_zero() { f64::INFINITY } else { load.clients.len() as f64 / load.pace.as_secs_f64() };
    let possible = due.min(load.instances / busy_seconds);
    let in_server = server.total.p99 / 1e3;
    [
        check(
            "every frame is answered or told to be dropped",
            sent == answered + dropped + lost,
            format!("{sent} sent, {answered} answered, {dropped} dropped, {lost} lost with the server"),
            "the sum",
            "a fault of the server: please report it",
        ),
        check(
            "latency",
            latency.p95 > 0.0 && latency.p95 < 500.0,
            format!("p95 {}", millis(latency.p95)),
            "p95 below 500 ms",
            "a faster mode, fewer clients, or smaller frames (capture.max_dimension_px)",
        ),
        check(
            "what is answered is in time",
            in_server <= load.deadline_millis,
            format!("p99 in the server {}", millis(in_server)),
            &format!("p99 at most limits.max_age_millis, {}", load.deadline_millis),
            "the backend takes longer than a frame may get old: a faster mode, or a longer limits.max_age_millis",
        ),
        check(
            "frames a second match the model",
            figures.fps >= 0.8 * possible,
            format!("{:.1} of {possible:.1}", figures.fps),
            "80 of 100 that are due and that the model can do",
            "the link or the cores are busy with something else: lower capture.jpeg_quality, or look at `segue trace --check`",
        ),
    ]
}

const SMALLER: &str = "lower capture.jpeg_quality or capture.max_dimension_px";

fn of_frame_size(figures: &Figures) -> Check {
    let len_bytes = figures.frame_len_bytes.p50;
    check("frame size", len_bytes <= 40e3, format!("{:.1} KB", len_bytes / 1e3), "40 KB at most", SMALLER)
}

/// Of clients that keep to a pace and to the server's limits.
fn of_pace(load: &Load, figures: &Figures) -> Vec<Check> {
    if load.pace.is_zero() || load.is_open_loop {
        return Vec::new();
    }
    let (gaps, a_second) = (figures.gap_millis, figures.bytes_a_second);
    vec![
        check(
            "bytes a second of a client",
            a_second <= 1e6,
            format!("{:.0} KB", a_second / 1e3),
            "1 MB at most",
            SMALLER,
        ),
        check(
            "frames in flight are not stuck at their limit",
            figures.held_back_share <= 0.5,
            format!("{:.0} of 100 frames were held back", 100.0 * figures.held_back_share),
            "50 at most",
            "the backend is the bottleneck: a faster mode, or more instances",
        ),
        check(
            "smooth",
            gaps.p95 <= 2.0 * gaps.p50 + 5.0,
            format!("from result to result p50 {}, p95 {}", millis(gaps.p50), millis(gaps.p95)),
            "p95 at most twice p50, and 5 ms",
            "`segue trace --check` says what the slow ones waited for",
        ),
    ]
}

fn of_the_server(load: &Load, figures: &Figures) -> Vec<Check> {
    let (infer, clock) = (figures.server_micros.infer, figures.clock_millis.p95);
    let mut verdict = vec![
        check(
            "inference is steady",
            infer.p95 <= 2.0 * infer.p50 + 1000.0,
            format!("p50 {}, p95 {}", millis(infer.p50 / 1e3), millis(infer.p95 / 1e3)),
            "p95 at most twice p50, and 1 ms",
            "the processor throttles, or shares its cores: fewer instances or threads of the mode",
        ),
        check(
            "controls are answered at once",
            clock <= 100.0,
            format!("p95 {}", millis(clock)),
            "p95 at most 100 ms",
            "the server's cores are busy: fewer instances or threads of the mode",
        ),
        if load.measured >= LONG { flat(&load.usage) } else { does_not_grow(&load.usage) },
    ];
    let crowd = &load.crowd.0;
    if crowd.visits > 0 {
        verdict.push(check(
            "who comes for one frame gets it",
            crowd.failed_visits.is_empty(),
            visits(crowd),
            "nobody who did not",
            "limits.max_sessions, max_connections and their like leave no room, or the server is too busy to greet",
        ));
    }
    if let Some(back) = figures.back_millis {
        verdict.push(check(
            "clients are back soon",
            back.max <= 2000.0,
            format!("{} at most", millis(back.max)),
            "2 s at most",
            "what loads long (weights, a golden check) keeps the start; `segue serve` says when it is ready",
        ));
    }
    verdict
}

/// How many failed, and why most of them did.
fn visits(crowd: &Told) -> String {
    let failed: u64 = crowd.failed_visits.values().sum();
    let why = crowd.failed_visits.iter().max_by_key(|(_, count)| **count);
    let why = why.map(|(reason, count)| format!(" ({count} times: {reason})")).unwrap_or_default();
    format!("{failed} of {} did not{why}", crowd.visits)
}

const GROWS: &str = "run it for longer, and look at segue_worker_resident_memory_bytes: is it the plugin?";

fn megabytes(usage: &Usage) -> f64 {
    (usage.server_bytes + usage.worker_bytes) / 1e6
}

fn does_not_grow(usage: &[Usage]) -> Check {
    let [before, after] = [usage.first(), usage.last()].map(|usage| usage.map_or(0.0, megabytes));
    let measured = format!("{before:.0} MB, then {after:.0} MB");
    check("memory does not grow", after <= 1.1 * before + 16.0, measured, "at most a tenth and 16 MB", GROWS)
}

/// The last fifth of the time beside the second one: the first is for getting there.
fn flat(usage: &[Usage]) -> Check {
    let fifth = usage.len() / 5;
    let mean = |of: fn(&Usage) -> f64, part: &[Usage]| part.iter().map(of).sum::<f64>() / part.len().max(1) as f64;
    let growth = |of: fn(&Usage) -> f64| {
        let [early, late] = [&usage[fifth..2 * fifth], &usage[usage.len() - fifth..]].map(|part| mean(of, part));
        100.0 * (late / early - 1.0)
    };
    let (memory, descriptors) = (growth(megabytes), growth(|usage| usage.descriptors));
    let measured = format!("memory {memory:+.1} %, descriptors {descriptors:+.1} %");
    check("memory and descriptors are flat", memory <= 2.0 && descriptors <= 2.0, measured, "at most 2 %", GROWS)
}
