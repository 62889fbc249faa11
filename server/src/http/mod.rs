//! The HTTP side: routes to sessions, single pictures, health, metrics and the page.
//!
//! Architecture invariant: nothing here does a frame's work; a handler parses, hands over and formats.

mod access;
mod admin;
mod configuration;
mod connections;
mod health;
mod one_shot;
mod page;
mod refusal;
mod seats;
mod shelf;
mod socket;
mod spans;
mod tls;
mod traceparent;
mod traces;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderName, HeaderValue, header},
    middleware,
    response::{Json, Response},
    routing::{get, post},
};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::{
    session::{Service, mode_entries},
    telemetry::SessionRecorder,
};
use seats::Seats;
pub use tls::{Tls, TlsFault};

/// Of answers that have none of their own.
const SECURITY_HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(self), display-capture=(self), geolocation=(), microphone=()",
    ),
];

/// Single pictures are those of the session 0.
const PICTURES: u64 = 0;

/// What every handler sees.
#[derive(Clone)]
pub struct App {
    /// What all sessions share.
    pub service: Arc<Service>,
    /// Where the traces of single pictures end.
    pictures: Arc<SessionRecorder>,
    /// One for each session.
    seats: Arc<Seats>,
    /// Whether clients talk TLS with the server itself.
    is_encrypted: bool,
    /// Whether only this machine reaches it.
    is_local: bool,
    /// One permit for each single picture that is worked on at a time.
    uploads: Arc<Semaphore>,
    /// One permit for each listing of a directory at a time: they share their threads with frames.
    listings: Arc<Semaphore>,
}

/// Serves `service` on `listener` until it is to stop and every session has ended.
pub async fn serve(listener: TcpListener, tls: Option<Arc<Tls>>, service: Arc<Service>) {
    let one = || Arc::new(Semaphore::new(1));
    let app = App {
        pictures: service.telemetry.session(PICTURES),
        service: Arc::clone(&service),
        seats: Arc::default(),
        is_encrypted: tls.is_some(),
        is_local: listener.local_addr().is_ok_and(|address| address.ip().is_loopback()),
        uploads: one(),
        listings: one(),
    };
    connections::serve(listener, tls, router(app), service).await;
}

fn router(app: App) -> Router {
    let admin = Router::new()
        .route("/", get(admin::overview))
        .route("/profile", post(admin::switch_profile))
        .route("/reload", post(admin::reload_files))
        .route("/capture", post(admin::capture))
        .route("/drain", post(admin::drain))
        .route("/plugins/{name}/reload", post(admin::reload_plugin))
        .route_layer(middleware::from_fn_with_state(app.clone(), admin::authorize));
    Router::new()
        .route("/", get(page::root))
        .route("/sign-in", post(access::sign_in))
        .route("/ws", get(socket::upgrade))
        .route("/v1/segment", post(one_shot::segment))
        .route("/v1/modes", get(modes))
        .route("/v1/plugins", get(shelf::plugins))
        .route("/v1/models", get(shelf::models))
        .route("/v1/profile", get(configuration::profile))
        .route("/v1/reloads", get(configuration::reloads))
        .route("/v1/traces", get(traces::list))
        .route("/v1/traces/{trace_id}", get(traces::one))
        .route("/v1/openapi.json", get(description))
        .nest("/v1/admin", admin)
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/health", get(health::health))
        .route("/metrics", get(health::metrics))
        .fallback(get(page::file))
        .layer(middleware::from_fn_with_state(app.clone(), access::authorize))
        .layer(middleware::from_fn(spans::trace))
        .layer(middleware::map_response_with_state(app.clone(), security_headers))
        .with_state(app)
}

/// What browsers are to make of answers, whatever the answer is.
async fn security_headers(State(app): State<App>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if app.is_encrypted {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

/// All of this, for programs.
async fn description() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json"))
}

async fn modes(State(app): State<App>) -> Json<serde_json::Value> {
    let configuration = app.service.configuration();
    let default_mode = &*configuration.modes.default_mode().name;
    let draining = app.service.registry.draining(&configuration.modes);
    let draining: Vec<_> = draining
        .iter()
        .map(|mode| serde_json::json!({ "index": mode.index, "name": &*mode.name, "model": mode.model, "state": "draining" }))
        .collect();
    Json(serde_json::json!({ "default": default_mode, "modes": mode_entries(&configuration), "draining": draining }))
}
