//! Export by OTLP: kept frames and the spans of the control plane go to a collector, from a thread of their own.
//!
//! Architecture invariant: whoever hands something over never waits. What the queue has no room for, what is beyond
//! the budget, and what the collector does not take is counted and forgotten.

mod budget;
mod spans;
mod target;
mod transport;

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use opentelemetry_sdk::trace::SpanData;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{FrameRecord, Telemetry};
use crate::config::TelemetrySettings;
use budget::Budget;
use target::Target;
use transport::Transport;

/// How many frames and spans wait for the collector. `OTEL_BSP_MAX_QUEUE_SIZE` says otherwise.
const WAITING: usize = 2048;
/// How many spans go at once. `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` says otherwise.
const BATCH: usize = 512;
/// A span waits so long for others to go with. `OTEL_BSP_SCHEDULE_DELAY` says otherwise.
const DELAY: Duration = Duration::from_secs(1);

/// How often frames are looked for that end without a word of their paint.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What is handed over.
enum Item {
    Frame(Box<FrameRecord>),
    Span(Box<SpanData>),
    Flush(oneshot::Sender<()>),
}

/// The side of the exporter that others see.
#[derive(Default)]
pub(super) struct Exporter(OnceLock<Handles>);

struct Handles {
    queue: mpsc::Sender<Item>,
    targets: watch::Sender<Option<Target>>,
    is_on: AtomicBool,
    telemetry: Weak<Telemetry>,
}

impl Exporter {
    /// Starts the thread. Before that, whatever is handed over is forgotten.
    pub(super) fn start(&self, telemetry: &Arc<Telemetry>) {
        let (queue, waiting) = mpsc::channel(target::number("OTEL_BSP_MAX_QUEUE_SIZE").unwrap_or(WAITING).max(1));
        let (targets, target) = watch::channel(None);
        let worker = Worker {
            waiting,
            targets: target,
            transport: None,
            batch: Vec::new(),
            due: None,
            budget: Budget::default(),
            telemetry: Arc::downgrade(telemetry),
            is_failing: false,
        };
        let settling = settle_overdue(Arc::downgrade(telemetry));
        let work = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            // A collector that is silent holds no frame up.
            Ok(runtime) => runtime.block_on(async {
                tokio::select! { () = settling => {}, () = worker.run() => {} }
            }),
            Err(error) => tracing::error!(%error, "Traces are not exported: no runtime for that"),
        };
        if let Err(error) = std::thread::Builder::new().name("telemetry".into()).spawn(work) {
            return tracing::error!(%error, "Traces are not exported: no thread for that");
        }
        let handles = Handles { queue, targets, is_on: AtomicBool::new(false), telemetry: Arc::downgrade(telemetry) };
        // Started once.
        let _ = self.0.set(handles);
    }

    /// Takes over what a new profile says.
    pub(super) fn change(&self, settings: &TelemetrySettings) {
        let Some(handles) = self.0.get() else { return };
        let target = Target::choose(settings);
        handles.is_on.store(target.is_some(), Ordering::Release);
        handles.targets.send_if_modified(|now| {
            let is_other = *now != target;
            *now = target;
            is_other
        });
    }

    /// Hands a frame over.
    pub(super) fn send_frame(&self, record: &FrameRecord) {
        self.send(|| Item::Frame(Box::new(record.clone())), || spans::count(record));
    }

    /// Hands a span of the control plane over.
    pub(super) fn send_span(&self, span: SpanData) {
        self.send(|| Item::Span(Box::new(span)), || 1);
    }

    fn send(&self, item: impl FnOnce() -> Item, spans: impl FnOnce() -> usize) {
        let Some(handles) = self.0.get().filter(|handles| handles.is_on.load(Ordering::Acquire)) else { return };
        match handles.queue.try_reserve() {
            Ok(room) => room.send(item()),
            Err(_full) => {
                if let Some(telemetry) = handles.telemetry.upgrade() {
                    telemetry.metrics.count_spans("queue_full", spans());
                }
            }
        }
    }

    /// Done when everything that was handed over was sent, or when patience is at its end.
    pub(super) async fn flush(&self, patience: Duration) {
        let Some(handles) = self.0.get().filter(|handles| handles.is_on.load(Ordering::Acquire)) else { return };
        let (done, is_done) = oneshot::channel();
        let flushed = async {
            handles.queue.send(Item::Flush(done)).await.ok()?;
            is_done.await.ok()
        };
        if timeout(patience, flushed).await.is_err() {
            tracing::warn!(?patience, "The collector does not answer, some traces are lost");
        }
    }
}

/// Ends traces for which nobody can wait any longer, as long as there is a server.
async fn settle_overdue(telemetry: Weak<Telemetry>) {
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    while let Some(telemetry) = telemetry.upgrade() {
        telemetry.recorder.settle_overdue();
        drop(telemetry);
        looks.tick().await;
    }
}

/// The thread's side.
struct Worker {
    waiting: mpsc::Receiver<Item>,
    targets: watch::Receiver<Option<Target>>,
    transport: Option<(Target, Transport)>,
    batch: Vec<SpanData>,
    /// When the batch goes, full or not.
    due: Option<Instant>,
    budget: Budget,
    telemetry: Weak<Telemetry>,
    is_failing: bool,
}

impl Worker {
    async fn run(mut self) {
        let largest = target::number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE").unwrap_or(BATCH).max(1);
        let delay =
            target::number("OTEL_BSP_SCHEDULE_DELAY").map_or(DELAY, |millis| Duration::from_millis(millis as u64));
        loop {
            let due = self.due.unwrap_or_else(|| Instant::now() + delay);
            tokio::select! {
                biased;
                Ok(()) = self.targets.changed() => self.retarget(),
                () = sleep_until(due), if self.due.is_some() => self.export().await,
                item = self.waiting.recv() => {
                    let Some(item) = item else { return };
                    self.take(item).await;
                    self.due.get_or_insert(Instant::now() + delay);
                    if self.batch.len() >= largest {
                        self.export().await;
                    }
                }
            }
        }
    }

    async fn take(&mut self, item: Item) {
        match item {
            Item::Frame(record) => {
                if self.has_budget(spans::count(&record)) {
                    spans::build(&record, &mut self.batch);
                }
            }
            Item::Span(span) => {
                if self.has_budget(1) {
                    self.batch.push(*span);
                }
            }
            Item::Flush(done) => {
                self.export().await;
                // Whoever waited may have given up.
                let _ = done.send(());
            }
        }
    }

    fn has_budget(&mut self, spans: usize) -> bool {
        let is_allowed = self.budget.allows(spans, std::time::Instant::now());
        if !is_allowed {
            self.count("over_budget", spans);
        }
        is_allowed
    }

    fn retarget(&mut self) {
        let target = self.targets.borrow_and_update().clone();
        self.is_failing = false;
        self.transport = target.and_then(|target| {
            self.budget.change(target.max_spans_per_second);
            match Transport::open(&target) {
                Ok(transport) => {
                    tracing::info!(
                        endpoint = target.endpoint,
                        protocol = target.protocol_name(),
                        "Traces are exported"
                    );
                    Some((target, transport))
                }
                Err(error) => {
                    tracing::error!(endpoint = target.endpoint, error, "Traces are not exported");
                    None
                }
            }
        });
    }

    /// Sends the batch. While a collector is silent that goes on for a while; another target puts an end to it.
    async fn export(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.due = None;
        if batch.is_empty() {
            return;
        }
        loop {
            let Some((target, transport)) = &self.transport else { return self.count("not_exported", batch.len()) };
            tokio::select! {
                biased;
                Ok(()) = self.targets.changed() => self.retarget(),
                result = transport.export(batch.clone()) => {
                    match &result {
                        Ok(()) if self.is_failing => {
                            tracing::info!(endpoint = target.endpoint, "The collector takes traces again");
                        }
                        Err(error) if !self.is_failing => {
                            tracing::warn!(endpoint = target.endpoint, error, "The collector does not take traces");
                        }
                        _ => {}
                    }
                    self.is_failing = result.is_err();
                    return self.count(if result.is_ok() { "exported" } else { "not_exported" }, batch.len());
                }
            }
        }
    }

    fn count(&self, outcome: &'static str, spans: usize) {
        if let Some(telemetry) = self.telemetry.upgrade() {
            telemetry.metrics.count_spans(outcome, spans);
        }
    }
}
