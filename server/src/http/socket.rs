//! `GET /ws`: from an HTTP request to a session.

use std::sync::Arc;

use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::App;
use crate::session::{self, ServerMessage, protocol::SUBPROTOCOL};

/// A message may be twice the largest frame: then the frame is dropped and the session lives. Beyond that the
/// session ends before the message is stored.
const LARGEST_MESSAGE_IN_FRAMES: usize = 2;

pub(super) async fn upgrade(State(app): State<App>, upgrade: WebSocketUpgrade) -> Response {
    let largest = LARGEST_MESSAGE_IN_FRAMES * app.service.limits.max_frame_len_bytes;
    let upgrade = upgrade.max_message_size(largest).max_frame_size(largest).protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        let mend = format!("this server speaks the WebSocket subprotocol {SUBPROTOCOL}: ask for it in the handshake\n");
        return (StatusCode::BAD_REQUEST, mend).into_response();
    }
    upgrade.on_upgrade(|socket| serve(socket, app))
}

async fn serve(socket: WebSocket, app: App) {
    match Arc::clone(&app.places).try_acquire_owned() {
        Ok(_place) => session::run(socket, app.service).await,
        Err(_full) => turn_away(socket, app.service.limits.max_sessions).await,
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
