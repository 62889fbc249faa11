//! The flight recorder: the last frames of every session, always on, and those worth keeping for longer.
//!
//! Architecture invariant: it is bounded, whatever comes in, and a frame takes one uncontended lock and no memory of
//! its own.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    FrameRecord, Kept, Outcome, PaintTimes, Stage, Telemetry, clock::ClockAlignment, epoch_micros, record::ClientTimes,
};

/// A client has that long to say that a result was painted; then the trace ends without.
const PAINT_PATIENCE_MICROS: u64 = 2_000_000;

/// A client that says that a frame took longer than that from one of its stages to another is not believed.
const LONGEST_MICROS: u64 = 600_000_000;

/// How many sessions that have ended are remembered.
const ENDED_SESSIONS: usize = 16;

/// How many frames are kept for each reason to keep one.
const KEPT_OF_EACH: usize = 100;

/// What the recorder holds of a session.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct SessionSummary {
    /// Its number; 0 for single pictures.
    pub session: u64,
    /// How many frames it holds.
    pub frames: usize,
    /// Whether it goes on.
    pub is_open: bool,
}

/// The frames of all sessions.
#[derive(Default)]
pub(super) struct Recorder {
    sessions: Mutex<BTreeMap<u64, Arc<SessionRecorder>>>,
    kept: Mutex<BTreeMap<&'static str, VecDeque<FrameRecord>>>,
}

/// The frames of one session.
pub struct SessionRecorder {
    session: u64,
    telemetry: Arc<Telemetry>,
    frames: Mutex<Frames>,
    clock: Mutex<ClockAlignment>,
    is_open: AtomicBool,
}

#[derive(Default)]
struct Frames {
    oldest_first: VecDeque<FrameRecord>,
    /// As many of the oldest are settled for certain.
    settled: usize,
}

impl Recorder {
    pub(super) fn open(&self, session: u64, telemetry: &Arc<Telemetry>) -> Arc<SessionRecorder> {
        let recorder = Arc::new(SessionRecorder {
            session,
            telemetry: Arc::clone(telemetry),
            frames: Mutex::default(),
            clock: Mutex::default(),
            is_open: AtomicBool::new(true),
        });
        let mut sessions = lock(&self.sessions);
        sessions.insert(session, Arc::clone(&recorder));
        let ended: Vec<_> = sessions.values().filter(|session| !session.is_open()).map(|ended| ended.session).collect();
        for oldest in &ended[..ended.len().saturating_sub(ENDED_SESSIONS)] {
            sessions.remove(oldest);
        }
        recorder
    }

    /// Keeps a frame for longer than its session's ring does.
    pub(super) fn keep(&self, record: &FrameRecord, why: Kept) {
        let mut kept = lock(&self.kept);
        let of_reason = kept.entry(why.name()).or_default();
        if of_reason.len() == KEPT_OF_EACH {
            of_reason.pop_front();
        }
        of_reason.push_back(record.clone());
    }

    /// Every frame that it holds, in no order.
    pub(super) fn frames(&self) -> Vec<FrameRecord> {
        let sessions: Vec<_> = lock(&self.sessions).values().cloned().collect();
        let mut frames = Vec::new();
        for session in sessions {
            frames.extend(lock(&session.frames).oldest_first.iter().cloned());
        }
        let identity = |record: &FrameRecord| (record.session, record.received_at_micros, record.trace_id);
        let known: HashSet<_> = frames.iter().map(identity).collect();
        let kept = lock(&self.kept);
        frames.extend(kept.values().flatten().filter(|record| !known.contains(&identity(record))).cloned());
        frames
    }

    pub(super) fn sessions(&self) -> Vec<SessionSummary> {
        let summary = |session: &Arc<SessionRecorder>| SessionSummary {
            session: session.session,
            frames: lock(&session.frames).oldest_first.len(),
            is_open: session.is_open(),
        };
        lock(&self.sessions).values().rev().map(summary).collect()
    }

    /// Ends the traces for whose paint nobody can wait any longer.
    pub(super) fn settle_overdue(&self) {
        let sessions: Vec<_> = lock(&self.sessions).values().cloned().collect();
        for session in sessions {
            session.settle_until(epoch_micros().saturating_sub(PAINT_PATIENCE_MICROS));
        }
    }
}

impl SessionRecorder {
    /// Number of the session.
    pub fn session(&self) -> u64 {
        self.session
    }

    fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// A frame or a question that the client sent at `client`, by its clock, came just now.
    pub fn came(&self, client: u64) {
        lock(&self.clock).came(client, epoch_micros());
    }

    pub(super) fn keeps_from_the_start(&self, record: &FrameRecord) -> bool {
        self.telemetry.policy().keeps_from_the_start(record)
    }

    /// A frame came that is to be answered in `mode`; it ends in [`Self::add`].
    pub(super) fn began(&self, mode: &Arc<str>) {
        self.telemetry.metrics.began(mode);
    }

    /// Takes a frame whose way through the server has ended.
    pub(super) fn add(&self, mut record: FrameRecord) {
        let policy = self.telemetry.policy();
        self.telemetry.metrics.observe(&record, policy.keeps(&record).is_some());
        let capacity = policy.frames_per_session;
        let can_be_painted = record.outcome == Outcome::Answered && record.client.captured_at != 0 && self.is_open();
        let mut frames = lock(&self.frames);
        if !can_be_painted {
            place_client(&mut record, None, &lock(&self.clock));
            self.settle(&mut record);
        }
        while frames.oldest_first.len() >= capacity {
            if let Some(mut oldest) = frames.oldest_first.pop_front()
                && !oldest.is_settled
            {
                self.settle(&mut oldest);
            }
            frames.settled = frames.settled.saturating_sub(1);
        }
        frames.oldest_first.push_back(record);
    }

    /// The client painted the result of the frame `frame_id`.
    pub fn paint(&self, frame_id: u32, paint: &PaintTimes) {
        let mut frames = lock(&self.frames);
        let unsettled = frames.settled..;
        let waiting = frames.oldest_first.range_mut(unsettled).rev();
        let Some(record) = waiting.into_iter().find(|record| record.frame_id == frame_id && !record.is_settled) else {
            return;
        };
        if !is_believable(&record.client, paint) {
            return;
        }
        let mut clock = lock(&self.clock);
        let sent = record.spans.get(Stage::Send).map_or(0, |span| span.start_micros);
        clock.went(record.received_at_micros.saturating_add_signed(sent.into()), paint.received_at);
        place_client(record, Some(paint), &clock);
        drop(clock);
        self.settle(record);
    }

    /// No further frame comes, and no word of a paint.
    pub fn close(&self) {
        self.is_open.store(false, Ordering::Release);
        self.settle_until(u64::MAX);
    }

    /// Settles what was received before `time`.
    fn settle_until(&self, time: u64) {
        let mut frames = lock(&self.frames);
        let Frames { oldest_first, settled } = &mut *frames;
        for record in oldest_first.range_mut(*settled..) {
            if !record.is_settled {
                if record.received_at_micros > time {
                    break;
                }
                place_client(record, None, &lock(&self.clock));
                self.settle(record);
            }
            *settled += 1;
        }
    }

    /// Nothing is added to the record any more: is it to be kept, and exported?
    fn settle(&self, record: &mut FrameRecord) {
        record.is_settled = true;
        record.kept = self.telemetry.policy().keeps(record);
        self.telemetry.metrics.observe_settled(record);
        if let Some(why) = record.kept {
            self.telemetry.recorder.keep(record, why);
            self.telemetry.export(record);
        }
    }
}

impl std::fmt::Debug for SessionRecorder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SessionRecorder").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Whether what a client says of its own stages is in order.
fn is_believable(client: &ClientTimes, paint: &PaintTimes) -> bool {
    let times = [client.captured_at, client.sent_at, paint.received_at, paint.decoded_at, paint.painted_at];
    times.is_sorted() && times[4] - times[0] <= LONGEST_MICROS
}

/// Puts the client's stages onto the server's clock, once it is known how the two compare.
fn place_client(record: &mut FrameRecord, paint: Option<&PaintTimes>, clock: &ClockAlignment) {
    let ClientTimes { captured_at, encoded_at, sent_at } = record.client;
    let is_in_order = captured_at <= encoded_at && encoded_at <= sent_at && sent_at - captured_at <= LONGEST_MICROS;
    let Some(alignment) = clock.best().filter(|_| captured_at != 0 && is_in_order) else { return };
    let ahead = i128::from(sent_at) + i128::from(alignment.offset_micros) - i128::from(record.received_at_micros);
    if ahead.unsigned_abs() > u128::from(LONGEST_MICROS) {
        return;
    }
    record.clock_error_micros = Some(alignment.error_micros);
    let received = record.received_at_micros.cast_signed();
    let place = |client: u64| {
        let micros = client.cast_signed().saturating_add(alignment.offset_micros).saturating_sub(received);
        i32::try_from(micros).unwrap_or(if micros < 0 { i32::MIN } else { i32::MAX })
    };
    let spans = &mut record.spans;
    let encode_started_at = paint.and_then(|paint| paint.encode_started_at).unwrap_or(captured_at);
    let encode_started_at = encode_started_at.clamp(captured_at, encoded_at.max(captured_at));
    if encode_started_at > captured_at {
        spans.put(Stage::BrowserCapture, place(captured_at), place(encode_started_at));
    }
    spans.put(Stage::BrowserEncode, place(encode_started_at), place(encoded_at));
    // What was sent can't have come before that.
    let sent = place(sent_at).min(0);
    spans.put(Stage::BrowserSend, place(encoded_at).min(sent), sent);
    spans.put(Stage::Uplink, sent, 0);
    let (Some(paint), Some(send)) = (paint, spans.get(Stage::Send)) else { return };
    record.is_painted = true;
    let came = place(paint.received_at).max(send.start_micros);
    // The client may have the last byte before the server hears that the socket has taken it.
    let left = send.end_micros().min(came);
    spans.put(Stage::Send, send.start_micros, left);
    spans.put(Stage::Downlink, left, came);
    let decode_started_at = paint.decode_started_at.unwrap_or(paint.received_at);
    let decode_started_at = decode_started_at.clamp(paint.received_at, paint.decoded_at);
    let decoding = place(decode_started_at).max(came);
    if decode_started_at > paint.received_at {
        spans.put(Stage::BrowserReceive, came, decoding);
    }
    let decoded = place(paint.decoded_at).max(decoding);
    spans.put(Stage::BrowserDecode, decoding, decoded);
    spans.put(Stage::BrowserPaint, decoded, place(paint.painted_at).max(decoded));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
