//! `GET /v1/profile` and `GET /v1/reloads`: what is in force, and how it came to be.

use axum::{extract::State, response::Json};
use serde_json::{Value, json};

use super::App;

/// Every key with its value, unit and origin.
pub(super) async fn profile(State(app): State<App>) -> Json<Value> {
    let configuration = app.service.configuration();
    Json(json!({
        "profile": configuration.profile,
        "generation": configuration.generation,
        "profiles": app.service.reloads.profile_names().await.unwrap_or_default(),
        "files": configuration.files,
        "keys": configuration.effective,
    }))
}

/// The last attempts to reload, the newest first; the rejected one that stands, if one does; and the refused builds that
/// still lie there.
pub(super) async fn reloads(State(app): State<App>) -> Json<Value> {
    let receipts = app.service.reloads.receipts();
    let standing = receipts.standing();
    Json(json!({
        "generation": app.service.configuration().generation,
        "last_reload_successful": standing.is_none(),
        "standing": standing.as_deref(),
        "refused": receipts.refused().iter().map(|receipt| json!(**receipt)).collect::<Vec<_>>(),
        "reloads": receipts.newest_first().iter().map(|receipt| json!(**receipt)).collect::<Vec<_>>(),
    }))
}
