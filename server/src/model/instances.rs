//! A model that is loaded: the instances that frames lease, and who is told of what goes wrong with them.

use std::{
    any::Any,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc::{SendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::field::Empty;

use super::{Mode, health::Health, loader::IsWanted};
use crate::{
    config::Line,
    copies::PrivateCopy,
    plugin_host::{Build, Instance, InstanceError, InstanceInfo, ModelSpec, give_back_memory},
    telemetry::{CONTROL, Mark, MarkKind, Telemetry, crashed, with_trace_id},
};

/// A model that is loaded and warmed up: its instances, and what it says of itself.
pub struct LoadedModel {
    /// Labels, palette and sizes.
    pub info: InstanceInfo,
    /// SHA-256 of the plugin's file.
    pub build: String,
    /// How many instances it has.
    pub instance_count: usize,
    missing: Missing,
    plugin: Build,
    spec: ModelSpec,
    /// A lab's own weights, which an instance that is started again reads again.
    _weights: Option<Arc<PrivateCopy>>,
    free: Mutex<Vec<Idle>>,
    permits: Arc<Semaphore>,
    /// Whoever has it is the first of the second line, and waits in the first.
    head_of_second: Semaphore,
    /// How many frames wait for an instance.
    waiting: AtomicU32,
    /// How long a frame has an instance, about, in microseconds.
    usual_micros: AtomicU32,
    health: Mutex<Health>,
    /// Its instances keep crashing: nobody else is to have it.
    is_given_up: AtomicBool,
    /// When a frame last had an instance.
    last_used: Mutex<Instant>,
    /// One for each mode that it serves.
    watchers: Mutex<Vec<Watcher>>,
}

/// An instance that nobody uses, and what was left with it.
type Idle = (Instance, Belongings);

/// What those who use an instance keep from frame to frame; it goes when the instance goes.
type Belongings = Option<Box<dyn Any + Send>>;

/// How many instances there are to be started anew, and how many of those are being started.
#[derive(Default)]
struct Missing(Mutex<(usize, usize)>);

impl Missing {
    fn lost(&self) {
        lock(&self.0).0 += 1;
    }

    /// Whether one of them may be started now.
    fn begin(&self) -> bool {
        let mut counts = lock(&self.0);
        let may_begin = counts.1 < counts.0;
        counts.1 += usize::from(may_begin);
        may_begin
    }

    fn end(&self, is_there: bool) {
        let mut counts = lock(&self.0);
        counts.1 -= 1;
        counts.0 -= usize::from(is_there);
    }
}

/// A frame waits so long for an instance that is started anew.
const RESTART_PATIENCE: Duration = Duration::from_secs(1);

/// Who is told of what goes wrong with a model's instances.
pub(super) struct Watcher {
    pub(super) mode: Weak<Mode>,
    pub(super) telemetry: Arc<Telemetry>,
    /// What is to be done when they keep crashing, for this reason.
    pub(super) given_up: GivenUp,
}

/// Takes a mode out of service, for a reason.
type GivenUp = Box<dyn Fn(&Arc<Mode>, &str) + Send + Sync>;

impl LoadedModel {
    /// Loads and warms up `count` instances, the first of which has to pass `check`. Takes as long as that takes; not for the async runtime.
    pub(super) fn load(
        plugin: Build,
        spec: ModelSpec,
        count: usize,
        weights: Option<Arc<PrivateCopy>>,
        check: impl FnOnce(&mut Instance) -> Result<(), String>,
        is_wanted: &IsWanted<'_>,
    ) -> Result<Self, InstanceError> {
        // What the plugin reads, and its first runs, are one to the server.
        let start = |number: usize| {
            let _entered = tracing::info_span!(target: CONTROL, "load and warm up instance", number).entered();
            Instance::create(&plugin, &spec, is_wanted)
        };
        let mut first = start(1)?;
        let checked = tracing::info_span!(target: CONTROL, "check golden frame").in_scope(|| check(&mut first));
        checked.map_err(InstanceError::Failed)?;
        let info = first.info().clone();
        let others = (2..=count).map(start);
        let instances = std::iter::once(Ok(first)).chain(others).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            info,
            build: plugin.sha256().to_owned(),
            instance_count: count,
            missing: Missing::default(),
            permits: Arc::new(Semaphore::new(count)),
            head_of_second: Semaphore::new(1),
            waiting: AtomicU32::new(0),
            usual_micros: AtomicU32::new(0),
            free: Mutex::new(instances.into_iter().map(|instance| (instance, Belongings::default())).collect()),
            health: Mutex::default(),
            is_given_up: AtomicBool::new(false),
            last_used: Mutex::new(Instant::now()),
            watchers: Mutex::default(),
            plugin,
            spec,
            _weights: weights,
        })
    }

    pub(super) fn watch(&self, watcher: Watcher) {
        let mut watchers = lock(&self.watchers);
        watchers.retain(|watcher| watcher.mode.strong_count() > 0);
        watchers.push(watcher);
    }

    /// Whether another mode may share it.
    pub(super) fn is_fit(&self) -> bool {
        !self.is_given_up.load(Ordering::Acquire)
    }

    /// How many frames wait for an instance.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Acquire)
    }

    /// How long a frame has an instance, as the last ones had it; nothing before the first.
    pub fn usual_time(&self) -> Duration {
        Duration::from_micros(self.usual_micros.load(Ordering::Relaxed).into())
    }

    /// A frame had an instance for `time`. A few frames in a row say more than one.
    pub fn took(&self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let before = self.usual_micros.load(Ordering::Relaxed);
        let usual = if before == 0 { micros } else { before - before / 8 + micros / 8 };
        self.usual_micros.store(usual, Ordering::Relaxed);
    }

    /// The worker processes of its instances; none when they run in this one.
    pub fn workers(&self) -> Vec<u32> {
        self.plugin.workers()
    }

    /// How long no frame had an instance.
    pub(super) fn idle(&self) -> Duration {
        match self.permits.available_permits() == self.instance_count {
            true => lock(&self.last_used).elapsed(),
            false => Duration::ZERO,
        }
    }

    fn telemetry(&self) -> Option<Arc<Telemetry>> {
        lock(&self.watchers).first().map(|watcher| Arc::clone(&watcher.telemetry))
    }

    /// Has every mode that it serves taken out of service.
    fn give_up(&self, reason: &str) {
        self.is_given_up.store(true, Ordering::Release);
        let watchers = std::mem::take(&mut *lock(&self.watchers));
        for watcher in &watchers {
            if let Some(mode) = watcher.mode.upgrade() {
                (watcher.given_up)(&mode, reason);
            }
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        lock(&self.health)
    }

    /// Waits for a free instance for a frame of `mode`, first come first served in each line.
    pub async fn lease(self: &Arc<Self>, mode: &Arc<str>, line: Line) -> Lease {
        let waiting = Waiting::behind_others(&self.waiting);
        // Nobody closes the semaphores; if somebody ever does, their order is what is lost, not an instance.
        let _head = match line {
            Line::First => None,
            Line::Second => self.head_of_second.acquire().await.ok(),
        };
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        *lock(&self.last_used) = Instant::now();
        let idle = lock(&self.free).pop();
        let (instance, belongings) = idle.map_or((None, None), |(instance, belongings)| (Some(instance), belongings));
        let queue_depth = waiting.others;
        Lease { model: Arc::clone(self), mode: Arc::clone(mode), instance, belongings, queue_depth, _permit: permit }
    }
}

/// A frame waits for an instance, until this is dropped.
struct Waiting<'a> {
    all: &'a AtomicU32,
    others: u32,
}

impl<'a> Waiting<'a> {
    fn behind_others(all: &'a AtomicU32) -> Self {
        Self { all, others: all.fetch_add(1, Ordering::AcqRel) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for LoadedModel {
    fn drop(&mut self) {
        tracing::info!(model = self.spec.name, build = &self.build[..12], "Model is drained and let go");
        // Whoever was the last to use it serves clients; what a plugin does at its end may take long.
        let instances = std::mem::take(&mut *lock(&self.free));
        thread::spawn(move || {
            drop(instances);
            give_back_memory();
        });
    }
}

/// The right to use one instance; given back when it is dropped.
pub struct Lease {
    model: Arc<LoadedModel>,
    /// On whose behalf.
    mode: Arc<str>,
    instance: Option<Instance>,
    belongings: Belongings,
    /// How many frames waited already when the wait for it began.
    pub queue_depth: u32,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Lease {
    /// The model that the instance runs.
    pub fn model(&self) -> &Arc<LoadedModel> {
        &self.model
    }

    /// What was left with the instance.
    pub fn take_belongings<T: Any>(&mut self) -> Option<Box<T>> {
        self.belongings.take().and_then(|kept| (kept as Box<dyn Any>).downcast().ok())
    }

    /// Leaves `belongings` with the instance.
    pub fn put_belongings(&mut self, belongings: Box<dyn Any + Send>) {
        self.belongings = Some(belongings);
    }

    /// The instance. One that crashed earlier was destroyed: a new one is loaded in its place, at once the first time,
    /// and later and later when that goes on.
    pub fn instance(&mut self) -> Result<&mut Instance, InstanceError> {
        let instance = match self.instance.take() {
            Some(instance) => instance,
            None => self.start_again()?,
        };
        Ok(self.instance.insert(instance))
    }

    fn start_again(&mut self) -> Result<Instance, InstanceError> {
        if let Some(reason) = self.model.health().resting() {
            return Err(InstanceError::Resting(reason.to_owned()));
        }
        if !self.model.missing.begin() {
            return Err(InstanceError::Resting("it is being loaded".into()));
        }
        let (done, started) = sync_channel(0);
        let (model, mode) = (Arc::clone(&self.model), Arc::clone(&self.mode));
        let span = tracing::info_span!(target: CONTROL, "restart instance", mode = &*mode, trace_id = Empty);
        let span = with_trace_id(span);
        thread::spawn(move || {
            let _entered = span.enter();
            let weak = Arc::downgrade(&model);
            // The frame's lease holds the model, too, but not for long.
            let is_wanted = move || weak.strong_count() > 1;
            let started = Instance::create(&model.plugin, &model.spec, &is_wanted);
            model.missing.end(started.is_ok());
            if let (Ok(_), Some(telemetry)) = (&started, model.telemetry()) {
                telemetry.metrics.count_restart(&mode);
            }
            if let Err(SendError(Ok(instance))) = done.send(started) {
                lock(&model.free).push((instance, None));
            }
        });
        let started = started.recv_timeout(RESTART_PATIENCE).unwrap_or_else(|_late| {
            Err(InstanceError::Resting(format!("it takes longer than {} s to load", RESTART_PATIENCE.as_secs())))
        });
        started.inspect_err(|error| self.crashed(error))
    }

    /// Says how the call went. After a crash nobody knows what state the instance is in: it is destroyed.
    pub fn settle(&mut self, error: Option<&InstanceError>) {
        if let (Some(error), Some(telemetry)) = (error, self.model.telemetry()) {
            telemetry.metrics.count_failure(&self.mode, error.cause());
        }
        match error {
            None => self.model.health().succeeded(),
            Some(error) if error.is_fatal() => {
                (self.instance, self.belongings) = (None, None);
                self.model.missing.lost();
                self.crashed(error);
                give_back_memory();
            }
            Some(_) => {}
        }
    }

    fn crashed(&self, error: &InstanceError) {
        tracing::warn!(model = self.model.spec.name, %error, "An instance crashed");
        let (model, build, mode) = (&self.model.spec.name, &self.model.build, &self.mode);
        crashed("instance", &format!("{error}\nmodel: {model}\nmode: {mode}\nplugin's SHA-256: {build}"));
        if let Some(telemetry) = self.model.telemetry() {
            let modes = vec![self.mode.to_string()];
            telemetry.mark(Mark::now(
                MarkKind::Crash,
                "crashed",
                0,
                modes,
                format!("{}: {error}", self.model.spec.name),
            ));
        }
        let is_given_up = self.model.health().crashed(error.to_string());
        if is_given_up {
            self.model.give_up(&error.to_string());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        *lock(&self.model.last_used) = Instant::now();
        if let Some(instance) = self.instance.take() {
            let idle = (instance, self.belongings.take());
            lock(&self.model.free).push(idle);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
