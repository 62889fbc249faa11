//! The HTTP side: routes to sessions, single pictures, health, metrics and the page.
//!
//! Architecture invariant: nothing here does a frame's work; a handler parses, hands over and formats.

mod health;
mod one_shot;
mod page;
mod socket;

use std::{future::Future, io, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    response::Json,
    routing::{get, post},
};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::session::Service;

/// What every handler sees.
#[derive(Clone)]
pub struct App {
    /// What all sessions share.
    pub service: Arc<Service>,
    /// One permit for each session that is still let in.
    places: Arc<Semaphore>,
    /// One permit for each single picture that is worked on at a time.
    uploads: Arc<Semaphore>,
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
    let max_sessions = service.limits.max_sessions;
    let places = Arc::new(Semaphore::new(max_sessions));
    axum::serve(listener, router(service, Arc::clone(&places))).with_graceful_shutdown(stop).await?;
    // To axum a connection has ended once it is a WebSocket. Whoever holds every place knows that no session is left.
    let _every_place = places.acquire_many(u32::try_from(max_sessions).unwrap_or(u32::MAX)).await;
    Ok(())
}

fn router(service: Arc<Service>, places: Arc<Semaphore>) -> Router {
    let upload = DefaultBodyLimit::max(service.limits.max_upload_len_bytes);
    let uploads = Arc::new(Semaphore::new(1));
    Router::new()
        .route("/ws", get(socket::upgrade))
        .route("/v1/segment", post(one_shot::segment).layer(upload))
        .route("/v1/modes", get(modes))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(get(page::file))
        .with_state(App { service, places, uploads })
}

async fn modes(State(app): State<App>) -> Json<serde_json::Value> {
    let default_mode = &app.service.registry.default_mode().name;
    Json(serde_json::json!({ "default": &**default_mode, "modes": app.service.mode_entries() }))
}
