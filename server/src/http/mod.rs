//! The HTTP side: routes to sessions, single pictures, health, metrics and the page.
//!
//! Architecture invariant: nothing here does a frame's work; a handler parses, hands over and formats.

mod admin;
mod configuration;
mod health;
mod one_shot;
mod page;
mod refusal;
mod seats;
mod shelf;
mod socket;
mod spans;
mod traceparent;
mod traces;

use std::{future::Future, io, sync::Arc};

use axum::{
    Router,
    extract::State,
    middleware,
    response::Json,
    routing::{get, post},
};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::{
    session::{Service, mode_entries},
    telemetry::SessionRecorder,
};
use seats::Seats;

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
    /// One permit for each single picture that is worked on at a time.
    uploads: Arc<Semaphore>,
    /// One permit for each listing of a directory at a time: they share their threads with frames.
    listings: Arc<Semaphore>,
}

/// Serves `service` on `listener` until `stop` is done and every session has ended.
pub async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    use axum::serve::ListenerExt;
    // A mask is small and wanted at once: no waiting for more to send.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY is not to be had");
        }
    });
    let seats = Arc::new(Seats::default());
    axum::serve(listener, router(service, Arc::clone(&seats))).with_graceful_shutdown(stop).await?;
    // To axum a connection has ended once it is a WebSocket.
    seats.all_free().await;
    Ok(())
}

fn router(service: Arc<Service>, seats: Arc<Seats>) -> Router {
    let pictures = service.telemetry.session(PICTURES);
    let one = || Arc::new(Semaphore::new(1));
    let app = App { service, pictures, seats, uploads: one(), listings: one() };
    let admin = Router::new()
        .route("/", get(admin::overview))
        .route("/profile", post(admin::switch_profile))
        .route("/reload", post(admin::reload_files))
        .route("/capture", post(admin::capture))
        .route("/plugins/{name}/reload", post(admin::reload_plugin))
        .route_layer(middleware::from_fn_with_state(app.clone(), admin::authorize));
    Router::new()
        .route("/", get(page::root))
        .route("/ws", get(socket::upgrade))
        .route("/v1/segment", post(one_shot::segment))
        .route("/v1/modes", get(modes))
        .route("/v1/plugins", get(shelf::plugins))
        .route("/v1/models", get(shelf::models))
        .route("/v1/profile", get(configuration::profile))
        .route("/v1/reloads", get(configuration::reloads))
        .route("/v1/traces", get(traces::list))
        .route("/v1/traces/{trace_id}", get(traces::one))
        .nest("/v1/admin", admin)
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/health", get(health::health))
        .route("/metrics", get(health::metrics))
        .fallback(get(page::file))
        .layer(middleware::from_fn(spans::trace))
        .with_state(app)
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
