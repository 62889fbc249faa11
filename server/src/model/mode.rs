//! One mode: what clients call it, what it is made of, and its state.

use std::{
    borrow::Cow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::watch;

use super::{
    catalog::CatalogEntry,
    instances::{Lease, LoadedModel},
    loader::Artifacts,
};
use crate::{
    config::{Line, ModeSettings},
    plugin_host::InstanceInfo,
    telemetry::ServedBy,
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
    /// How often its plugin's processes had been asked for afresh when it was made.
    pub(super) edition: u32,
    /// Clients see it.
    is_in_force: AtomicBool,
    state: watch::Sender<ModeState>,
    /// What its model said of itself when it was loaded first, and the plugin's build.
    told: OnceLock<(InstanceInfo, String)>,
    served_by: OnceLock<Arc<ServedBy>>,
    /// Loads the model again that was let go.
    wake: OnceLock<Wake>,
}

type Wake = Box<dyn Fn() + Send + Sync>;

/// What a mode is doing.
#[derive(Clone)]
pub enum ModeState {
    /// Its model is being fetched or loaded.
    Loading,
    /// It serves.
    Ready(Arc<LoadedModel>),
    /// Nobody used its model for long, so it was let go. The next frame has it loaded again.
    Asleep,
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
    /// The command that mends it; empty when there is none.
    pub command: String,
    /// Nothing is wrong but that something is not installed.
    pub is_absence: bool,
}

impl ModeFault {
    /// A fault that no command mends.
    pub fn of(key: &'static str, reason: impl Into<String>) -> Self {
        Self { key, reason: reason.into(), command: String::new(), is_absence: false }
    }
}

impl ModeState {
    /// As the wire protocol has it. Whoever chooses a mode that is asleep gets it, so it is none the less ready.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Ready(_) | Self::Asleep => "ready",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// Whether a frame would be answered, be it after a while.
    pub fn can_serve(&self) -> bool {
        matches!(self, Self::Ready(_) | Self::Asleep)
    }

    /// Why it does not serve; empty when it does.
    pub fn message(&self) -> &str {
        match self {
            Self::Loading => "the model is being loaded",
            Self::Ready(_) => "",
            Self::Asleep => "the model was let go while nobody used it; the next frame has it loaded again",
            Self::Unavailable(fault) => &fault.reason,
        }
    }

    /// The command that would mend it; empty when there is none.
    pub fn command(&self) -> &str {
        match self {
            Self::Unavailable(fault) => &fault.command,
            Self::Loading | Self::Ready(_) | Self::Asleep => "",
        }
    }
}

impl Mode {
    /// A mode that is still loading.
    pub fn new(name: Arc<str>, settings: ModeSettings, artifacts: Artifacts, index: u8, edition: u32) -> Self {
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
            edition,
            is_in_force: AtomicBool::new(false),
            state: watch::Sender::new(ModeState::Loading),
            told: OnceLock::new(),
            served_by: OnceLock::new(),
            wake: OnceLock::new(),
        }
    }

    /// Whether `lying`, which lies there for it now, is what it is made of.
    pub fn is_made_of(&self, lying: &Artifacts) -> bool {
        let is_fetched =
            || !matches!(self.state(), ModeState::Unavailable(_)) && self.artifacts.become_when_fetched(lying);
        self.artifacts == *lying || is_fetched()
    }

    /// What its model said of itself, and the plugin's build; `None` until it was loaded once.
    pub fn told(&self) -> Option<&(InstanceInfo, String)> {
        self.told.get()
    }

    /// Labels by class id: what its model said; until that was loaded once, what the catalog says, if it does.
    pub fn labels(&self) -> Cow<'_, [String]> {
        if let Some((info, _)) = self.told() {
            return Cow::Borrowed(&info.labels);
        }
        let Some(entry) = &self.artifacts.entry else { return Cow::Borrowed(&[]) };
        let variant = self.model.split_once('/').and_then(|(_, variant)| entry.variants.get(variant));
        entry.classes_of(variant).iter().map(|class| class.label.clone()).collect()
    }

    /// What traces say of it; `None` until its model was loaded once.
    pub fn served_by(&self) -> Option<Arc<ServedBy>> {
        self.served_by.get().cloned()
    }

    /// How many frames wait for an instance of its model.
    pub fn waiting(&self) -> u32 {
        match &*self.state.borrow() {
            ModeState::Ready(model) => model.waiting(),
            ModeState::Loading | ModeState::Asleep | ModeState::Unavailable(_) => 0,
        }
    }

    /// How many may; 0 where only the server's own bound counts.
    pub fn max_waiting(&self) -> u32 {
        self.settings.max_waiting
    }

    /// What it is doing now.
    pub fn state(&self) -> ModeState {
        self.state.borrow().clone()
    }

    /// Follows what it is doing.
    pub fn follow(&self) -> watch::Receiver<ModeState> {
        self.state.subscribe()
    }

    /// Waits in `line` until it serves and has a free instance; or says why it never will.
    pub async fn lease(&self, line: Line) -> Result<Lease, String> {
        match self.ready().await {
            Ok(model) => Ok(model.lease(&self.name, line).await),
            Err(fault) => Err(fault.reason.clone()),
        }
    }

    /// The model behind it, once it is loaded; or why it never will be. One that was let go is loaded again.
    pub async fn ready(&self) -> Result<Arc<LoadedModel>, Arc<ModeFault>> {
        let mut state = self.follow();
        loop {
            // Not kept borrowed: to wake up is to change it.
            let now = state.borrow_and_update().clone();
            match now {
                ModeState::Ready(model) => return Ok(model),
                ModeState::Unavailable(fault) => return Err(fault),
                ModeState::Loading => {}
                ModeState::Asleep => self.wake_up(),
            }
            // The sender is a part of `self`: waiting can't fail.
            let _ = state.changed().await;
        }
    }

    /// Has the model that was let go loaded again.
    pub fn wake_up(&self) {
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    /// What [`Self::wake_up`] does.
    pub(super) fn wakes_by(&self, wake: impl Fn() + Send + Sync + 'static) {
        // Set once, when it is made.
        let _ = self.wake.set(Box::new(wake));
    }

    /// From one state to another in one step; whether it was in the first.
    pub(super) fn go(&self, is_from: impl FnOnce(&ModeState) -> bool, to: ModeState) -> bool {
        self.state.send_if_modified(|state| {
            let is_from = is_from(state);
            if is_from {
                *state = to;
            }
            is_from
        })
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
        if let ModeState::Ready(model) = &state {
            self.told.get_or_init(|| (model.info.clone(), model.build.clone()));
            let told =
                || ServedBy { model: self.model.clone(), backend: self.backend.clone(), build: model.build.clone() };
            self.served_by.get_or_init(|| Arc::new(told()));
        }
        self.state.send_replace(state.clone());
        // What becomes of a mode that is not in force is told by the receipt of its reload.
        if self.is_in_force() {
            self.log(&state);
        }
    }

    fn log(&self, state: &ModeState) {
        match state {
            ModeState::Loading | ModeState::Asleep => {}
            ModeState::Ready(model) => tracing::info!(
                mode = &*self.name,
                model = self.model,
                backend = self.backend,
                build = &model.build[..12],
                instances = model.instance_count,
                "Mode is ready"
            ),
            ModeState::Unavailable(fault) if fault.is_absence => {
                tracing::info!(mode = &*self.name, reason = fault.reason, "Mode is not installed");
            }
            ModeState::Unavailable(fault) => {
                tracing::error!(mode = &*self.name, reason = fault.reason, "Mode is unavailable");
            }
        }
    }
}
