//! The HTTP side: routes to sessions, single pictures, health, metrics and the page.
//!
//! Architecture invariant: nothing here does a frame's work; a handler parses, hands over and formats.

mod access;
mod admin;
mod configuration;
mod connections;
mod health;
mod inference;
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
use connections::Versions;
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
    /// One permit for each single picture that may be worked on at a time.
    uploads: Arc<Semaphore>,
    /// One permit for each listing of a directory at a time: they share their threads with frames.
    listings: Arc<Semaphore>,
}

/// Where clients come.
pub struct Listeners {
    /// For everything but what has one of its own.
    pub main: TcpListener,
    /// For the Open Inference Protocol.
    pub inference: Option<TcpListener>,
}

/// Serves `service` on `listeners` until it is to stop and every session has ended.
pub async fn serve(listeners: Listeners, tls: Option<Arc<Tls>>, service: Arc<Service>) {
    let Listeners { main: listener, inference } = listeners;
    let several = |count: usize| Arc::new(Semaphore::new(count));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let app = App {
        pictures: service.telemetry.session(PICTURES),
        service: Arc::clone(&service),
        seats: Arc::default(),
        is_encrypted: tls.is_some(),
        is_local: listener.local_addr().is_ok_and(|address| address.ip().is_loopback()),
        uploads: several((cores / 2).max(1)),
        listings: several(1),
    };
    let inference = async {
        if let Some(listener) = inference {
            let (tls, router) = (tls.clone(), inference::router(app.clone()));
            connections::serve(listener, tls, Versions::Http1And2, router, Arc::clone(&service)).await;
        }
    };
    let main = connections::serve(listener, tls.clone(), Versions::Http1, router(app.clone()), Arc::clone(&service));
    tokio::join!(inference, main);
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
