//! The sending loop: answers and texts go to the client, in the order in which they are there.

use std::{sync::atomic::Ordering, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::{SinkExt, stream::SplitSink};
use tokio::{sync::mpsc, time::timeout};

use super::{
    Note, Session,
    protocol::{ResultHeader, result_message},
    segment::Answer,
};
use crate::{
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
        // The trace of the result that is sent: it ends when the socket has taken it.
        let mut sent = None;
        let message = tokio::select! {
            biased;
            Some(note) = notes.recv() => match note {
                Note::Text(text) => Message::Text(text.into()),
                Note::Close(code, reason) => close(code, reason),
            },
            Some(answer) = answers.recv() => {
                let (message, trace) = finish(session, answer);
                sent = trace;
                message
            }
            () = std::future::ready(()), if is_stopping && session.is_settled() => {
                close(close_code::AWAY, "the server is stopping")
            }
            () = &mut stopped, if !is_stopping => {
                is_stopping = true;
                continue;
            }
        };
        let patience = Duration::from_millis(session.configuration().limits.send_timeout_millis);
        let is_last = matches!(message, Message::Close(_));
        match timeout(patience, sink.send(message)).await {
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

/// Done a moment after the server is to stop: what was on its way by then is still answered.
async fn stopped(session: &Session) {
    session.service.stopping().await;
    tokio::time::sleep(STOP_GRACE).await;
}

/// Counts an answer, and puts it into a message. A result comes with its trace, which has not ended yet.
fn finish(session: &Session, answer: Answer) -> (Message, Option<FrameTrace>) {
    let (mask, trace) = match (answer.result, answer.trace) {
        (Ok(mask), Some(trace)) => (mask, trace),
        (result, trace) => {
            let error = result.err().unwrap_or(FrameError::Internal);
            let trace_id = trace.as_ref().map(|trace| hex::encode(trace.trace_id())).unwrap_or_default();
            tracing::debug!(session = session.number, frame = answer.frame_id, trace_id, %error, "Frame dropped");
            return (Message::Text(session.drop_frame(trace, answer.frame_id, &error).into()), None);
        }
    };
    session.service.telemetry.metrics.count_sent(mask.payload_len_bytes());
    let header = ResultHeader {
        mode_index: answer.mode.index,
        frame_id: answer.frame_id,
        captured_at_micros: answer.captured_at_micros,
        generation: trace.generation(),
        server_clock_micros: epoch_micros(),
    };
    session.answered.fetch_add(1, Ordering::AcqRel);
    (Message::Binary(result_message(header, mask, &trace)), Some(trace))
}

fn close(code: u16, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code, reason: reason.into() }))
}
