//! What the server tells about itself: the log, the trace of each frame, the metrics.
//!
//! Architecture invariant: it knows nothing of the rest of the server but the profile's settings; and nothing on a
//! frame's path allocates here.

mod clock;
mod crashes;
mod diagnosis;
mod export;
mod log;
mod marks;
mod metrics;
mod pictures;
mod policy;
mod pulse;
mod record;
mod recorder;
mod stage;
mod trace;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

pub use crashes::{crashed, report_into};
pub use diagnosis::{Cause, Diagnosis, Usual, Why, millis};
pub use log::{CONTROL, start_log, start_worker_log, with_trace_id};
pub use marks::{Mark, MarkKind};
pub use metrics::{Metrics, MetricsFormat, ModeNow, Now};
pub use pulse::Pulse;
pub use record::{
    ABANDONED, BACKEND_FAILED, ClientTimes, FrameRecord, Kept, Measures, Outcome, PaintTimes, ServedBy, Slot, Span,
    Spans,
};
pub use recorder::{SessionRecorder, SessionSummary};
pub use stage::{Side, Stage};
pub use trace::{FrameTrace, TraceStart, epoch_micros};

use crate::config::TelemetrySettings;
use export::Exporter;
use marks::Marks;
use pictures::Pictures;
pub use pictures::Taken;
use policy::Policy;
use recorder::Recorder;

/// Everything that the server tells, but for the log.
#[derive(Default)]
pub struct Telemetry {
    /// Counts.
    pub metrics: Metrics,
    recorder: Recorder,
    marks: Marks,
    pictures: Pictures,
    exporter: Exporter,
    policy: RwLock<Policy>,
}

impl Telemetry {
    /// For a server: its traces are exported, and those for whose end nobody can wait any longer end.
    pub fn start(settings: &TelemetrySettings) -> Arc<Self> {
        let telemetry = Arc::new(Self::default());
        telemetry.exporter.start(&telemetry);
        telemetry.take_over(settings);
        log::export_spans_by(&telemetry);
        telemetry
    }

    /// Takes over what a new profile says.
    pub fn change(&self, settings: &TelemetrySettings) {
        if let Err(error) = log::change_log(&settings.log, settings.log_format) {
            tracing::error!(error, "The log keeps its filter");
        }
        self.take_over(settings);
    }

    fn take_over(&self, settings: &TelemetrySettings) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Policy::from(&settings.traces);
        self.exporter.change(settings);
    }

    /// The recorder of a session that begins; 0 is for single pictures.
    pub fn session(self: &Arc<Self>, number: u64) -> Arc<SessionRecorder> {
        self.recorder.open(number, self)
    }

    /// Every frame that the flight recorder holds, in no order.
    pub fn frames(&self) -> Vec<FrameRecord> {
        self.recorder.frames()
    }

    /// The sessions that the flight recorder knows, the newest first.
    pub fn sessions(&self) -> Vec<SessionSummary> {
        self.recorder.sessions()
    }

    /// Notes something that explains what happened to frames around it.
    pub fn mark(&self, mark: Mark) {
        self.marks.add(mark);
    }

    /// What was noted, the newest first.
    pub fn marks(&self) -> Vec<Mark> {
        self.marks.newest_first()
    }

    /// Takes the picture of a frame along, if somebody captures.
    pub fn take_picture(&self, trace_id: [u8; 16], picture: &[u8]) {
        self.pictures.take(trace_id, picture);
    }

    /// Takes pictures along for so long. `None` when somebody else does.
    pub async fn capture(&self, duration: Duration) -> Option<Taken> {
        self.pictures.capture(duration).await
    }

    /// A frame is slow that takes as long.
    pub fn slow_micros(&self) -> u32 {
        self.policy().slow_micros
    }

    /// Exports what is still waiting, as far as that is done in time.
    pub async fn flush(&self, patience: Duration) {
        self.recorder.settle_overdue();
        self.exporter.flush(patience).await;
    }

    fn policy(&self) -> Policy {
        *self.policy.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn export(&self, record: &FrameRecord) {
        self.exporter.send_frame(record);
    }
}
