//! `GET /ws`: from an HTTP request to a session.

use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::App;
use crate::session::{self, ServerMessage, protocol::SUBPROTOCOL};

/// A message may be twice the largest frame: then the frame is dropped and the session lives. Beyond that the
/// session ends before the message is stored.
const LARGEST_MESSAGE_IN_FRAMES: usize = 2;

/// A session keeps the bound that it started with. This much is always let in, so that a limit that is raised while the
/// session lives is raised for it, too.
const ROOM_TO_RAISE_LEN_BYTES: usize = 4 << 20;

pub(super) async fn upgrade(State(app): State<App>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let configuration = app.service.configuration();
    if let Err(refusal) = check_origin(&headers, &configuration.security.allowed_origins) {
        return (StatusCode::FORBIDDEN, refusal).into_response();
    }
    let largest = (LARGEST_MESSAGE_IN_FRAMES * configuration.limits.max_frame_len_bytes).max(ROOM_TO_RAISE_LEN_BYTES);
    let upgrade = upgrade.max_message_size(largest).max_frame_size(largest).protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        let mend = format!("this server speaks the WebSocket subprotocol {SUBPROTOCOL}: ask for it in the handshake\n");
        return (StatusCode::BAD_REQUEST, mend).into_response();
    }
    upgrade.on_upgrade(|socket| serve(socket, app))
}

/// A browser says which page opens a socket, and lets any page open one to any host: a page of another origin must be
/// allowed by name. Programs say nothing and are let through.
fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), String> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is_own_page = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
    if is_own_page || allowed.iter().any(|allowed| allowed == "*" || allowed == origin) {
        return Ok(());
    }
    Err(format!("pages of {origin} may not open sessions here; security.allowed_origins of the profile can let them\n"))
}

async fn serve(socket: WebSocket, app: App) {
    let max_sessions = app.service.configuration().limits.max_sessions;
    match app.seats.take(max_sessions) {
        Some(_seat) => session::run(socket, app.service).await,
        None => turn_away(socket, max_sessions).await,
    }
}

/// In the socket, since a browser shows its page nothing of a refused handshake.
async fn turn_away(mut socket: WebSocket, max_sessions: usize) {
    let message = format!("the server has its {max_sessions} sessions; try again later");
    let error = ServerMessage::Error { code: "too_many_sessions", message, recoverable: false };
    let close = CloseFrame { code: close_code::AGAIN, reason: "too many sessions".into() };
    // Whether it is still there to read this makes no difference.
    let _ = socket.send(Message::Text(error.to_json().into())).await;
    let _ = socket.send(Message::Close(Some(close))).await;
}
