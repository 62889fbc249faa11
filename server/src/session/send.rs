//! The sending loop: answers and texts go to the client, in the order in which they are there.

use std::{sync::atomic::Ordering, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use futures_util::{SinkExt, stream::SplitSink};
use tokio::{sync::mpsc, time::timeout};

use super::{
    Note, ServerMessage, Session,
    protocol::{ResultHeader, result_message},
    segment::Answer,
};
use crate::{
    model::Mode,
    pipeline::FrameError,
    telemetry::{FrameTrace, Outcome, Stage, epoch_micros},
};

/// How long frames that are on their way when the server is to stop have to arrive.
const STOP_GRACE: Duration = Duration::from_millis(100);

/// How long a client has to answer our close before the connection is cut.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Sends until the client stops taking, the session is told to close, or the server stops.
pub(super) async fn run(
    session: &Session,
    mut sink: SplitSink<WebSocket, Message>,
    mut notes: mpsc::Receiver<Note>,
    mut answers: mpsc::Receiver<Answer>,
) {
    let mut stopped = std::pin::pin!(stopped(session));
    let mut is_stopping = false;
    loop {
        let Outgoing { before, message, sent } = tokio::select! {
            biased;
            Some(note) = notes.recv() => match note {
                Note::Text(text) => Message::Text(text.into()).into(),
                Note::Ping => Message::Ping(Bytes::new()).into(),
                Note::Dropped { frame_id, error } => dropped(session, &session.mode(), frame_id, &error),
                Note::Close(code, reason) => close(code, reason).into(),
            },
            Some(answer) = answers.recv() => finish(session, answer),
            () = std::future::ready(()), if is_stopping && session.is_settled() => {
                close(close_code::AWAY, "the server is stopping").into()
            }
            () = &mut stopped, if !is_stopping => {
                is_stopping = true;
                match going_away(session) {
                    Some(text) => Message::Text(text.into()).into(),
                    None => continue,
                }
            }
        };
        let patience = Duration::from_millis(session.configuration().limits.send_timeout_millis);
        let is_last = matches!(message, Message::Close(_));
        let sending = async {
            if let Some(before) = before {
                sink.feed(before).await?;
            }
            sink.send(message).await
        };
        match timeout(patience, sending).await {
            Ok(Ok(())) if is_last => return tokio::time::sleep(CLOSE_PATIENCE).await,
            Ok(Ok(())) => {
                if let Some(mut trace) = sent {
                    trace.end(Stage::Send, Stage::Encode);
                    trace.finish(Outcome::Answered, "");
                }
            }
            Ok(Err(_gone)) => return,
            Err(_elapsed) => {
                tracing::warn!(session = session.number, ?patience, "Client takes nothing and is disconnected");
                return;
            }
        }
    }
}

/// That the client had better connect anew: to another server if there is one. The legacy protocol has no word for it.
fn going_away(session: &Session) -> Option<String> {
    let message = "the server is stopping; connect again".to_owned();
    let message = ServerMessage::Error { code: "going_away", message, recoverable: true };
    session.legacy.is_none().then(|| message.to_json())
}

/// Done a moment after the server is to stop: what was on its way by then is still answered.
async fn stopped(session: &Session) {
    session.service.stopping().await;
    tokio::time::sleep(STOP_GRACE).await;
}

/// What is sent in one go.
struct Outgoing {
    /// Comes first.
    before: Option<Message>,
    message: Message,
    /// The trace of the result that is sent: it ends when the socket has taken it.
    sent: Option<FrameTrace>,
}

impl From<Message> for Outgoing {
    fn from(message: Message) -> Self {
        Self { before: None, message, sent: None }
    }
}

/// Says that a frame has no result.
fn dropped(session: &Session, mode: &Mode, frame_id: u32, error: &FrameError) -> Outgoing {
    let Some(legacy) = &session.legacy else {
        let (reason, message) = (error.reason(), error.to_string());
        return Message::Text(ServerMessage::Dropped { frame_id, reason, message }.to_json().into()).into();
    };
    let (told, answer) = legacy.dropped(frame_id, mode, error);
    Outgoing { before: told.map(|text| Message::Text(text.into())), message: Message::Text(answer), sent: None }
}

/// Counts an answer, and puts it into a message. A result comes with its trace, which has not ended yet.
fn finish(session: &Session, answer: Answer) -> Outgoing {
    let (mask, trace) = match (answer.result, answer.trace) {
        (Ok(mask), Some(trace)) => (mask, trace),
        (result, trace) => {
            let error = result.err().unwrap_or(FrameError::Internal);
            let trace_id = trace.as_ref().map(|trace| hex::encode(trace.trace_id())).unwrap_or_default();
            tracing::debug!(session = session.number, frame = answer.frame_id, trace_id, %error, "Frame dropped");
            session.drop_frame(trace, &error);
            return dropped(session, &answer.mode, answer.frame_id, &error);
        }
    };
    session.service.telemetry.metrics.count_sent(mask.payload_len_bytes());
    session.answered.fetch_add(1, Ordering::AcqRel);
    if let Some(legacy) = &session.legacy {
        let text = legacy.segmentation(answer.frame_id, &answer.mode, &mask, &trace);
        return Outgoing { before: None, message: Message::Text(text), sent: Some(trace) };
    }
    let header = ResultHeader {
        mode_index: answer.mode.index,
        frame_id: answer.frame_id,
        captured_at_micros: answer.captured_at_micros,
        generation: trace.generation(),
        server_clock_micros: epoch_micros(),
    };
    let message = Message::Binary(result_message(header, mask, &trace));
    Outgoing { before: None, message, sent: Some(trace) }
}

fn close(code: u16, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code, reason: reason.into() }))
}
