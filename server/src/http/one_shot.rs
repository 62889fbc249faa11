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
    pipeline::{Accepts, EncodedFrame, FrameError, HEADROOM_LEN_BYTES, View, Wanted},
    telemetry::{FrameTrace, Outcome},
};

/// The query: everything has a default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    mode: Option<String>,
    view: Option<QueryView>,
}

/// `view=`: the mask, or a picture that the server draws.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum QueryView {
    Mask,
    Filled,
    Contour,
    SideBySide,
    Blend,
}

impl QueryView {
    fn picture(self) -> Option<View> {
        match self {
            Self::Mask => None,
            Self::Filled => Some(View::Filled),
            Self::Contour => Some(View::Contour),
            Self::SideBySide => Some(View::SideBySide),
            Self::Blend => Some(View::Blend),
        }
    }
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
    let patience = Duration::from_millis(app.service.limits.max_age_millis);
    let lease = match tokio::time::timeout(patience, model.lease()).await {
        Ok(lease) => lease,
        Err(_elapsed) => return Err(FrameError::Expired(patience.as_millis())),
    };
    let encoded = app.service.pipeline.run(lease, frame, wanted).await?;
    app.service.metrics.observe_stages(&mode.name, &encoded.trace);
    Ok(encoded.bytes)
}

/// `view=` names a picture, or `Accept` says which form the mask is to have.
fn choose(view: Option<QueryView>, headers: &HeaderMap) -> Result<(Wanted, &'static str), Refusal> {
    if let Some(picture) = view.and_then(QueryView::picture) {
        return Ok((Wanted::Picture(picture), "image/jpeg"));
    }
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
    for part in accept.split(',') {
        let kind = part.split(';').next().unwrap_or_default().trim();
        match kind {
            "image/png" | "image/*" | "*/*" => return Ok((Wanted::Png, "image/png")),
            "application/json" => return Ok((Wanted::Json, "application/json")),
            "image/jpeg" if view.is_none() => return Ok((Wanted::Picture(View::Filled), "image/jpeg")),
            _ => {}
        }
    }
    Err(Refusal {
        status: StatusCode::NOT_ACCEPTABLE,
        code: "not_acceptable",
        message: "a mask comes as image/png or application/json, a picture as image/jpeg".into(),
    })
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
