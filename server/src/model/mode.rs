//! One mode: its state, and the instances that frames lease.

use std::{
    any::Any,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{SendError, sync_channel},
    },
    thread,
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{
    catalog::CatalogEntry,
    health::Health,
    loader::{Artifacts, Wanted},
};
use crate::{
    config::ModeSettings,
    copies::PrivateCopy,
    plugin_host::{Build, Instance, InstanceError, InstanceInfo, ModelSpec, give_back_memory},
    telemetry::Metrics,
};

/// A mode that clients can choose. A reload keeps it as long as its model stays the same, and puts another in its
/// place when not; then frames in flight end here.
pub struct Mode {
    /// What clients call it.
    pub name: Arc<str>,
    /// Its number in `hello` and in results. Another model under the same name has another number.
    pub index: u8,
    /// The model behind it, and its variant: `name/variant`.
    pub model: String,
    /// What the model is, in a few words; empty when the catalog couldn't tell.
    pub title: String,
    /// The plugin that runs the model; empty when the catalog couldn't tell.
    pub backend: String,
    /// What the profile says of it.
    pub settings: ModeSettings,
    /// What it is made of.
    pub artifacts: Artifacts,
    /// Clients see it.
    is_in_force: AtomicBool,
    state: watch::Sender<ModeState>,
}

/// What a mode is doing.
#[derive(Clone)]
pub enum ModeState {
    /// Its model is being fetched or loaded.
    Loading,
    /// It serves.
    Ready(Arc<LoadedModel>),
    /// It can't serve, for this reason.
    Unavailable(Arc<ModeFault>),
}

/// Why a mode can't serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeFault {
    /// The key of the mode's settings that is at fault.
    pub key: &'static str,
    /// What is wrong, and how to mend it.
    pub reason: String,
}

impl ModeFault {
    pub(super) fn of(key: &'static str, reason: impl Into<String>) -> Self {
        Self { key, reason: reason.into() }
    }
}

impl ModeState {
    /// As the wire protocol has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Ready(_) => "ready",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// Why it does not serve; empty when it does.
    pub fn message(&self) -> &str {
        match self {
            Self::Loading => "the model is being loaded",
            Self::Ready(_) => "",
            Self::Unavailable(fault) => &fault.reason,
        }
    }
}

impl Mode {
    /// A mode that is still loading.
    pub fn new(name: Arc<str>, settings: ModeSettings, artifacts: Artifacts, index: u8) -> Self {
        let entry = &artifacts.entry;
        let of_entry = |field: fn(&CatalogEntry) -> &String| entry.as_ref().map(field).cloned().unwrap_or_default();
        let variant = match settings.variant.as_str() {
            "" => of_entry(|entry| &entry.default_variant),
            variant => variant.to_owned(),
        };
        let model = if variant.is_empty() { settings.model.clone() } else { format!("{}/{variant}", settings.model) };
        Self {
            name,
            index,
            model,
            title: of_entry(|entry| &entry.title),
            backend: of_entry(|entry| &entry.backend),
            settings,
            artifacts,
            is_in_force: AtomicBool::new(false),
            state: watch::Sender::new(ModeState::Loading),
        }
    }

    /// What it is doing now.
    pub fn state(&self) -> ModeState {
        self.state.borrow().clone()
    }

    /// Follows what it is doing.
    pub fn follow(&self) -> watch::Receiver<ModeState> {
        self.state.subscribe()
    }

    /// Waits until it serves and has a free instance, first come first served; or says why it never will.
    pub async fn lease(&self) -> Result<Lease, String> {
        match self.ready().await {
            Ok(model) => Ok(model.lease().await),
            Err(fault) => Err(fault.reason.clone()),
        }
    }

    /// The model behind it, once it is loaded; or why it never will be.
    pub async fn ready(&self) -> Result<Arc<LoadedModel>, Arc<ModeFault>> {
        let mut state = self.follow();
        loop {
            match &*state.borrow_and_update() {
                ModeState::Ready(model) => return Ok(Arc::clone(model)),
                ModeState::Unavailable(fault) => return Err(Arc::clone(fault)),
                ModeState::Loading => {}
            }
            // The sender is a part of `self`: waiting can't fail.
            let _ = state.changed().await;
        }
    }

    /// Whether clients see it.
    pub(super) fn is_in_force(&self) -> bool {
        self.is_in_force.load(Ordering::Acquire)
    }

    /// Clients see it from now on; whether they saw it before.
    pub(super) fn put_in_force(&self) -> bool {
        let was_in_force = self.is_in_force.swap(true, Ordering::AcqRel);
        if !was_in_force {
            self.log(&self.state());
        }
        was_in_force
    }

    pub(crate) fn set(&self, state: ModeState) {
        self.state.send_replace(state.clone());
        // What becomes of a mode that is not in force is told by the receipt of its reload.
        if self.is_in_force() {
            self.log(&state);
        }
    }

    fn log(&self, state: &ModeState) {
        match state {
            ModeState::Loading => {}
            ModeState::Ready(model) => tracing::info!(
                mode = &*self.name,
                model = self.model,
                backend = self.backend,
                build = &model.build[..12],
                instances = model.instance_count,
                "Mode is ready"
            ),
            ModeState::Unavailable(fault) => {
                tracing::error!(mode = &*self.name, reason = fault.reason, "Mode is unavailable");
            }
        }
    }
}

/// A model that is loaded and warmed up: its instances, and what it says of itself.
pub struct LoadedModel {
    /// Labels, palette and sizes.
    pub info: InstanceInfo,
    /// SHA-256 of the plugin's file.
    pub build: String,
    instance_count: usize,
    missing: Missing,
    plugin: Build,
    spec: ModelSpec,
    /// A lab's own weights, which an instance that is started again reads again.
    _weights: Option<Arc<PrivateCopy>>,
    free: Mutex<Vec<Idle>>,
    permits: Arc<Semaphore>,
    health: Mutex<Health>,
    /// Told of what goes wrong.
    watcher: OnceLock<Watcher>,
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
    }

    /// Whether one of them may be started now.
    fn begin(&self) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let may_begin = counts.1 < counts.0;
        counts.1 += usize::from(may_begin);
        may_begin
    }

    fn end(&self, is_there: bool) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.1 -= 1;
        counts.0 -= usize::from(is_there);
    }
}

/// A frame waits so long for an instance that is started anew.
const RESTART_PATIENCE: Duration = Duration::from_secs(1);

/// Who is told of what goes wrong with a model's instances.
pub(super) struct Watcher {
    pub(super) mode: Arc<str>,
    pub(super) metrics: Arc<Metrics>,
    /// What is to be done when they keep crashing, for this reason.
    pub(super) given_up: Box<dyn Fn(String) + Send + Sync>,
}

impl LoadedModel {
    /// Loads and warms up `count` instances, the first of which has to pass `check`. Takes as long as that takes; not for the async runtime.
    pub(super) fn load(
        plugin: Build,
        spec: ModelSpec,
        count: usize,
        weights: Option<Arc<PrivateCopy>>,
        check: impl FnOnce(&mut Instance) -> Result<(), String>,
        is_wanted: &Wanted<'_>,
    ) -> Result<Self, InstanceError> {
        let mut first = Instance::create(&plugin, &spec, is_wanted)?;
        check(&mut first).map_err(InstanceError::Failed)?;
        let info = first.info().clone();
        let others = (1..count).map(|_| Instance::create(&plugin, &spec, is_wanted));
        let instances = std::iter::once(Ok(first)).chain(others).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            info,
            build: plugin.sha256().to_owned(),
            instance_count: count,
            missing: Missing::default(),
            permits: Arc::new(Semaphore::new(count)),
            free: Mutex::new(instances.into_iter().map(|instance| (instance, Belongings::default())).collect()),
            health: Mutex::default(),
            watcher: OnceLock::new(),
            plugin,
            spec,
            _weights: weights,
        })
    }

    pub(super) fn watch(&self, watcher: Watcher) {
        // Set once, when it is loaded.
        let _ = self.watcher.set(watcher);
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a free instance, first come first served.
    pub async fn lease(self: &Arc<Self>) -> Lease {
        // Nobody closes the semaphore; if somebody ever does, its order is what is lost, not an instance.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let idle = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (instance, belongings) = idle.map_or((None, None), |(instance, belongings)| (Some(instance), belongings));
        Lease { model: Arc::clone(self), instance, belongings, _permit: permit }
    }
}

impl Drop for LoadedModel {
    fn drop(&mut self) {
        tracing::info!(model = self.spec.name, build = &self.build[..12], "Model is drained and let go");
        // Whoever was the last to use it serves clients; what a plugin does at its end may take long.
        let instances = std::mem::take(&mut *self.free.lock().unwrap_or_else(PoisonError::into_inner));
        thread::spawn(move || {
            drop(instances);
            give_back_memory();
        });
    }
}

/// The right to use one instance; given back when it is dropped.
pub struct Lease {
    model: Arc<LoadedModel>,
    instance: Option<Instance>,
    belongings: Belongings,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Lease {
    /// The model that the instance runs.
    pub fn model(&self) -> &Arc<LoadedModel> {
        &self.model
    }

    /// What was left with the instance, or something new.
    pub fn take_belongings<T: Any + Default>(&mut self) -> Box<T> {
        self.belongings.take().and_then(|kept| (kept as Box<dyn Any>).downcast().ok()).unwrap_or_default()
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
        let model = Arc::clone(&self.model);
        thread::spawn(move || {
            let weak = Arc::downgrade(&model);
            // The frame's lease holds the model, too, but not for long.
            let is_wanted = move || weak.strong_count() > 1;
            let started = Instance::create(&model.plugin, &model.spec, &is_wanted);
            model.missing.end(started.is_ok());
            if let (Ok(_), Some(watcher)) = (&started, model.watcher.get()) {
                watcher.metrics.count_restart(&watcher.mode);
            }
            if let Err(SendError(Ok(instance))) = done.send(started) {
                model.free.lock().unwrap_or_else(PoisonError::into_inner).push((instance, None));
            }
        });
        let started = started.recv_timeout(RESTART_PATIENCE).unwrap_or_else(|_late| {
            Err(InstanceError::Resting(format!("it takes longer than {} s to load", RESTART_PATIENCE.as_secs())))
        });
        started.inspect_err(|error| self.crashed(error))
    }

    /// Says how the call went. After a crash nobody knows what state the instance is in: it is destroyed.
    pub fn settle(&mut self, error: Option<&InstanceError>) {
        if let (Some(error), Some(watcher)) = (error, self.model.watcher.get()) {
            watcher.metrics.count_failure(&watcher.mode, error.cause());
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
        let is_given_up = self.model.health().crashed(error.to_string());
        if let (true, Some(watcher)) = (is_given_up, self.model.watcher.get()) {
            (watcher.given_up)(error.to_string());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            let idle = (instance, self.belongings.take());
            self.model.free.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
        }
    }
}
