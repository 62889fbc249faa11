//! The legacy protocol, for unmodified clients of the system before this one: another way to read and to write messages,
//! and the same session behind it.
//!
//! On a frame's path this takes the place of `protocol` and `messages`.
//!
//! Architecture invariant: every frame is answered by one `segmentation`, whatever becomes of it. These clients count a
//! frame as answered by nothing else, send none while two are not, and wait forever.

mod messages;
mod pace;

#[cfg(fuzzing)]
pub use messages::read_all;

use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use serde_json::value::RawValue;

use self::{
    messages::{LegacyFault, LegacyFrame, LegacyMessage, LegacyReply, Metadata, Segmentation},
    pace::{Pace, millis},
};
use super::{
    ServerMessage, Session,
    protocol::FrameMessage,
    receive::{ask_for_mode, complain, take_frame},
};
use crate::{
    model::Mode,
    pipeline::{Drawing, EncodedMask, FrameError, HEADROOM_LEN_BYTES, Look, View, blank_jpeg, is_whole_jpeg},
    telemetry::{FrameTrace, Stage},
};

/// How many texts wait for a client of this protocol that reads slowly. Some of them come with a picture.
pub(super) const NOTES: usize = 8;

/// What is sent when there is no picture at all.
static BLANK: LazyLock<Vec<u8>> = LazyLock::new(blank_jpeg);

/// What a session of this protocol has beside the others.
pub(super) struct Legacy(Mutex<State>);

struct State {
    drawing: Drawing,
    /// Frames without an answer, the oldest first.
    unanswered: VecDeque<Unanswered>,
    frames: u32,
    /// The last picture that was drawn.
    last: Option<Segmentation>,
    pace: Pace,
    /// The mode that the client was told of last: its number, and whether its labels were known.
    told: Option<(u8, bool)>,
    /// The client was told that frames fail, and none has had a result since.
    is_failing: bool,
}

struct Unanswered {
    frame_id: u32,
    timestamp: Option<Box<RawValue>>,
    picture: Bytes,
}

impl Default for Legacy {
    fn default() -> Self {
        Self(Mutex::new(State {
            drawing: Drawing::of(View::default()),
            unanswered: VecDeque::new(),
            frames: 0,
            last: None,
            pace: Pace::default(),
            told: None,
            is_failing: false,
        }))
    }
}

/// Reads a text, and does what it says.
pub(super) async fn receive_text(session: &Session, legacy: &Legacy, text: &str, wanted_mode: &mut Option<Arc<Mode>>) {
    match LegacyMessage::read(text) {
        Ok(LegacyMessage::Frame(frame)) => {
            let (frame, fault) = legacy.begin(&frame);
            take_frame(session, frame, fault).await;
        }
        Ok(LegacyMessage::ChangeMode(name)) => ask_for_mode(session, &name, wanted_mode).await,
        Ok(LegacyMessage::UpdateViz(update)) => {
            let reply = {
                let mut state = legacy.state();
                update.apply(&mut state.drawing);
                LegacyReply::VizUpdated { settings: (&state.drawing).into() }.to_json()
            };
            session.note(reply).await;
        }
        Ok(LegacyMessage::GetStats) => {
            let stats = legacy.state().pace.stats();
            session.note(stats.to_json()).await;
        }
        Err(fault) => {
            let code = match fault {
                LegacyFault::Message(_) | LegacyFault::UnknownType(_) => "bad_message",
                LegacyFault::Mode => "unknown_mode",
                LegacyFault::Settings(_) => "bad_view",
            };
            complain(session, code, &fault).await;
        }
    }
}

impl Legacy {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A frame that came, and what keeps it from being segmented. From here on it has an answer coming.
    fn begin(&self, frame: &LegacyFrame<'_>) -> (FrameMessage, Option<FrameError>) {
        let (picture, fault) = match frame.picture() {
            Ok(picture) => (Bytes::from(picture), None),
            Err(reason) => (Bytes::new(), Some(FrameError::Undecodable(reason))),
        };
        let mut state = self.state();
        let frame_id = state.frames;
        state.frames = frame_id.wrapping_add(1);
        state.unanswered.push_back(Unanswered { frame_id, timestamp: frame.timestamp(), picture: picture.clone() });
        (FrameMessage::of_picture(frame_id, picture), fault)
    }

    /// How the next picture is to be drawn, with the classes `labels`.
    pub(super) fn look(&self, labels: &[String]) -> Look {
        self.state().drawing.look(labels)
    }

    /// The answer to a frame that has a result.
    pub(super) fn segmentation(&self, frame_id: u32, mode: &Mode, mask: &EncodedMask, trace: &FrameTrace) -> Utf8Bytes {
        let call = [Stage::Preprocess, Stage::Infer, Stage::Postprocess, Stage::Call];
        let inference_micros = call.into_iter().map(|stage| trace.micros(stage)).sum();
        let mut state = self.state();
        state.is_failing = false;
        state.pace.count(inference_micros);
        let labels = mode.labels();
        let metadata = Metadata {
            inference_time_ms: millis(inference_micros),
            total_time_ms: millis(u32::try_from(trace.age().as_micros()).unwrap_or(u32::MAX)),
            detected_classes: mask.drawn.names(&labels).collect(),
            ..state.metadata(mode)
        };
        let timestamp = state.answer(frame_id).and_then(|frame| frame.timestamp);
        let answer = Segmentation::new(timestamp.as_deref(), &mask.bytes[HEADROOM_LEN_BYTES..], &metadata);
        let text = answer.text();
        state.last = Some(answer);
        text
    }

    /// The answer to a frame that has none: an error, if the client is to know why, and a `segmentation`.
    ///
    /// A frame that gave way to another, or came too soon, shows the picture that was drawn last: the next one is about
    /// to come, and pictures with and without classes must not flicker. A frame whose turn came, and nothing came of it,
    /// is shown as it is: the video goes on. Where one is not to be had the other is taken.
    pub(super) fn dropped(&self, frame_id: u32, mode: &Mode, error: &FrameError) -> (Option<String>, Utf8Bytes) {
        let mut state = self.state();
        let (timestamp, picture) = match state.answer(frame_id) {
            Some(frame) => (frame.timestamp, frame.picture),
            None => (None, Bytes::new()),
        };
        let own = |state: &State, picture: &[u8]| {
            Segmentation::new(timestamp.as_deref(), picture, &state.metadata(mode)).text()
        };
        let is_its_own_fault = matches!(
            error,
            FrameError::TooManyPixels { .. } | FrameError::TooManyBytes { .. } | FrameError::Undecodable(_)
        );
        let shows_the_last =
            is_its_own_fault || matches!(error, FrameError::Superseded | FrameError::TooManyInFlight(_));
        let is_showable = !is_its_own_fault && is_whole_jpeg(&picture);
        let answer = match &state.last {
            Some(last) if shows_the_last || !is_showable => last.again(timestamp.as_deref()),
            _ if is_showable => own(&state, &picture),
            _ => own(&state, &BLANK),
        };
        let is_failure = error.reason() == "backend_failed";
        // These clients open a dialog for each error, so a backend that fails all the time is told of once.
        let is_told = is_its_own_fault || (is_failure && !std::mem::replace(&mut state.is_failing, true));
        let told = || {
            let message = error.to_string();
            LegacyReply::Error { code: "INFERENCE_FAILED", message: &message, recoverable: true }.to_json()
        };
        (is_told.then(told), answer)
    }

    /// The first message.
    pub(super) fn greeting(&self, session: &Session) -> String {
        let (configuration, mode) = (session.configuration(), session.mode());
        let labels = mode.labels();
        self.state().told = Some((mode.index, !labels.is_empty()));
        LegacyReply::Connected {
            status: "ready",
            available_models: configuration.modes.all().iter().map(|mode| &*mode.name).collect(),
            class_labels: &labels,
            current_model: &mode.name,
        }
        .to_json()
    }

    /// A `mode_changed`, unless the client knows the mode that the session is in.
    pub(super) fn news_of_the_mode(&self, session: &Session) -> Option<String> {
        let mode = session.mode();
        let is_told = self.state().told == Some((mode.index, !mode.labels().is_empty()));
        (!is_told).then(|| self.mode_changed(&mode))
    }

    fn mode_changed(&self, mode: &Mode) -> String {
        let labels = mode.labels();
        self.state().told = Some((mode.index, !labels.is_empty()));
        LegacyReply::ModeChanged { model_mode: &mode.name, class_labels: &labels }.to_json()
    }

    /// What `message` is in this protocol, if it is anything.
    pub(super) fn translate(&self, session: &Session, message: &ServerMessage<'_>) -> Option<String> {
        match message {
            ServerMessage::Mode { state: "ready", .. } => Some(self.mode_changed(&session.mode())),
            ServerMessage::Mode { state: "unavailable", message, .. } => {
                Some(LegacyReply::Error { code: "MODE_CHANGE_FAILED", message, recoverable: true }.to_json())
            }
            ServerMessage::Error { code, message, recoverable } => Some(error(code, message, *recoverable)),
            // Of a mode that is still loading there is nothing to say yet, and of limits there never is.
            _ => None,
        }
    }
}

impl State {
    /// Takes the frame out of those without an answer.
    fn answer(&mut self, frame_id: u32) -> Option<Unanswered> {
        let at = self.unanswered.iter().position(|frame| frame.frame_id == frame_id)?;
        self.unanswered.remove(at)
    }

    /// What is said beside a picture in which nothing was drawn.
    fn metadata<'a>(&self, mode: &'a Mode) -> Metadata<'a> {
        Metadata {
            inference_time_ms: 0.0,
            total_time_ms: 0.0,
            model_mode: &mode.name,
            fps: self.pace.fps(),
            avg_inference_ms: self.pace.avg_inference_ms(),
            detected_classes: Vec::new(),
        }
    }
}

/// An `error` of this protocol. `code` is one of `segue.v2`.
pub(crate) fn error(code: &str, message: &str, recoverable: bool) -> String {
    let code = match code {
        "unknown_mode" => "INVALID_MODE",
        "bad_view" => "VIZ_UPDATE_FAILED",
        "too_many_sessions" => "TOO_MANY_SESSIONS",
        // There was none for these: the session ended.
        _ => "INVALID_MESSAGE",
    };
    LegacyReply::Error { code, message, recoverable }.to_json()
}
