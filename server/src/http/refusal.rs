//! How a request is refused: a status, and JSON with a code like those of the WebSocket.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Json, Response},
};

/// A refusal.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    /// The directory of `what` gave an error.
    pub(super) fn unreadable(what: &str, error: &std::io::Error) -> Self {
        let message = format!("the {what} directory can't be read: {error}");
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "unreadable", message }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(serde_json::json!({"code": self.code, "message": self.message}));
        match self.status {
            StatusCode::UNAUTHORIZED => (self.status, [(header::WWW_AUTHENTICATE, "Bearer")], body).into_response(),
            status => (status, body).into_response(),
        }
    }
}
