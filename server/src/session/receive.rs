//! The receiving loop: frames go into the session's slot, questions are answered by notes.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    Error,
    extract::ws::{Message, WebSocket, close_code},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream::SplitStream};

use super::{ClientMessage, ClientView, Note, ServerMessage, Session, protocol::FrameMessage};
use crate::{
    model::{Mode, ModeState},
    pipeline::{Accepts, EncodedFrame, FrameError},
    telemetry::{FrameTrace, epoch_micros},
};

/// Reads until the client leaves or the server stops.
pub(super) async fn run(session: &Session, mut stream: SplitStream<WebSocket>) {
    let mut changes = session.service.registry.follow();
    let mut wanted_mode: Option<Arc<Mode>> = None;
    loop {
        tokio::select! {
            message = stream.next() => match message {
                Some(Ok(Message::Binary(bytes))) => receive_frame(session, &bytes).await,
                Some(Ok(Message::Text(text))) => receive_text(session, &text, &mut wanted_mode).await,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => return,
                Some(Err(error)) => return refuse(session, &error).await,
            },
            Ok(()) = changes.changed() => {
                session.say(ServerMessage::Modes { modes: session.service.mode_entries() }.to_json()).await;
                if let Some(mode) = wanted_mode.take() {
                    wanted_mode = change_mode(session, mode).await;
                }
            }
            // No new work; the answering loop ends the session when all is answered.
            () = session.service.stopping() => return std::future::pending().await,
        }
    }
}

async fn receive_frame(session: &Session, message: &Bytes) {
    let frame = match FrameMessage::read(message) {
        Ok(frame) => frame,
        Err(error) => return complain(session, "bad_message", &error).await,
    };
    session.received.fetch_add(1, Ordering::AcqRel);
    session.service.metrics.count_bytes("received", frame.payload.len());
    let trace = FrameTrace::start(frame.trace_id);
    if let Err(error) = check(session, &frame) {
        return session.say(session.drop_frame(frame.frame_id, &error)).await;
    }
    let superseded = session.slot.put(EncodedFrame {
        id: frame.frame_id,
        session: session.number,
        captured_at_micros: frame.captured_at_micros,
        bytes: frame.payload,
        accepts: Accepts::Jpeg,
        trace,
    });
    if let Some(old) = superseded {
        session.say(session.drop_frame(old.id, &FrameError::Superseded)).await;
    }
}

fn check(session: &Session, frame: &FrameMessage) -> Result<(), FrameError> {
    let (len_bytes, limit) = (frame.payload.len(), session.service.limits.max_frame_len_bytes);
    if len_bytes > limit {
        return Err(FrameError::TooManyBytes { len_bytes, limit });
    }
    if !frame.has_known_codec() {
        return Err(FrameError::Undecodable(format!("codec {} is unknown; 1 is JPEG", frame.codec)));
    }
    Ok(())
}

async fn receive_text(session: &Session, text: &str, wanted_mode: &mut Option<Arc<Mode>>) {
    let received = epoch_micros();
    match serde_json::from_str(text) {
        Ok(ClientMessage::Mode { mode }) => match session.service.registry.get(&mode) {
            Ok(mode) => *wanted_mode = change_mode(session, Arc::clone(mode)).await,
            Err(error) => complain(session, "unknown_mode", &error).await,
        },
        Ok(ClientMessage::View { soft_edge, picture }) => session.set_view(ClientView { soft_edge, picture }),
        Ok(ClientMessage::Clock { sent }) => {
            session.say(ServerMessage::Clock { sent, received, replied: epoch_micros() }.to_json()).await;
        }
        Ok(ClientMessage::Paint { frame_id, received_at, decoded_at, painted_at }) => {
            tracing::trace!(session = session.number, frame_id, received_at, decoded_at, painted_at, "Painted");
        }
        Ok(ClientMessage::Stats) => {
            let (received, answered, dropped) = session.counts();
            session.say(ServerMessage::Stats { received, answered, dropped }.to_json()).await;
        }
        Err(error) => complain(session, "bad_message", &format!("no message of segue.v2: {error}")).await,
    }
}

/// Takes `mode` over if it is ready, and says what became of it. Gives it back while it is loading.
async fn change_mode(session: &Session, mode: Arc<Mode>) -> Option<Arc<Mode>> {
    let state = mode.state();
    if let ModeState::Ready(_) = state {
        session.set_mode(Arc::clone(&mode));
    }
    let (name, message) = (state.name(), state.message().to_owned());
    session.say(ServerMessage::Mode { mode: &mode.name, index: mode.index, state: name, message }.to_json()).await;
    matches!(state, ModeState::Loading).then_some(mode)
}

async fn complain(session: &Session, code: &str, error: &impl ToString) {
    let message = error.to_string();
    tracing::debug!(session = session.number, code, message, "Message refused");
    session.say(ServerMessage::Error { code, message, recoverable: true }.to_json()).await;
}

/// Says why the session ends, and leaves the end to the answering loop. A connection that is simply gone has
/// nobody left to tell.
async fn refuse(session: &Session, error: &Error) {
    let text = error.to_string();
    tracing::debug!(session = session.number, error = text, "Reading from the client failed");
    let limit = session.service.limits.max_frame_len_bytes;
    let (code, close, message) =
        if text.contains("too long") || text.contains("too big") || text.contains("Space limit") {
            ("message_too_large", close_code::SIZE, format!("a message far above {limit} bytes, the largest frame"))
        } else if text.contains("UTF-8") || text.contains("utf-8") {
            ("bad_message", close_code::INVALID, "a text that is not UTF-8".to_owned())
        } else {
            return;
        };
    session.say(ServerMessage::Error { code, message, recoverable: false }.to_json()).await;
    if session.notes.send(Note::Close(close, "see the error before this")).await.is_ok() {
        std::future::pending().await
    }
}
