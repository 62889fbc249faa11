//! `POST /v1/segment`: one picture in, its mask out.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Extension, Query, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::LengthLimitError;
use serde::Deserialize;
use tokio::time::timeout;

use super::{App, refusal::Refusal, traceparent::TraceParent};
use crate::{
    config::{Line, Pass},
    model::{Lease, Mode, UnknownMode},
    pipeline::{
        self, Accepts, Desk, Drawing, EncodedFrame, EncodedMask, FrameError, HEADROOM_LEN_BYTES, Look, OutputView,
        Settings, View, Wanted, read_classes, read_opacity,
    },
    reload::Configuration,
    telemetry::{FrameTrace, Measures, Outcome, Stage, TraceStart},
};

/// Names the configuration under which a picture was segmented.
pub(super) const GENERATION: HeaderName = HeaderName::from_static("segue-generation");

/// Names the trace of the picture, which `GET /v1/traces/{trace_id}` shows.
pub(super) const TRACE_ID: HeaderName = HeaderName::from_static("segue-trace-id");

/// The query: everything has a default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    mode: Option<String>,
    view: Option<OutputView>,
    /// Of a picture: how strongly colours cover it.
    opacity: Option<String>,
    /// Of a picture: the classes to draw, ids or labels between commas.
    classes: Option<String>,
}

impl From<UnknownMode> for Refusal {
    fn from(error: UnknownMode) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: "unknown_mode", message: error.to_string() }
    }
}

impl From<FrameError> for Refusal {
    fn from(error: FrameError) -> Self {
        let status = match &error {
            FrameError::TooManyBytes { .. } | FrameError::TooManyPixels { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            FrameError::Undecodable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            FrameError::NotReady(_)
            | FrameError::Expired(_)
            | FrameError::Stopping
            | FrameError::Superseded
            | FrameError::Overloaded(_)
            | FrameError::TooManyFrames(_)
            | FrameError::TooManyInFlight(_) => StatusCode::SERVICE_UNAVAILABLE,
            FrameError::Backend(_) | FrameError::Unencodable(_) | FrameError::Internal => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self { status, code: error.reason(), message: error.to_string() }
    }
}

fn bad_query(message: String) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, code: "bad_query", message }
}

pub(super) async fn segment(
    State(app): State<App>,
    question: Result<Query<Question>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    Extension(pass): Extension<Pass>,
    body: Body,
) -> Result<Response, Refusal> {
    let Query(question) = question.map_err(|error| bad_query(error.body_text()))?;
    let configuration = app.service.configuration();
    let mode = match &question.mode {
        None => configuration.modes.default_mode(),
        Some(name) => configuration.modes.get(name)?,
    };
    let body = read_upload(&app, body).await?;
    let (wanted, content_type) = choose(question.view, &headers)?;
    let wanted = match wanted {
        Wanted::Picture(look) => Wanted::Picture(dress(look.view, &question, mode)?),
        wanted => wanted,
    };
    let job = Job { mode, bytes: body, accepts: Accepts::AnyPicture, wanted };
    let (result, trace_id) = run(&app, &configuration, job, (&pass, &headers)).await;
    let bytes = result?.bytes.freeze().slice(HEADROOM_LEN_BYTES..);
    let trace_id = HeaderValue::try_from(trace_id).unwrap_or(HeaderValue::from_static(""));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (GENERATION, configuration.generation.into()),
        (TRACE_ID, trace_id),
    ];
    Ok((headers, bytes).into_response())
}

fn start_trace(
    app: &App,
    configuration: &Configuration,
    mode: &Mode,
    headers: &HeaderMap,
    len_bytes: usize,
) -> FrameTrace {
    let parent = TraceParent::of(headers);
    let frame_len_bytes = u32::try_from(len_bytes).unwrap_or(u32::MAX);
    let start = TraceStart {
        trace_id: parent.trace_id,
        parent_id: parent.span_id,
        is_asked_for: parent.is_sampled,
        generation: configuration.generation,
        mode: Arc::clone(&mode.name),
        served_by: mode.served_by(),
        measures: Measures { frame_len_bytes, in_flight: 1, ..Measures::default() },
        ..TraceStart::default()
    };
    let mut trace = FrameTrace::start(&app.pictures, start);
    trace.put(Stage::Receive, 0, trace.now());
    trace
}

/// Reads a request's body, as long as the limits allow.
pub(super) async fn read_upload(app: &App, body: Body) -> Result<Bytes, Refusal> {
    let limits = app.service.configuration().limits;
    let patience = Duration::from_millis(limits.request_timeout_millis);
    timeout(patience, read_body(body, limits.max_upload_len_bytes)).await.map_err(|_elapsed| Refusal {
        status: StatusCode::REQUEST_TIMEOUT,
        code: "timed_out",
        message: format!("the picture did not arrive within {patience:?}"),
    })?
}

/// Reads as much as the limit allows.
async fn read_body(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    to_bytes(body, limit).await.map_err(|error| {
        let is_too_large = std::error::Error::source(&error).is_some_and(|cause| cause.is::<LengthLimitError>());
        let (status, code) = match is_too_large {
            true => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            false => (StatusCode::BAD_REQUEST, "bad_body"),
        };
        Refusal { status, code, message: format!("{error}; at most {limit} bytes") }
    })
}

/// One picture, and what is to be made of it.
pub(super) struct Job<'a> {
    pub(super) mode: &'a Mode,
    pub(super) bytes: Bytes,
    pub(super) accepts: Accepts,
    pub(super) wanted: Wanted,
}

/// Segments a picture, and ends its trace, whose id comes back, too.
pub(super) async fn run(
    app: &App,
    configuration: &Configuration,
    job: Job<'_>,
    (pass, headers): (&Pass, &HeaderMap),
) -> (Result<EncodedMask, FrameError>, String) {
    let Job { mode, bytes, accepts, wanted } = job;
    let trace = start_trace(app, configuration, mode, headers, bytes.len());
    let trace_id = hex::encode(trace.trace_id());
    let frame = EncodedFrame { id: 0, session: 0, captured_at_micros: 0, bytes, accepts };
    let settings = Settings { result: configuration.result, limits: configuration.limits };
    let line = configuration.security.line(pass);
    let (result, trace) = run_frame(app, (mode, line), frame, trace, settings, wanted).await;
    if let Some(trace) = trace {
        match &result {
            Ok(_) => trace.finish(Outcome::Answered, ""),
            Err(error) => trace.finish(Outcome::Dropped(error.reason()), &error.to_string()),
        }
    }
    (result, trace_id)
}

async fn run_frame(
    app: &App,
    (mode, line): (&Mode, Line),
    frame: EncodedFrame,
    mut trace: FrameTrace,
    settings: Settings,
    wanted: Wanted,
) -> pipeline::Done {
    // Large pictures take long to decode. They take turns, so that the frames of sessions find an instance.
    let _turn = app.uploads.acquire().await;
    match lease(mode, line, settings.limits.max_age_millis).await {
        Ok(lease) => {
            trace.served_by(mode.served_by());
            Desk::default().run(lease, frame, trace, settings, wanted).await
        }
        Err(refused) => (Err(refused), Some(trace)),
    }
}

async fn lease(mode: &Mode, line: Line, patience_millis: u64) -> Result<Lease, FrameError> {
    if !mode.state().can_serve() {
        return Err(FrameError::NotReady(mode.state().message().to_owned()));
    }
    match timeout(Duration::from_millis(patience_millis), mode.lease(line)).await {
        Ok(lease) => lease.map_err(FrameError::NotReady),
        Err(_elapsed) => Err(FrameError::Expired(patience_millis.into())),
    }
}

/// `view=` names a picture or the mask, and `Accept` says which form it is to have; the first that both allow.
fn choose(view: Option<OutputView>, headers: &HeaderMap) -> Result<(Wanted, &'static str), Refusal> {
    let picture = view.and_then(OutputView::picture);
    let png = (Wanted::Png, "image/png");
    let json = (Wanted::Json, "application/json");
    let jpeg = (Wanted::Picture(Look::of(picture.unwrap_or(View::Filled))), "image/jpeg");
    let possible = match (view, picture) {
        (Some(_), Some(_)) => vec![jpeg],
        (Some(_), None) => vec![png, json],
        (None, _) => vec![png, json, jpeg],
    };
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
    let chosen = accepted(accept).into_iter().find_map(|range| {
        let fits = |kind: &str| match range.strip_suffix('*') {
            Some("*/") => true,
            Some(start) => kind.starts_with(start),
            None => kind == range,
        };
        possible.iter().copied().find(|(_, kind)| fits(kind))
    });
    chosen.ok_or_else(|| Refusal {
        status: StatusCode::NOT_ACCEPTABLE,
        code: "not_acceptable",
        message: "a mask comes as image/png or application/json, a picture as image/jpeg".into(),
    })
}

/// The look of `view` with what the question says of it.
fn dress(view: View, question: &Question, mode: &Mode) -> Result<Look, Refusal> {
    let mut drawing = Drawing::of(view);
    if let Some(opacity) = &question.opacity {
        drawing.opacity = read_opacity(opacity).map_err(|message| bad_query(format!("opacity={message}")))?;
    }
    let Some(classes) = &question.classes else { return Ok(drawing.look(&[])) };
    drawing.classes = Some(read_classes(classes));
    // A mode that was never loaded has no classes yet.
    let (info, _) = mode.told().ok_or_else(|| FrameError::NotReady(mode.state().message().to_owned()))?;
    match drawing.first_unknown(&info.labels) {
        Some(unknown) => Err(bad_query(format!("classes={unknown}: the mode {:?} has no such class", &*mode.name))),
        None => Ok(drawing.look(&info.labels)),
    }
}

/// The media ranges of an `Accept`, the most wanted first; those with q=0 are not wanted at all.
fn accepted(accept: &str) -> Vec<&str> {
    let mut ranges: Vec<(f32, &str)> = accept
        .split(',')
        .map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
            (quality.unwrap_or(1.0), kind)
        })
        .filter(|&(quality, _)| quality > 0.0)
        .collect();
    ranges.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    ranges.into_iter().map(|(_, kind)| kind).collect()
}
