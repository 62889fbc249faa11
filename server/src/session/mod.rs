//! One WebSocket client: three loops, read them as `receive`, `segment`, `send`.
//!
//! On a frame's path this is the first thing after the socket and the last before it: `receive` reads a frame and
//! puts it into the session's slot, `segment` takes the newest one and has it segmented, `send` sends the result.
//!
//! Architecture invariant: every frame is answered by exactly one result or one `dropped`; a client that reads
//! nothing holds two results, a bounded number of notes and no instance, and is disconnected.

mod messages;
pub mod protocol;
mod receive;
mod segment;
mod send;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use axum::extract::ws::WebSocket;
use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};

pub use messages::{ClientMessage, ModeEntry, ServerMessage};

use crate::{
    admission::LatestSlot,
    config::{CaptureSettings, LimitSettings, SecuritySettings},
    model::{Mode, Registry},
    pipeline::{FrameError, Pipeline, View, Wanted},
    telemetry::{Metrics, Outcome},
};

/// How many text messages wait for a client that reads slowly.
const NOTES: usize = 64;

/// What all sessions of a server share.
pub struct Service {
    /// The modes.
    pub registry: Registry,
    /// Runs frames.
    pub pipeline: Arc<Pipeline>,
    /// Counts.
    pub metrics: Metrics,
    /// What clients are to keep to.
    pub capture: CaptureSettings,
    /// What is accepted.
    pub limits: LimitSettings,
    /// Who may use it.
    pub security: SecuritySettings,
    /// Number of the configuration in force.
    pub generation: u32,
    /// Turns true when the server is to stop.
    pub draining: watch::Receiver<bool>,
}

impl Service {
    /// All modes, as clients see them.
    pub fn mode_entries(&self) -> Vec<ModeEntry> {
        self.registry.modes().iter().map(|mode| ModeEntry::from(&**mode)).collect()
    }

    /// Done when the server is to stop.
    pub async fn stopping(&self) {
        // Whether it turned true or the sender is gone, it is time.
        let _ = self.draining.clone().wait_for(|draining| *draining).await;
    }
}

/// What the receiving loop has the sending loop say.
enum Note {
    /// A text message.
    Text(String),
    /// The end of the session, with a close code of RFC 6455.
    Close(u16, &'static str),
}

/// How the client wants its results.
#[derive(Clone, Copy, Default)]
struct ClientView {
    soft_edge: bool,
    picture: Option<View>,
}

/// A session as its loops share it.
struct Session {
    service: Arc<Service>,
    number: u64,
    slot: LatestSlot,
    mode: Mutex<Arc<Mode>>,
    view: Mutex<ClientView>,
    notes: mpsc::Sender<Note>,
    received: AtomicU64,
    answered: AtomicU64,
    dropped: AtomicU64,
}

/// Serves one client until it leaves.
pub async fn run(socket: WebSocket, service: Arc<Service>) {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    let (notes, waiting_notes) = mpsc::channel(NOTES);
    let session = Session {
        number: NUMBERS.fetch_add(1, Ordering::Relaxed),
        slot: LatestSlot::default(),
        mode: Mutex::new(Arc::clone(service.registry.default_mode())),
        view: Mutex::default(),
        notes,
        received: AtomicU64::new(0),
        answered: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
        service,
    };
    let (sink, stream) = socket.split();
    let (answers, waiting_answers) = mpsc::channel(1);
    let id = uuid::Uuid::new_v4().to_string();
    session.service.metrics.sessions.inc();
    tracing::info!(session = session.number, id, "Session started");
    // Followed from before the list is made, so that no change of it is missed.
    let changes = session.service.registry.follow();
    session.say(session.hello(&id)).await;
    tokio::select! {
        () = receive::run(&session, stream, changes) => {}
        () = segment::run(&session, answers) => {}
        () = send::run(&session, sink, waiting_notes, waiting_answers) => {}
    }
    session.end();
}

impl Session {
    /// Has the sending loop send a text. Waits while too many wait: then the client is not read from either.
    async fn say(&self, text: String) {
        // The receiver lives as long as the sending loop, and this session ends with it.
        let _ = self.notes.send(Note::Text(text)).await;
    }

    fn hello(&self, id: &str) -> String {
        ServerMessage::Hello {
            session: id,
            version: env!("CARGO_PKG_VERSION"),
            generation: self.service.generation,
            mode: &self.mode().name,
            modes: self.service.mode_entries(),
            limits: self.service.capture,
        }
        .to_json()
    }

    fn mode(&self) -> Arc<Mode> {
        Arc::clone(&self.mode.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_mode(&self, mode: Arc<Mode>) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    fn set_view(&self, view: ClientView) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }

    fn wanted(&self, has_confidence: bool) -> Wanted {
        let view = *self.view.lock().unwrap_or_else(PoisonError::into_inner);
        match view.picture {
            Some(picture) => Wanted::Picture(picture),
            None if view.soft_edge && has_confidence => Wanted::SoftMask,
            None => Wanted::Mask,
        }
    }

    /// Counts a drop; the message that tells it.
    fn drop_frame(&self, mode: &Mode, frame_id: u32, error: &FrameError) -> String {
        let reason = error.reason();
        self.dropped.fetch_add(1, Ordering::AcqRel);
        self.service.metrics.count_frame(&mode.name, Outcome::Dropped(reason));
        ServerMessage::Dropped { frame_id, reason, message: error.to_string() }.to_json()
    }

    fn counts(&self) -> (u64, u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        (count(&self.received), count(&self.answered), count(&self.dropped))
    }

    /// Books what the client did not wait for, and says goodbye.
    fn end(&self) {
        let (received, answered, dropped) = self.counts();
        let abandoned = received - answered - dropped;
        for _ in 0..abandoned {
            self.service.metrics.count_frame(&self.mode().name, Outcome::Dropped("abandoned"));
        }
        self.service.metrics.sessions.dec();
        tracing::info!(session = self.number, received, answered, dropped, abandoned, "Session ended");
    }

    /// Whether every frame that came has been answered.
    fn is_settled(&self) -> bool {
        let (received, answered, dropped) = self.counts();
        received == answered + dropped
    }
}
