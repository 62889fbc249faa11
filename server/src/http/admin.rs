//! `/v1/admin/…`: for whoever holds the admin token.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    extract::{Path, Request, State, rejection::JsonRejection},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Json, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use serde_json::json;

use super::{App, access::bearer_token, refusal::Refusal};
use crate::reload::{Receipt, ReloadOutcome, Trigger};

const LONGEST_CAPTURE_SECONDS: u32 = 120;

/// What to switch to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Switch {
    profile: String,
}

/// Lets a request with the admin token through.
pub(super) async fn authorize(State(app): State<App>, request: Request, next: Next) -> Result<Response, Refusal> {
    let security = &app.service.configuration().security;
    if !security.has_admin() {
        let message =
            "the admin API is off: set security.admin_token in the profile, or SEGUE_CFG__SECURITY__ADMIN_TOKEN";
        return Err(Refusal { status: StatusCode::FORBIDDEN, code: "admin_off", message: message.into() });
    }
    if bearer_token(request.headers()).is_some_and(|token| security.is_admin(token)) {
        return Ok(next.run(request).await);
    }
    let message = "the request needs the header `Authorization: Bearer TOKEN`, with the admin token".into();
    Err(Refusal { status: StatusCode::UNAUTHORIZED, code: "unauthorized", message })
}

/// Has the server stop as SIGTERM would: `/readyz` turns, frames in flight are finished.
pub(super) async fn drain(State(app): State<App>) -> (StatusCode, Json<serde_json::Value>) {
    app.service.stop_wanted.notify_one();
    (StatusCode::ACCEPTED, Json(json!({ "state": "draining" })))
}

/// What can be chosen: a token that gets this is right.
pub(super) async fn overview(State(app): State<App>) -> Result<Json<serde_json::Value>, Refusal> {
    let profiles = profile_names(&app).await?;
    Ok(Json(json!({ "profile": app.service.configuration().profile, "profiles": profiles })))
}

async fn profile_names(app: &App) -> Result<Vec<String>, Refusal> {
    app.service.reloads.profile_names().await.map_err(|error| Refusal::unreadable("profile", &error))
}

/// Switches to another profile.
pub(super) async fn switch_profile(
    State(app): State<App>,
    switch: Result<Json<Switch>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(Switch { profile }) = switch.map_err(|error| Refusal {
        status: error.status(),
        code: "bad_body",
        message: format!("expected {{\"profile\": NAME}}: {}", error.body_text()),
    })?;
    let names = profile_names(&app).await?;
    if !names.contains(&profile) {
        let message = format!("there is no profile {profile:?}; there are: {}", names.join(", "));
        return Err(Refusal { status: StatusCode::NOT_FOUND, code: "unknown_profile", message });
    }
    answer(app.service.reloads.reload(Trigger::Admin, Some(profile)).await)
}

/// Reads the files again.
pub(super) async fn reload_files(State(app): State<App>) -> Result<Response, Refusal> {
    answer(app.service.reloads.reload(Trigger::Admin, None).await)
}

/// Loads the modes of a plugin anew, from what lies in its file now.
pub(super) async fn reload_plugin(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Refusal> {
    let configuration = app.service.configuration();
    if configuration.modes.of_backend(&name).next().is_none() {
        let known: BTreeSet<_> = configuration.modes.all().iter().map(|mode| mode.backend.as_str()).collect();
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        let message = format!("no mode uses a plugin {name:?}; those in use are: {known}");
        return Err(Refusal { status: StatusCode::NOT_FOUND, code: "unknown_plugin", message });
    }
    answer(app.service.reloads.reload_plugin(Trigger::Admin, name).await)
}

/// For how long pictures are taken along.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaptureOrder {
    seconds: u32,
}

/// Waits, and answers with the pictures of the frames that came meanwhile, by trace.
pub(super) async fn capture(
    State(app): State<App>,
    order: Result<Json<CaptureOrder>, JsonRejection>,
) -> Result<Response, Refusal> {
    let bad = |message: String| Refusal { status: StatusCode::BAD_REQUEST, code: "bad_body", message };
    let Json(CaptureOrder { seconds }) =
        order.map_err(|error| bad(format!("expected {{\"seconds\": NUMBER}}: {}", error.body_text())))?;
    if !(1..=LONGEST_CAPTURE_SECONDS).contains(&seconds) {
        return Err(bad(format!("{seconds} seconds can't be captured; ask for 1 to {LONGEST_CAPTURE_SECONDS}")));
    }
    tracing::info!(seconds, "Pictures of clients' frames are captured");
    let taken = app.service.telemetry.capture(Duration::from_secs(seconds.into())).await;
    let taken = taken.ok_or_else(|| Refusal {
        status: StatusCode::CONFLICT,
        code: "capturing",
        message: "somebody else is capturing; try again when they are done".into(),
    })?;
    let frames: serde_json::Map<_, _> =
        taken.pictures.iter().map(|(id, picture)| (hex::encode(id), BASE64.encode(picture).into())).collect();
    Ok(Json(json!({ "frames": frames, "left_out": taken.left_out })).into_response())
}

fn answer(receipt: Option<Arc<Receipt>>) -> Result<Response, Refusal> {
    let receipt = receipt.ok_or_else(|| Refusal {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "stopping",
        message: "the server is stopping".into(),
    })?;
    let (status, code) = match receipt.outcome {
        ReloadOutcome::Applied | ReloadOutcome::Unchanged => return Ok(Json(json!(*receipt)).into_response()),
        ReloadOutcome::Rejected => (StatusCode::UNPROCESSABLE_ENTITY, "rejected"),
        ReloadOutcome::Superseded => (StatusCode::CONFLICT, "superseded"),
    };
    let message = match receipt.outcome {
        ReloadOutcome::Rejected => receipt.faults.join("\n"),
        _ => "a newer edit came before this one was ready".into(),
    };
    Ok((status, Json(json!({ "code": code, "message": message, "attempt": *receipt }))).into_response())
}
