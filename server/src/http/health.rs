//! `/healthz`, `/readyz`, `/health`, `/metrics`: for those who watch the server.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Json},
};
use serde_json::{Value, json};

use super::App;
use crate::{
    model::{Mode, ModeState},
    telemetry::{MetricsFormat, ModeNow, Now},
};

/// Alive means: the server's threads still do something. When none of them does, not even this is answered.
pub(super) async fn alive(State(app): State<App>) -> (StatusCode, &'static str) {
    match app.service.pulse.is_stuck() {
        false => (StatusCode::OK, "alive\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "stuck\n"),
    }
}

/// Ready means: the default mode serves, and the server is not stopping.
pub(super) async fn ready(State(app): State<App>) -> (StatusCode, String) {
    let configuration = app.service.configuration();
    let mode = configuration.modes.default_mode();
    if app.service.is_leaving() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the server is stopping\n".into());
    }
    match mode.state() {
        ModeState::Ready(_) | ModeState::Asleep => (StatusCode::OK, "ready\n".into()),
        state => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("mode {} is {}: {}\n", mode.name, state.name(), state.message()))
        }
    }
}

/// Whether new clients are to come here.
pub(super) fn is_ready(app: &App) -> bool {
    let configuration = app.service.configuration();
    let state = configuration.modes.default_mode().state();
    !app.service.is_leaving() && matches!(state, ModeState::Ready(_) | ModeState::Asleep)
}

/// As the system before this one said it, and true.
pub(super) async fn health(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let health = Health::of(&app);
    let configuration = app.service.configuration();
    let modes: Vec<_> = configuration.modes.all().iter().map(|mode| &*mode.name).collect();
    let body = json!({ "status": health.name(), "available_models": modes, "active_connections": app.seats.taken() });
    (health.status(), Json(body))
}

/// What the server can do for a client that comes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// The default mode serves.
    Healthy,
    /// It does not, and another mode does.
    Degraded,
    /// No mode serves yet.
    Loading,
    /// No mode serves, and none is about to.
    Unavailable,
    /// The server is stopping.
    Stopping,
}

impl Health {
    pub(super) fn of(app: &App) -> Self {
        let modes = &app.service.configuration().modes;
        let is = |holds: fn(&ModeState) -> bool| modes.all().iter().any(|mode| holds(&mode.state()));
        match modes.default_mode().state() {
            _ if app.service.is_leaving() => Self::Stopping,
            state if state.can_serve() => Self::Healthy,
            // Sessions begin in it: while it is being loaded, they wait for it.
            ModeState::Loading => Self::Loading,
            _ if is(ModeState::can_serve) => Self::Degraded,
            _ if is(|state| matches!(state, ModeState::Loading)) => Self::Loading,
            _ => Self::Unavailable,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Loading => "loading",
            Self::Unavailable => "unavailable",
            Self::Stopping => "stopping",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Healthy | Self::Degraded => StatusCode::OK,
            Self::Loading | Self::Unavailable | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

pub(super) async fn metrics(State(app): State<App>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = MetricsFormat::accepted(accept);
    let telemetry = &app.service.telemetry;
    let modes = &app.service.configuration().modes;
    let draining = app.service.registry.draining(modes);
    let in_force = modes.all().iter().map(|mode| mode_now(mode, Some(state_name(&mode.state()))));
    let modes = in_force.chain(draining.iter().map(|mode| mode_now(mode, None))).collect();
    let now = Now { modes, slow_micros: telemetry.slow_micros() };
    ([(header::CONTENT_TYPE, format.content_type())], telemetry.metrics.text(now, format))
}

/// As metrics have it: whoever watches wants to know more than clients do.
fn state_name(state: &ModeState) -> &'static str {
    match state {
        ModeState::Loading => "loading",
        ModeState::Ready(_) => "ready",
        ModeState::Asleep => "asleep",
        ModeState::Unavailable(fault) if fault.is_absence => "not_installed",
        ModeState::Unavailable(_) => "unavailable",
    }
}

fn mode_now(mode: &Mode, state: Option<&'static str>) -> ModeNow {
    let loaded = match mode.state() {
        ModeState::Ready(model) => Some(model),
        ModeState::Loading | ModeState::Asleep | ModeState::Unavailable(_) => None,
    };
    ModeNow {
        name: mode.name.clone(),
        state,
        model: mode.model.clone(),
        backend: mode.backend.clone(),
        build: mode.told().map(|(_, build)| build.clone()).unwrap_or_default(),
        instances: loaded.as_ref().map_or(0, |model| model.instance_count),
        waiting: loaded.as_ref().map_or(0, |model| model.waiting()),
        workers: loaded.map(|model| model.workers()).unwrap_or_default(),
    }
}
