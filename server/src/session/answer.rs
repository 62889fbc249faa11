//! The answering loop: the newest frame is segmented and its result sent; notes go out in between.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::{SinkExt, stream::SplitSink};
use tokio::sync::mpsc;

use super::{
    Note, Session,
    protocol::{ResultHeader, result_message},
};
use crate::{
    admission,
    model::{LoadedModel, Mode, ModeState},
    pipeline::{EncodedMask, FrameError},
    telemetry::{Outcome, epoch_micros},
};

/// What became of one frame.
struct Answer {
    frame_id: u32,
    captured_at_micros: u64,
    mode: Arc<Mode>,
    result: Result<EncodedMask, FrameError>,
}

/// Sends until the client stops taking, the session is told to close, or the server stops.
pub(super) async fn run(session: &Session, mut sink: SplitSink<WebSocket, Message>, mut notes: mpsc::Receiver<Note>) {
    let mut next = std::pin::pin!(next_answer(session));
    loop {
        let message = tokio::select! {
            Some(note) = notes.recv() => match note {
                Note::Text(text) => Message::Text(text.into()),
                Note::Close(code, reason) => close(code, reason),
            },
            answer = &mut next => {
                next.set(next_answer(session));
                finish(session, answer)
            }
            () = session.service.stopping(), if session.is_settled() && notes.is_empty() => {
                close(close_code::AWAY, "the server is stopping")
            }
        };
        let is_last = matches!(message, Message::Close(_));
        let timeout = Duration::from_millis(session.service.limits.send_timeout_millis);
        match tokio::time::timeout(timeout, sink.send(message)).await {
            Ok(Ok(())) if !is_last => {}
            Ok(_sent_or_gone) => return,
            Err(_elapsed) => {
                tracing::warn!(session = session.number, ?timeout, "Client takes nothing and is disconnected");
                return;
            }
        }
    }
}

/// Waits for a frame and its turn, and has it segmented.
async fn next_answer(session: &Session) -> Answer {
    loop {
        session.slot.filled().await;
        let mode = session.mode();
        let admitted = match ready_model(&mode).await {
            Ok(model) => admission::admit(&session.slot, &model).await.map(|admitted| (model, admitted)),
            Err(reason) => match session.slot.take() {
                Some(frame) => {
                    let (frame_id, captured_at_micros) = (frame.id, frame.captured_at_micros);
                    return Answer { frame_id, captured_at_micros, mode, result: Err(FrameError::NotReady(reason)) };
                }
                None => continue,
            },
        };
        let Some((model, (frame, lease))) = admitted else { continue };
        let (frame_id, captured_at_micros) = (frame.id, frame.captured_at_micros);
        let result = match admission::check_age(&frame, session.service.limits.max_age_millis) {
            Ok(()) => {
                let wanted = session.wanted(model.info.has_confidence);
                session.service.pipeline.run(lease, frame, wanted).await
            }
            Err(expired) => Err(expired),
        };
        return Answer { frame_id, captured_at_micros, mode, result };
    }
}

/// The model behind `mode`, once it is loaded; or why it never will be.
async fn ready_model(mode: &Mode) -> Result<Arc<LoadedModel>, String> {
    let mut state = mode.follow();
    loop {
        match &*state.borrow_and_update() {
            ModeState::Ready(model) => return Ok(Arc::clone(model)),
            ModeState::Unavailable(reason) => return Err(reason.clone()),
            ModeState::Loading => {}
        }
        if state.changed().await.is_err() {
            return Err("the mode is gone".into());
        }
    }
}

/// Counts an answer, and puts it into a message.
fn finish(session: &Session, answer: Answer) -> Message {
    let mask = match answer.result {
        Ok(mask) => mask,
        Err(error) => {
            tracing::debug!(session = session.number, frame = answer.frame_id, %error, "Frame dropped");
            return Message::Text(session.drop_frame(answer.frame_id, &error).into());
        }
    };
    let metrics = &session.service.metrics;
    metrics.count_frame(&answer.mode.name, Outcome::Answered);
    metrics.observe_stages(&answer.mode.name, &mask.trace);
    let header = ResultHeader {
        mode_index: answer.mode.index,
        frame_id: answer.frame_id,
        captured_at_micros: answer.captured_at_micros,
        generation: session.service.generation,
        server_clock_micros: epoch_micros(),
    };
    let message = result_message(header, mask);
    metrics.count_bytes("sent", message.len());
    session.answered.fetch_add(1, Ordering::AcqRel);
    Message::Binary(message)
}

fn close(code: u16, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code, reason: reason.into() }))
}
