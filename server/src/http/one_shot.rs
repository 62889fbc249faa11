//! `POST /v1/segment`: one picture in, its mask out.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{Query, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Json, Response},
};
use serde::Deserialize;

use super::App;
use crate::{
    model::{ModeState, UnknownMode},
    pipeline::{Accepts, EncodedFrame, FrameError, HEADROOM_LEN_BYTES, OutputView, View, Wanted},
    telemetry::{FrameTrace, Outcome},
};

/// The query: everything has a default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    mode: Option<String>,
    view: Option<OutputView>,
}

/// A refusal, as JSON with a code like those of the WebSocket.
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(serde_json::json!({"code": self.code, "message": self.message}))).into_response()
    }
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
            FrameError::NotReady(_) | FrameError::Expired(_) | FrameError::Stopping | FrameError::Superseded => {
                StatusCode::SERVICE_UNAVAILABLE
            }
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
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let bad_query = |message| Refusal { status: StatusCode::BAD_REQUEST, code: "bad_query", message };
    let Query(question) = question.map_err(|error| bad_query(error.body_text()))?;
    let mode = match &question.mode {
        None => app.service.registry.default_mode(),
        Some(name) => app.service.registry.get(name)?,
    };
    let body = body.map_err(|error| Refusal {
        status: error.status(),
        code: if error.status() == StatusCode::PAYLOAD_TOO_LARGE { "too_large" } else { "bad_body" },
        message: format!("{}; at most {} bytes", error.body_text(), app.service.limits.max_upload_len_bytes),
    })?;
    let (wanted, content_type) = choose(question.view, &headers)?;
    let trace = FrameTrace::start(trace_id(&headers));
    let frame =
        EncodedFrame { id: 0, session: 0, captured_at_micros: 0, bytes: body, accepts: Accepts::AnyPicture, trace };
    let result = run(&app, mode, frame, wanted).await;
    let outcome = match &result {
        Ok(_) => Outcome::Answered,
        Err(error) => Outcome::Dropped(error.reason()),
    };
    app.service.metrics.count_frame(&mode.name, outcome);
    let bytes = Bytes::from(result?).slice(HEADROOM_LEN_BYTES..);
    Ok(([(header::CONTENT_TYPE, content_type)], bytes).into_response())
}

async fn run(app: &App, mode: &crate::model::Mode, frame: EncodedFrame, wanted: Wanted) -> Result<Vec<u8>, FrameError> {
    let ModeState::Ready(model) = mode.state() else {
        return Err(FrameError::NotReady(mode.state().message().to_owned()));
    };
    // Large pictures take long to decode. They take turns, so that the frames of sessions find an instance.
    let _turn = app.uploads.acquire().await;
    let patience = Duration::from_millis(app.service.limits.max_age_millis);
    let lease = match tokio::time::timeout(patience, model.lease()).await {
        Ok(lease) => lease,
        Err(_elapsed) => return Err(FrameError::Expired(patience.as_millis())),
    };
    let encoded = app.service.pipeline.run(lease, frame, wanted).await?;
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
