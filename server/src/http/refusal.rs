//! How a request is refused: a status, and JSON with a code like those of the WebSocket.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Json, Response},
};

/// A refusal.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(serde_json::json!({"code": self.code, "message": self.message}))).into_response()
    }
}
