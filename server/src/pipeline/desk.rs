//! Where frames are handed over to the threads that they run on, and where what became of them comes back.
//!
//! Architecture invariant: each instance has one thread, which its frames run on, so there are as many as there are
//! instances. Neither way of the handover allocates.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Instant,
};

use tokio::sync::Notify;

use super::{Buffers, Done, EncodedFrame, FrameError, Settings, Wanted, run_frame};
use crate::{model::Lease, plugin_host::RunningCall, telemetry::FrameTrace};

/// Hands over one frame after the other.
#[derive(Default)]
pub struct Desk(Arc<Handover>);

/// What both sides share of a frame.
#[derive(Default)]
struct Handover {
    /// Cancels the backend's call.
    running: RunningCall,
    done: Mutex<Option<Done>>,
    is_done: Notify,
}

/// A frame, and what it needs.
struct Job {
    lease: Lease,
    frame: EncodedFrame,
    trace: FrameTrace,
    settings: Settings,
    wanted: Wanted,
    handover: Arc<Handover>,
}

impl Desk {
    /// Runs `frame` on the leased instance. Dropping the future cancels the backend's call; the instance is free when that
    /// has ended.
    pub async fn run(
        &mut self,
        mut lease: Lease,
        frame: EncodedFrame,
        trace: FrameTrace,
        settings: Settings,
        wanted: Wanted,
    ) -> Done {
        let runner = lease.take_belongings::<Runner>().map_or_else(Runner::start, Ok);
        let runner = match runner {
            Ok(runner) => runner,
            Err(error) => {
                tracing::error!(%error, "There is no thread for an instance's frames");
                return (Err(FrameError::Internal), Some(trace));
            }
        };
        let jobs = runner.jobs.clone();
        lease.put_belongings(runner);
        let mut waiting = WaitingAt { desk: self, is_over: false };
        let handover = Arc::clone(&waiting.desk.0);
        // Its thread has nothing else to do as long as we have its instance.
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) =
            jobs.try_send(Job { lease, frame, trace, settings, wanted, handover })
        {
            return (Err(FrameError::Internal), Some(job.trace));
        }
        loop {
            let done = waiting.desk.0.lock().take();
            if let Some(done) = done {
                waiting.is_over = true;
                return done;
            }
            waiting.desk.0.is_done.notified().await;
        }
    }
}

/// Somebody waits at the desk. Who goes away before the frame is done leaves a desk that knows nothing of it.
struct WaitingAt<'a> {
    desk: &'a mut Desk,
    is_over: bool,
}

impl Drop for WaitingAt<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.desk.0.running.cancel();
            *self.desk = Desk::default();
        }
    }
}

impl Handover {
    fn lock(&self) -> MutexGuard<'_, Option<Done>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An instance's thread; it ends when this is dropped.
struct Runner {
    jobs: SyncSender<Job>,
}

impl Runner {
    fn start() -> std::io::Result<Box<Self>> {
        let (jobs, waiting) = sync_channel(1);
        thread::Builder::new().name("frames".into()).spawn(move || run_all(&waiting))?;
        Ok(Box::new(Self { jobs }))
    }
}

fn run_all(waiting: &Receiver<Job>) {
    let mut buffers = Buffers::default();
    while let Ok(job) = waiting.recv() {
        let handover = Arc::clone(&job.handover);
        let running = &handover.running;
        // A trace that is dropped in a panic tells of it, and a lease gives its instance back.
        let done = catch_unwind(AssertUnwindSafe(|| run(job, &mut buffers, running))).unwrap_or_else(|_panic| {
            tracing::error!("A frame's work broke off");
            buffers = Buffers::default();
            (Err(FrameError::Internal), None)
        });
        running.end();
        *handover.lock() = Some(done);
        handover.is_done.notify_one();
    }
}

/// Runs one frame. Its instance is free when this returns.
fn run(job: Job, buffers: &mut Buffers, running: &RunningCall) -> Done {
    let Job { mut lease, frame, mut trace, settings, wanted, handover: _ } = job;
    trace.measures().queue_depth = lease.queue_depth;
    let start = Instant::now();
    let result = run_frame(&settings, buffers, &mut lease, &frame, &mut trace, wanted, running);
    if result.is_ok() {
        lease.model().took(start.elapsed());
    }
    (result, Some(trace))
}
