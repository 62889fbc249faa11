//! `/healthz`, `/readyz`, `/metrics`: for those who watch the server.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};

use super::App;
use crate::model::ModeState;

pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// Ready means: the default mode serves, and the server is not stopping.
pub(super) async fn ready(State(app): State<App>) -> (StatusCode, String) {
    let configuration = app.service.configuration();
    let mode = configuration.modes.default_mode();
    if *app.service.draining.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the server is stopping\n".into());
    }
    match mode.state() {
        ModeState::Ready(_) | ModeState::Asleep => (StatusCode::OK, "ready\n".into()),
        state => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("mode {} is {}: {}\n", mode.name, state.name(), state.message()))
        }
    }
}

pub(super) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, OPEN_METRICS)], app.service.telemetry.metrics.text())
}
