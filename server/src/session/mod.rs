//! One WebSocket client: three loops, read them as `receive`, `segment`, `send`.
//!
//! On a frame's path this is the first thing after the socket and the last before it: `receive` reads a frame and
//! puts it into the session's slot, `segment` takes the newest one and has it segmented, `send` sends the result.
//!
//! Architecture invariant: every frame is answered by exactly one result or one `dropped`; a client that reads
//! nothing holds two results, a bounded number of notes and no instance, and is disconnected.

mod follow;
mod legacy;
mod messages;
mod pace;
pub mod protocol;
mod receive;
mod segment;
mod send;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use axum::extract::ws::WebSocket;
use futures_util::StreamExt;
use tokio::sync::{Notify, mpsc, watch};

use legacy::Legacy;
#[cfg(fuzzing)]
pub use legacy::read_all as read_all_of_legacy;
pub use messages::{ClientMessage, ModeEntry, ServerMessage};
use pace::Allowance;

use crate::{
    admission::{LatestSlot, Queue},
    config::{Pass, ResultFormat},
    model::{InstanceInfo, Mode, Registry},
    pipeline::{FrameError, Look, View, Wanted},
    reload::{Configuration, Reloads},
    telemetry::{FrameTrace, Outcome, Pulse, SessionRecorder, Telemetry},
};

/// How many text messages wait for a client that reads slowly.
const NOTES: usize = 64;

/// What all sessions of a server share.
pub struct Service {
    /// What is in force, and how to change it.
    pub reloads: Reloads,
    /// Loads modes, and tells when one changes its state.
    pub registry: Arc<Registry>,
    /// What it tells of itself.
    pub telemetry: Arc<Telemetry>,
    /// Where the frames of all sessions wait.
    pub queue: Queue,
    /// Whether it lives.
    pub pulse: Arc<Pulse>,
    /// How far it is on its way to its end.
    pub phase: watch::Receiver<Phase>,
    /// Told when somebody who may wants the server to stop.
    pub stop_wanted: Notify,
}

/// A server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Phase {
    /// It serves.
    Serving,
    /// It still serves, and says that clients had better go elsewhere.
    Leaving,
    /// What is in flight is finished, and nothing else.
    Stopping,
}

impl Service {
    /// What is in force now.
    pub fn configuration(&self) -> Arc<Configuration> {
        self.reloads.configuration()
    }

    /// Done when the server is to stop.
    pub async fn stopping(&self) {
        // Whether that phase has come or the sender is gone, it is time.
        let _ = self.phase.clone().wait_for(|phase| *phase == Phase::Stopping).await;
    }

    /// Whether new clients had better go elsewhere.
    pub fn is_leaving(&self) -> bool {
        *self.phase.borrow() > Phase::Serving
    }
}

/// How a client talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Binary frames and results, and JSON beside them.
    SegueV2,
    /// JSON with pictures in it, of the system before this one.
    Legacy,
}

impl Protocol {
    /// An error for a client that gets no session.
    pub fn error(self, code: &str, message: String) -> String {
        match self {
            Self::SegueV2 => ServerMessage::Error { code, message, recoverable: false }.to_json(),
            Self::Legacy => legacy::error(code, &message, false),
        }
    }
}

/// What the receiving loop has the sending loop say.
enum Note {
    /// A text message.
    Text(String),
    /// A question whether the client is still there.
    Ping,
    /// That a frame has no result. It is put into words when its turn comes.
    Dropped { frame_id: u32, error: FrameError },
    /// The end of the session, with a close code of RFC 6455.
    Close(u16, &'static str),
}

/// All modes of `configuration`, as clients see them.
pub fn mode_entries(configuration: &Configuration) -> Vec<ModeEntry> {
    configuration.modes.all().iter().map(|mode| ModeEntry::from(&**mode)).collect()
}

/// How the client wants its results.
#[derive(Clone, Copy)]
struct ClientView {
    soft_edge: bool,
    picture: Option<View>,
}

/// A session as its loops share it.
struct Session {
    service: Arc<Service>,
    number: u64,
    slot: LatestSlot,
    configuration: Mutex<Arc<Configuration>>,
    mode: Mutex<Arc<Mode>>,
    /// The mode that it is away from, as long as that is unavailable and its fallback answers.
    home: Mutex<Option<Arc<Mode>>>,
    /// What a client of the legacy protocol has beside the others; `None` for `segue.v2`.
    legacy: Option<Legacy>,
    /// What let it in.
    pass: Pass,
    /// What the client said, once it has said something.
    view: Mutex<Option<ClientView>>,
    /// Whether a frame is being segmented.
    is_busy: AtomicBool,
    /// How many frames may still come in this second.
    frames: Mutex<Allowance>,
    /// How many frames more than are allowed now may be on their way, sent before the client knew.
    forgiven: AtomicU32,
    notes: mpsc::Sender<Note>,
    recorder: Arc<SessionRecorder>,
    /// Hash of the last `modes`.
    said_modes: AtomicU64,
    received: AtomicU64,
    answered: AtomicU64,
    dropped: AtomicU64,
}

/// Serves one client until it leaves.
pub async fn run(socket: WebSocket, service: Arc<Service>, protocol: Protocol, pass: Pass) {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    let (legacy, waiting) = match protocol {
        Protocol::SegueV2 => (None, NOTES),
        Protocol::Legacy => (Some(Legacy::default()), legacy::NOTES),
    };
    let (notes, waiting_notes) = mpsc::channel(waiting);
    // Followed from before the first look, so that no change is missed.
    let (mut configurations, mode_states) = (service.reloads.follow(), service.registry.follow());
    let configuration = Arc::clone(&configurations.borrow_and_update());
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let session = Session {
        number,
        recorder: service.telemetry.session(number),
        slot: LatestSlot::default(),
        mode: Mutex::new(Arc::clone(configuration.modes.default_mode())),
        configuration: Mutex::new(configuration),
        legacy,
        pass,
        view: Mutex::default(),
        home: Mutex::default(),
        is_busy: AtomicBool::new(false),
        frames: Mutex::default(),
        forgiven: AtomicU32::new(0),
        notes,
        said_modes: AtomicU64::new(0),
        received: AtomicU64::new(0),
        answered: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
        service,
    };
    let (sink, stream) = socket.split();
    let (answers, waiting_answers) = mpsc::channel(1);
    let id = uuid::Uuid::new_v4().to_string();
    session.service.telemetry.metrics.sessions.inc();
    tracing::info!(session = session.number, id, ?protocol, client = session.pass.client, "Session started");
    session.greet(&id).await;
    tokio::select! {
        // The waiting frame is taken before another is received: one that was sent for the last answer replaces nothing.
        biased;
        () = segment::run(&session, answers) => {}
        () = receive::run(&session, stream, configurations, mode_states) => {}
        () = send::run(&session, sink, waiting_notes, waiting_answers) => {}
    }
    session.end();
}

impl Session {
    /// Has the sending loop send a message, in the client's own protocol, if it has one for it.
    async fn say(&self, message: ServerMessage<'_>) {
        let text = match &self.legacy {
            None => Some(message.to_json()),
            Some(legacy) => legacy.translate(self, &message),
        };
        if let Some(text) = text {
            self.note(text).await;
        }
    }

    /// Has the sending loop send a text.
    async fn note(&self, text: String) {
        self.leave(Note::Text(text)).await;
    }

    /// Leaves a note for the sending loop. Waits while too many wait: then the client is not read from either.
    async fn leave(&self, note: Note) {
        // The receiver lives as long as the sending loop, and this session ends with it.
        let _ = self.notes.send(note).await;
    }

    /// Whether `modes` is another list than the last one that was said.
    fn is_news(&self, modes: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        modes.hash(&mut hasher);
        let hash = hasher.finish();
        self.said_modes.swap(hash, Ordering::AcqRel) != hash
    }

    /// Says the first message.
    async fn greet(&self, id: &str) {
        let text = match &self.legacy {
            None => self.hello(id),
            Some(legacy) => legacy.greeting(self),
        };
        self.note(text).await;
    }

    fn hello(&self, id: &str) -> String {
        let configuration = self.configuration();
        let modes = mode_entries(&configuration);
        // The client knows this list from here.
        self.is_news(&ServerMessage::Modes { modes: modes.clone() }.to_json());
        ServerMessage::Hello {
            session: id,
            version: env!("CARGO_PKG_VERSION"),
            generation: configuration.generation,
            profile: &configuration.profile,
            mode: &self.mode().name,
            modes,
            limits: configuration.capture.into(),
        }
        .to_json()
    }

    /// The configuration that the session is under.
    fn configuration(&self) -> Arc<Configuration> {
        Arc::clone(&self.configuration.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn mode(&self) -> Arc<Mode> {
        Arc::clone(&self.mode.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_mode(&self, mode: Arc<Mode>) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    fn home(&self) -> std::sync::MutexGuard<'_, Option<Arc<Mode>>> {
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_view(&self, view: ClientView) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = Some(view);
    }

    /// What the client wants, or the profile when the client said nothing.
    fn wanted(&self, format: ResultFormat, info: &InstanceInfo) -> Wanted {
        if let Some(legacy) = &self.legacy {
            return Wanted::Picture(legacy.look(&info.labels));
        }
        let view = *self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let (soft_edge, picture) = match view {
            Some(ClientView { soft_edge, picture }) => (soft_edge, picture),
            None => (format == ResultFormat::SoftMask, (format == ResultFormat::Picture).then_some(View::Filled)),
        };
        match picture {
            Some(picture) => Wanted::Picture(Look::of(picture)),
            None if soft_edge && info.has_confidence => Wanted::SoftMask,
            None => Wanted::Mask,
        }
    }

    /// Counts a drop, and ends its trace.
    fn drop_frame(&self, trace: Option<FrameTrace>, error: &FrameError) {
        self.dropped.fetch_add(1, Ordering::AcqRel);
        if let Some(trace) = trace {
            trace.finish(Outcome::Dropped(error.reason()), &error.to_string());
        }
    }

    /// Refuses a frame that there is no room for: as many as `limit` are in flight here, and none of them waits, so that
    /// none can be superseded.
    fn check_in_flight(&self, limit: u32) -> Result<(), FrameError> {
        let has_room = limit > 1 || !self.is_busy.load(Ordering::Acquire) || self.slot.is_filled();
        let take = |forgiven: u32| forgiven.checked_sub(1);
        if has_room || self.forgiven.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok() {
            return Ok(());
        }
        Err(FrameError::TooManyInFlight(limit))
    }

    /// Refuses a frame that comes sooner after others than `per_second` allows.
    fn check_rate(&self, per_second: u32) -> Result<(), FrameError> {
        let mut allowance = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if allowance.try_take(per_second.into()) { Ok(()) } else { Err(FrameError::TooManyFrames(per_second)) }
    }

    fn counts(&self) -> (u64, u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        (count(&self.received), count(&self.answered), count(&self.dropped))
    }

    /// Says goodbye. The traces of what the client did not wait for end with what holds them.
    fn end(&self) {
        let (received, answered, dropped) = self.counts();
        let abandoned = received - answered - dropped;
        self.recorder.close();
        self.service.telemetry.metrics.sessions.dec();
        tracing::info!(session = self.number, received, answered, dropped, abandoned, "Session ended");
    }

    /// Whether every frame that came has been answered.
    fn is_settled(&self) -> bool {
        let (received, answered, dropped) = self.counts();
        received == answered + dropped
    }
}
