//! `GET /v1/traces` and `GET /v1/traces/{trace_id}`: what the flight recorder holds, and what is the matter with it.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Json,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{App, refusal::Refusal};
use crate::telemetry::{FrameRecord, Usual, epoch_micros};

/// How many traces are listed when nobody says how many.
const LISTED: usize = 500;
/// How many may be asked for.
const MOST_LISTED: usize = 10_000;

/// The query: which frames, and how many of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Question {
    slowest: Option<usize>,
    limit: Option<usize>,
    seconds: Option<u64>,
    session: Option<u64>,
    mode: Option<String>,
    outcome: Option<String>,
    reason: Option<String>,
    generation: Option<u32>,
    since: Option<u64>,
    until: Option<u64>,
    min_millis: Option<f64>,
}

impl Question {
    fn admits(&self, record: &FrameRecord) -> bool {
        let (outcome, reason) = record.outcome.names();
        let start = record.start_micros();
        self.session.is_none_or(|session| session == record.session)
            && self.mode.as_deref().is_none_or(|mode| mode == &*record.mode)
            && self.outcome.as_deref().is_none_or(|wanted| wanted == outcome)
            && self.reason.as_deref().is_none_or(|wanted| wanted == reason)
            && self.generation.is_none_or(|generation| generation == record.generation)
            && self.since.is_none_or(|since| start >= since)
            && self.until.is_none_or(|until| start <= until)
            && self
                .seconds
                .is_none_or(|seconds| start >= epoch_micros().saturating_sub(seconds.saturating_mul(1_000_000)))
            && self.min_millis.is_none_or(|least| f64::from(record.total_micros()) >= least * 1e3)
    }

    fn check(&self) -> Result<(), Refusal> {
        let bad = |message: String| Err(bad_query(message));
        let limit = self.slowest.or(self.limit).unwrap_or(LISTED);
        if !(1..=MOST_LISTED).contains(&limit) {
            return bad(format!("{limit} traces can't be listed; ask for 1 to {MOST_LISTED}"));
        }
        match self.outcome.as_deref() {
            None | Some("answered" | "dropped") => Ok(()),
            Some(other) => bad(format!("outcome={other} is unknown; ask for answered or dropped")),
        }
    }

    fn limit(&self) -> usize {
        self.slowest.or(self.limit).unwrap_or(LISTED)
    }
}

fn bad_query(message: String) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, code: "bad_query", message }
}

/// The traces that the query admits, the newest first, or the slowest.
pub(super) async fn list(
    State(app): State<App>,
    question: Result<Query<Question>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let Query(question) = question.map_err(|error| bad_query(error.body_text()))?;
    question.check()?;
    read(&app, move |app| answer(app, &question)).await
}

/// One trace.
pub(super) async fn one(State(app): State<App>, Path(trace_id): Path<String>) -> Result<Json<Value>, Refusal> {
    let mut wanted = [0; 16];
    if hex::decode_to_slice(&trace_id, &mut wanted).is_err() {
        return Err(bad_query(format!("{trace_id:?} is no trace id, which has 32 hexadecimal digits")));
    }
    let found = read(&app, move |app| {
        let frames = app.service.telemetry.frames();
        let newest = frames.iter().filter(|record| record.trace_id == wanted);
        let newest = newest.max_by_key(|record| record.received_at_micros);
        newest.map_or(Value::Null, |record| describe(record, &Usual::of(&frames), app.service.telemetry.slow_micros()))
    });
    match found.await? {
        Json(Value::Null) => {
            let message = format!("the flight recorder holds no trace {trace_id}; it may have held it once");
            Err(Refusal { status: StatusCode::NOT_FOUND, code: "unknown_trace", message })
        }
        found => Ok(found),
    }
}

/// Many frames take a while to look through: off the threads that serve clients, one question at a time.
async fn read(app: &App, work: impl FnOnce(&App) -> Value + Send + 'static) -> Result<Json<Value>, Refusal> {
    // Nobody closes the semaphore. The turn goes with the work: whoever hangs up does not end that.
    let turn = Arc::clone(&app.listings).acquire_owned().await;
    let owned = app.clone();
    let worked = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work(&owned)
    })
    .await;
    worked.map(Json).map_err(|error| Refusal {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        code: "internal",
        message: error.to_string(),
    })
}

fn answer(app: &App, question: &Question) -> Value {
    let telemetry = &app.service.telemetry;
    let slow_micros = telemetry.slow_micros();
    let frames = telemetry.frames();
    let usual = Usual::of(&frames);
    let mut matching: Vec<_> = frames.iter().filter(|record| question.admits(record)).collect();
    let diagnosis = usual.diagnose(&matching, slow_micros);
    match question.slowest {
        Some(_) => matching.sort_by_key(|record| std::cmp::Reverse(record.total_micros())),
        None => matching.sort_by_key(|record| std::cmp::Reverse(record.start_micros())),
    }
    let listed = matching.iter().take(question.limit());
    json!({
        "now_micros": epoch_micros(),
        "generation": app.service.configuration().generation,
        "slow_millis": slow_micros / 1000,
        "sessions": telemetry.sessions(),
        "matched": matching.len(),
        "traces": listed.map(|record| describe(record, &usual, slow_micros)).collect::<Vec<_>>(),
        "marks": telemetry.marks(),
        "diagnosis": diagnosis,
    })
}

fn describe(record: &FrameRecord, usual: &Usual, slow_micros: u32) -> Value {
    let whole = record.spans.whole();
    let stages = record.spans.iter().map(|(stage, span)| {
        json!({
            "stage": stage.name(),
            "start_micros": span.start_micros.saturating_sub(whole.start_micros),
            "duration_micros": span.duration_micros,
        })
    });
    let (outcome, reason) = record.outcome.names();
    let served_by = record.served_by.as_deref();
    let measures = &record.measures;
    json!({
        "trace_id": hex::encode(record.trace_id),
        "session": record.session,
        "frame_id": record.frame_id,
        "generation": record.generation,
        "mode": &*record.mode,
        "model": served_by.map_or("", |by| &by.model),
        "backend": served_by.map_or("", |by| &by.backend),
        "build": served_by.map_or("", |by| &by.build),
        "outcome": outcome,
        "reason": reason,
        "message": &*record.message,
        "is_settled": record.is_settled,
        "is_painted": record.is_painted,
        "start_micros": record.start_micros(),
        "total_micros": whole.duration_micros,
        "clock_error_micros": record.clock_error_micros,
        "kept": record.kept.map_or("", |kept| kept.name()),
        "is_slow": whole.duration_micros >= slow_micros,
        "stages": stages.collect::<Vec<_>>(),
        "why": usual.why(record),
        "frame_len_bytes": measures.frame_len_bytes,
        "result_len_bytes": measures.result_len_bytes,
        "frame_width_px": measures.frame_size_px.0,
        "frame_height_px": measures.frame_size_px.1,
        "mask_width_px": measures.mask_size_px.0,
        "mask_height_px": measures.mask_size_px.1,
        "jpeg_quality": measures.jpeg_quality,
        "in_flight": measures.in_flight,
        "queue_depth": measures.queue_depth,
    })
}
