//! `POST /v1/segment`: one picture in, its mask out.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Query, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::LengthLimitError;
use serde::Deserialize;

use super::{App, refusal::Refusal};
use crate::{
    model::{Mode, UnknownMode},
    pipeline::{self, Accepts, EncodedFrame, FrameError, HEADROOM_LEN_BYTES, OutputView, Settings, View, Wanted},
    telemetry::{FrameTrace, Outcome},
};

/// Names the configuration under which a picture was segmented.
const GENERATION: HeaderName = HeaderName::from_static("segue-generation");

/// The query: everything has a default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    mode: Option<String>,
    view: Option<OutputView>,
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
            | FrameError::TooManyInFlight(_) => StatusCode::SERVICE_UNAVAILABLE,
            FrameError::Backend(_) | FrameError::Unencodable(_) | FrameError::Internal => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self { status, code: error.reason(), message: error.to_string() }
    }
}

pub(super) async fn segment(
    State(app): State<App>,
    question: Result<Query<Question>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let bad_query = |message| Refusal { status: StatusCode::BAD_REQUEST, code: "bad_query", message };
    let Query(question) = question.map_err(|error| bad_query(error.body_text()))?;
    let configuration = app.service.configuration();
    let mode = match &question.mode {
        None => configuration.modes.default_mode(),
        Some(name) => configuration.modes.get(name)?,
    };
    let body = read_body(body, configuration.limits.max_upload_len_bytes).await?;
    let (wanted, content_type) = choose(question.view, &headers)?;
    let trace = FrameTrace::start(trace_id(&headers), configuration.generation);
    let frame =
        EncodedFrame { id: 0, session: 0, captured_at_micros: 0, bytes: body, accepts: Accepts::AnyPicture, trace };
    let settings = Settings { result: configuration.result, limits: configuration.limits };
    let result = run(&app, mode, frame, settings, wanted).await;
    let outcome = match &result {
        Ok(_) => Outcome::Answered,
        Err(error) => Outcome::Dropped(error.reason()),
    };
    app.service.metrics.count_frame(&mode.name, outcome);
    let bytes = Bytes::from(result?).slice(HEADROOM_LEN_BYTES..);
    let headers =
        [(header::CONTENT_TYPE, HeaderValue::from_static(content_type)), (GENERATION, configuration.generation.into())];
    Ok((headers, bytes).into_response())
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

async fn run(
    app: &App,
    mode: &Mode,
    frame: EncodedFrame,
    settings: Settings,
    wanted: Wanted,
) -> Result<Vec<u8>, FrameError> {
    if !mode.state().can_serve() {
        return Err(FrameError::NotReady(mode.state().message().to_owned()));
    }
    // Large pictures take long to decode. They take turns, so that the frames of sessions find an instance.
    let _turn = app.uploads.acquire().await;
    let patience = Duration::from_millis(settings.limits.max_age_millis);
    let lease = match tokio::time::timeout(patience, mode.lease()).await {
        Ok(lease) => lease.map_err(FrameError::NotReady)?,
        Err(_elapsed) => return Err(FrameError::Expired(patience.as_millis())),
    };
    let encoded = pipeline::run(lease, frame, settings, wanted).await?;
    app.service.metrics.observe_stages(&mode.name, &encoded.trace);
    Ok(encoded.bytes)
}

/// `view=` names a picture or the mask, and `Accept` says which form it is to have; the first that both allow.
fn choose(view: Option<OutputView>, headers: &HeaderMap) -> Result<(Wanted, &'static str), Refusal> {
    let picture = view.and_then(OutputView::picture);
    let png = (Wanted::Png, "image/png");
    let json = (Wanted::Json, "application/json");
    let jpeg = (Wanted::Picture(picture.unwrap_or(View::Filled)), "image/jpeg");
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

/// The trace id of a W3C `traceparent`; zeros when there is none.
fn trace_id(headers: &HeaderMap) -> [u8; 16] {
    let mut trace_id = [0; 16];
    let parent = headers.get("traceparent").and_then(|value| value.to_str().ok());
    if let Some(field) = parent.and_then(|parent| parent.split('-').nth(1)) {
        // What is no trace id counts as none.
        if hex::decode_to_slice(field, &mut trace_id).is_err() {
            trace_id = [0; 16];
        }
    }
    trace_id
}
