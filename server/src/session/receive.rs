//! The receiving loop: frames go into the session's slot, questions are answered by notes.

use std::sync::{Arc, atomic::Ordering};

use axum::extract::ws::{Message, WebSocket, close_code};
use bytes::Bytes;
use futures_util::{StreamExt, stream::SplitStream};
use tokio::{sync::watch, time::sleep};
use tokio_tungstenite::tungstenite;

use super::{
    ClientMessage, ClientView, Note, Phase, ServerMessage, Session, follow, legacy, mode_entries,
    pace::{Idle, Pace, Silence},
    protocol::FrameMessage,
};
use crate::{
    admission::WaitingFrame,
    model::{Mode, ModeState},
    pipeline::{Accepts, EncodedFrame, FrameError, Settings},
    reload::Configuration,
    telemetry::{ClientTimes, FrameTrace, Measures, Stage, TraceStart, epoch_micros},
};

/// Longest complaint about a client's message.
const COMPLAINT_LEN_BYTES: usize = 300;

/// Reads until the client leaves, and takes over each new configuration between two messages. `mode_states` tells when
/// a mode changes its state.
pub(super) async fn run(
    session: &Session,
    mut stream: SplitStream<WebSocket>,
    mut configurations: watch::Receiver<Arc<Configuration>>,
    mut mode_states: watch::Receiver<()>,
) {
    let mut wanted_mode: Option<Arc<Mode>> = None;
    let (mut pace, mut silence) = (Pace::default(), Silence::default());
    follow::fall_back(session).await;
    loop {
        let limits = session.configuration().limits;
        tokio::select! {
            biased;
            Ok(()) = configurations.changed() => {
                let new = Arc::clone(&configurations.borrow_and_update());
                if !new.security.lets_in(&session.pass) {
                    let message = "the token that opened this session is no longer good".into();
                    return end(session, "unauthorized", message, close_code::POLICY).await;
                }
                follow::adopt(session, new, &mut wanted_mode).await;
                follow::fall_back(session).await;
                follow::tell_mode(session).await;
            }
            Ok(()) = mode_states.changed() => {
                say_modes(session).await;
                follow::fall_back(session).await;
                if let Some(mode) = wanted_mode.take() {
                    wanted_mode = change_mode(session, mode).await;
                }
                follow::tell_mode(session).await;
            }
            message = stream.next() => {
                let len_bytes = match message {
                    Some(Ok(message)) => take(session, message, &mut wanted_mode).await,
                    Some(Err(error)) => return refuse(session, error).await,
                    None => return,
                };
                silence.heard();
                // Who says more than may be said is not heard for a while: what it sends meanwhile waits at its own end.
                if let Some(rest) = pace.rest_after(len_bytes, &limits) {
                    sleep(rest).await;
                }
            }
            idle = silence.noticed(limits.idle_timeout_millis) => match idle {
                Idle::Ask => session.leave(Note::Ping).await,
                Idle::Gone => {
                    let message = format!("nothing came for {} ms", limits.idle_timeout_millis);
                    return end(session, "idle", message, close_code::POLICY).await;
                }
            },
        }
    }
}

/// Takes what the client said; how long it was.
async fn take(session: &Session, message: Message, wanted_mode: &mut Option<Arc<Mode>>) -> usize {
    let len_bytes = match &message {
        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        Message::Text(text) => text.len(),
        Message::Close(_) => 0,
    };
    match message {
        Message::Binary(bytes) => receive_frame(session, &bytes).await,
        Message::Text(text) => receive_text(session, &text, wanted_mode).await,
        // What is to be said to these is said for us, by reading on.
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => {}
    }
    len_bytes
}

async fn receive_frame(session: &Session, message: &Bytes) {
    if session.legacy.is_some() {
        return complain(session, "bad_message", &"a binary message; this protocol has texts alone").await;
    }
    match FrameMessage::read(message) {
        Ok(frame) => take_frame(session, frame, None).await,
        Err(error) => complain(session, "bad_message", &error).await,
    }
}

/// Counts a frame, and puts it into the slot; or drops it, for its `fault` or another.
pub(super) async fn take_frame(session: &Session, frame: FrameMessage, fault: Option<FrameError>) {
    session.received.fetch_add(1, Ordering::AcqRel);
    session.service.telemetry.metrics.count_received(frame.payload.len());
    let configuration = session.configuration();
    let mode = session.mode();
    let mut trace = start_trace(session, &configuration, &frame, &mode);
    if let Err(error) = fault.map_or(Ok(()), Err).and_then(|()| check(session, &configuration, &frame)) {
        return drop_frame(session, trace, frame.frame_id, error).await;
    }
    session.service.telemetry.take_picture(trace.trace_id(), &frame.payload);
    let frame = EncodedFrame {
        id: frame.frame_id,
        session: session.number,
        captured_at_micros: frame.captured_at_micros,
        bytes: frame.payload,
        accepts: Accepts::Jpeg,
    };
    let settings = Settings { result: configuration.result, limits: configuration.limits };
    let line = configuration.security.line(&session.pass);
    trace.put(Stage::Receive, 0, trace.now());
    if let Some(old) = session.slot.put(WaitingFrame { frame, trace, mode, settings, line }) {
        drop_frame(session, old.trace, old.frame.id, FrameError::Superseded).await;
    }
    // An idle session takes this frame before the next one, which may have come together with it, replaces it.
    tokio::task::yield_now().await;
}

async fn drop_frame(session: &Session, trace: FrameTrace, frame_id: u32, error: FrameError) {
    session.drop_frame(Some(trace), &error);
    session.leave(Note::Dropped { frame_id, error }).await;
}

fn start_trace(session: &Session, configuration: &Configuration, frame: &FrameMessage, mode: &Mode) -> FrameTrace {
    let (received, answered, dropped) = session.counts();
    let encoded_at = frame.captured_at_micros.saturating_add(frame.encode_micros.into());
    let client = ClientTimes {
        captured_at: frame.captured_at_micros,
        encoded_at,
        sent_at: encoded_at.saturating_add(frame.send_delay_micros.into()),
    };
    if client.captured_at != 0 {
        session.recorder.came(client.sent_at);
    }
    let measures = Measures {
        frame_len_bytes: u32::try_from(frame.payload.len()).unwrap_or(u32::MAX),
        jpeg_quality: configuration.capture.jpeg_quality,
        in_flight: u32::try_from(received - answered - dropped).unwrap_or(u32::MAX),
        ..Measures::default()
    };
    let start = TraceStart {
        trace_id: frame.trace_id,
        parent_id: frame.span_id,
        is_asked_for: frame.keep_trace,
        frame_id: frame.frame_id,
        generation: configuration.generation,
        mode: Arc::clone(&mode.name),
        served_by: mode.served_by(),
        client,
        measures,
    };
    FrameTrace::start(&session.recorder, start)
}

fn check(session: &Session, configuration: &Configuration, frame: &FrameMessage) -> Result<(), FrameError> {
    if *session.service.phase.borrow() == Phase::Stopping {
        return Err(FrameError::Stopping);
    }
    let (len_bytes, limit) = (frame.payload.len(), configuration.limits.max_frame_len_bytes);
    if len_bytes > limit {
        return Err(FrameError::TooManyBytes { len_bytes, limit });
    }
    if !frame.has_known_codec() {
        return Err(FrameError::Undecodable(format!("codec {} is unknown; 1 is JPEG", frame.codec)));
    }
    session.check_in_flight(configuration.capture.max_in_flight)?;
    session.check_rate(configuration.limits.max_frames_per_second)
}

async fn receive_text(session: &Session, text: &str, wanted_mode: &mut Option<Arc<Mode>>) {
    if let Some(legacy) = &session.legacy {
        return legacy::receive_text(session, legacy, text, wanted_mode).await;
    }
    let received = epoch_micros();
    match serde_json::from_str(text) {
        Ok(ClientMessage::Mode { mode }) => ask_for_mode(session, &mode, wanted_mode).await,
        Ok(ClientMessage::View { soft_edge, picture }) => session.set_view(ClientView { soft_edge, picture }),
        Ok(ClientMessage::Clock { sent }) => {
            if let Some(sent) = sent.as_f64() {
                session.recorder.came(sent as u64);
            }
            session.say(ServerMessage::Clock { sent, received, replied: epoch_micros() }).await;
        }
        Ok(ClientMessage::Paint(paint)) => session.recorder.paint(paint.frame_id, &paint.times()),
        Ok(ClientMessage::Stats) => {
            let (received, answered, dropped) = session.counts();
            session.say(ServerMessage::Stats { received, answered, dropped }).await;
        }
        Err(error) => complain(session, "bad_message", &format!("no message of segue.v2: {error}")).await,
    }
}

/// Takes the mode `name` over, now or when it is ready.
pub(super) async fn ask_for_mode(session: &Session, name: &str, wanted_mode: &mut Option<Arc<Mode>>) {
    match session.configuration().modes.get(name) {
        Ok(mode) => *wanted_mode = change_mode(session, Arc::clone(mode)).await,
        Err(error) => complain(session, "unknown_mode", &error).await,
    }
}

/// Lists the modes, unless the client knows that list.
pub(super) async fn say_modes(session: &Session) {
    if session.legacy.is_some() {
        return;
    }
    let text = ServerMessage::Modes { modes: mode_entries(&session.configuration()) }.to_json();
    if session.is_news(&text) {
        session.note(text).await;
    }
}

/// Takes `mode` over if it is ready, and says what became of it. Gives it back while it is loading.
pub(super) async fn change_mode(session: &Session, mode: Arc<Mode>) -> Option<Arc<Mode>> {
    if let ModeState::Asleep = mode.state() {
        mode.wake_up();
    }
    let state = mode.state();
    if let ModeState::Ready(_) = state {
        session.set_mode(Arc::clone(&mode));
        // Whoever chooses a mode stays there.
        *session.home() = None;
    }
    let (name, message) = (state.name(), state.message().to_owned());
    session.say(ServerMessage::Mode { mode: &mode.name, index: mode.index, state: name, message }).await;
    matches!(state, ModeState::Loading).then_some(mode)
}

pub(super) async fn complain(session: &Session, code: &str, error: &impl ToString) {
    // It may quote what the client sent, which may be long.
    let mut message = error.to_string();
    message.truncate(message.floor_char_boundary(COMPLAINT_LEN_BYTES));
    tracing::debug!(session = session.number, code, message, "Message refused");
    session.say(ServerMessage::Error { code, message, recoverable: true }).await;
}

/// Says why the session ends, and leaves the end to the sending loop. A connection that is simply gone has nobody
/// left to tell.
async fn refuse(session: &Session, error: axum::Error) {
    tracing::debug!(session = session.number, %error, "Reading from the client failed");
    let Ok(error) = error.into_inner().downcast::<tungstenite::Error>() else { return };
    let limit = session.configuration().limits.max_frame_len_bytes;
    let (code, close, message) = match *error {
        tungstenite::Error::Capacity(_) => {
            ("message_too_large", close_code::SIZE, format!("a message far above {limit} bytes, the largest frame"))
        }
        tungstenite::Error::Utf8(_) => ("bad_message", close_code::INVALID, "a text that is not UTF-8".to_owned()),
        tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => return,
        tungstenite::Error::Protocol(error) => {
            ("bad_message", close_code::PROTOCOL, format!("against the WebSocket protocol: {error}"))
        }
        _gone => return,
    };
    end(session, code, message, close).await
}

/// Says why the session ends, and leaves the end to the sending loop.
pub(super) async fn end(session: &Session, code: &str, message: String, close: u16) {
    session.say(ServerMessage::Error { code, message, recoverable: false }).await;
    if session.notes.send(Note::Close(close, "see the error before this")).await.is_ok() {
        std::future::pending().await
    }
}
