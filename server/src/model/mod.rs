//! Modes and the models behind them: the catalog, fetching weights, loading, warming up, leasing instances.
//!
//! On a frame's path this is what `admission` leases an instance from.
//!
//! Architecture invariant: a mode that can't load is Unavailable with the reason and the mend, and never keeps
//! another mode, or the server, from starting.

mod catalog;
mod golden;
mod health;
mod loader;
mod mode;
mod pull;
mod shelf;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::{Duration, SystemTime},
};

use tokio::sync::watch;

use crate::{
    config::ModeSettings,
    copies::{Copies, CopyError},
    telemetry::Metrics,
};

pub use crate::plugin_host::FoundPlugin;
pub use catalog::{Catalog, CatalogClass, CatalogEntry, CatalogError, Source, Variant};
pub use golden::Golden;
use loader::Loader;
pub use loader::{Artifacts, ModelFiles, Weights};
use mode::Watcher;
pub use mode::{Lease, LoadedModel, Mode, ModeFault, ModeState};
pub use pull::{PullError, WeightsCache};

/// Where models and plugins lie.
#[derive(Clone, Debug)]
pub struct Places {
    /// Directory of plugin files.
    pub plugins: PathBuf,
    /// Directory of the catalog.
    pub models: PathBuf,
    /// Directory for weights and private copies of plugins.
    pub cache: PathBuf,
}

impl Places {
    /// The catalog.
    pub fn catalog(&self) -> Catalog {
        Catalog::new(&self.models)
    }

    /// The weights that were fetched.
    pub fn weights(&self) -> WeightsCache {
        WeightsCache::new(self.cache.join("models"), &self.models)
    }

    /// The private copies of what others may overwrite.
    pub fn copies(&self) -> Copies {
        Copies::new(self.cache.join("copies"))
    }
}

/// Why a mode can't serve.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ModeError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Pull(#[from] PullError),
    #[error("the plugin directory {} can't be read: {source}; name it with --plugins", path.display())]
    PluginDirectory { path: PathBuf, source: std::io::Error },
    #[error("no plugin in {} is called {backend:?}{refused}", path.display())]
    NoPlugin { path: PathBuf, backend: String, refused: String },
    #[error("plugin {}: {reason}", path.display())]
    Refused { path: PathBuf, reason: String },
    #[error("plugin {} is called {found:?}, and the model needs {backend:?}", path.display())]
    OtherPlugin { path: PathBuf, found: String, backend: String },
    #[error("plugin {}: {source}{}", path.display(), cause(source))]
    Open { path: PathBuf, source: crate::plugin_host::OpenError },
    #[error("weights {}: they lie not there, and the catalog's entry names no SHA-256 by which to fetch them", path.display())]
    NoWeights { path: PathBuf },
    #[error("weights {}: {source}", path.display())]
    Weights { path: PathBuf, source: std::io::Error },
    #[error("weights {}: their SHA-256 is {sha256}, and the catalog's entry names another; correct it there, or leave it out", path.display())]
    OtherWeights { path: PathBuf, sha256: String },
    #[error("weights {}: {source}", path.display())]
    Copy { path: PathBuf, source: CopyError },
    #[error("{file} was fetched, and is gone from the cache")]
    Gone { file: String },
    #[error("backend {backend:?} can't load model {model:?}: {source}")]
    Load { backend: String, model: String, source: crate::plugin_host::InstanceError },
}

impl ModeError {
    /// The error, with the key of the mode's settings that is at fault.
    fn fault(&self, settings: &ModeSettings) -> ModeFault {
        let key = match self {
            Self::Catalog(CatalogError::NoVariant { .. }) => "variant",
            Self::Refused { .. } | Self::OtherPlugin { .. } => "plugin",
            Self::Load { .. } if !settings.settings.is_empty() => "settings",
            _ => "model",
        };
        ModeFault::of(key, self.to_string())
    }
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map(|source| format!(": {source}")).unwrap_or_default()
}

/// A client named a mode that there is not.
#[derive(Debug, thiserror::Error)]
#[error("there is no mode {name:?}; there are: {known}")]
pub struct UnknownMode {
    name: String,
    known: String,
}

/// The modes of one configuration, in the order of menus.
#[derive(Clone)]
pub struct Modes {
    all: Vec<Arc<Mode>>,
    default_mode: Arc<Mode>,
    /// Which mode answers while one is unavailable.
    fallbacks: BTreeMap<String, String>,
}

impl Modes {
    fn of(all: Vec<Arc<Mode>>, default_mode: &str, fallbacks: BTreeMap<String, String>) -> Self {
        let default_mode = all.iter().find(|mode| &*mode.name == default_mode).unwrap_or(&all[0]).clone();
        Self { all, default_mode, fallbacks }
    }

    /// The mode that answers while `mode` is unavailable: the first of its line that is ready.
    pub fn fallback_of(&self, mode: &Mode) -> Option<&Arc<Mode>> {
        let mut name = &*mode.name;
        // A line that leads back to its start ends.
        for _ in 0..self.all.len() {
            let next = self.get(self.fallbacks.get(name)?).ok()?;
            if let ModeState::Ready(_) = next.state() {
                return Some(next);
            }
            name = &next.name;
        }
        None
    }

    /// All of them.
    pub fn all(&self) -> &[Arc<Mode>] {
        &self.all
    }

    /// The mode `name`.
    pub fn get(&self, name: &str) -> Result<&Arc<Mode>, UnknownMode> {
        self.all.iter().find(|mode| &*mode.name == name).ok_or_else(|| {
            let known: Vec<_> = self.all.iter().map(|mode| &*mode.name).collect();
            UnknownMode { name: name.to_owned(), known: known.join(", ") }
        })
    }

    /// The mode that a session starts in.
    pub fn default_mode(&self) -> &Arc<Mode> {
        &self.default_mode
    }

    /// Those whose model the plugin `backend` runs.
    pub fn of_backend(&self, backend: &str) -> impl Iterator<Item = &Arc<Mode>> {
        self.all.iter().filter(move |mode| mode.backend == backend)
    }

    /// Whether these are the same modes in the same order.
    pub fn are_the_same_as(&self, other: &Self) -> bool {
        self.all.len() == other.all.len() && self.all.iter().zip(&other.all).all(|(one, two)| Arc::ptr_eq(one, two))
    }

    /// Those that `before` has not.
    pub fn new_since(&self, before: &Self) -> Vec<Arc<Mode>> {
        let is_known = |mode: &&Arc<Mode>| before.all.iter().any(|old| Arc::ptr_eq(old, mode));
        self.all.iter().filter(|mode| !is_known(mode)).cloned().collect()
    }
}

/// Makes the modes of each configuration of a running server.
pub struct Registry {
    loading: Loading,
    numbers: Mutex<Numbers>,
}

/// What the threads that load modes share.
#[derive(Clone)]
struct Loading {
    loader: Arc<Loader>,
    changed: watch::Sender<()>,
    metrics: Arc<Metrics>,
}

/// How long a mode whose instances kept crashing is left alone before it is tried again.
const REST_OF_A_MODE: Duration = Duration::from_secs(30);

/// Numbers of modes: each is given again only when all others were, and no mode of that number is left.
#[derive(Default)]
struct Numbers {
    next: u8,
    given: Vec<Weak<Mode>>,
}

impl Numbers {
    fn take(&mut self, make: impl FnOnce(u8) -> Mode) -> Arc<Mode> {
        self.given.retain(|mode| mode.strong_count() > 0);
        let used: Vec<u8> = self.given.iter().filter_map(Weak::upgrade).map(|mode| mode.index).collect();
        // A profile has at most 127 modes: there are always some left, unless frames hold on to hundreds.
        let mut numbers = (0..=u8::MAX).map(|step| self.next.wrapping_add(step));
        let number = numbers.find(|number| !used.contains(number)).unwrap_or(self.next);
        self.next = number.wrapping_add(1);
        let mode = Arc::new(make(number));
        self.given.push(Arc::downgrade(&mode));
        mode
    }
}

impl Registry {
    /// Models and plugins come from `places`. `progress` is told what takes long.
    pub fn new(places: &Places, metrics: Arc<Metrics>, progress: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let loader = Arc::new(Loader::new(places.clone(), progress));
        Self { loading: Loading { loader, changed: watch::Sender::new(()), metrics }, numbers: Mutex::default() }
    }

    /// The modes that `settings` name. Those that are among `known` already are kept as they are, whatever lies in the
    /// directories by now; each of the others starts to load on a thread of its own.
    pub fn modes(&self, settings: &BTreeMap<String, ModeSettings>, default_mode: &str, known: &[Arc<Mode>]) -> Modes {
        let mut ordered: Vec<_> = settings.iter().collect();
        ordered.sort_by_key(|(name, mode)| (mode.rank, (*name).clone()));
        let mode = |name: &str, settings: &ModeSettings| {
            let kept = known.iter().find(|mode| &*mode.name == name && mode.settings.loads_the_same_as(settings));
            kept.cloned().unwrap_or_else(|| self.load(name.into(), settings, self.loading.loader.artifacts(settings)))
        };
        let fallbacks = settings.iter().map(|(name, mode)| (name.clone(), mode.fallback.clone())).collect();
        Modes::of(ordered.into_iter().map(|(name, settings)| mode(name, settings)).collect(), default_mode, fallbacks)
    }

    /// `modes`, with those called `names` made anew of what lies in the directories now, unless they are among `half_built`.
    pub fn renewed(&self, modes: &Modes, names: &[Arc<str>], half_built: &[Arc<Mode>]) -> Modes {
        let renew = |old: &Arc<Mode>| {
            let artifacts = self.artifacts(old);
            let is_it = |mode: &&Arc<Mode>| {
                mode.name == old.name && mode.settings == old.settings && mode.artifacts == artifacts
            };
            let built = half_built.iter().find(is_it).cloned();
            built.unwrap_or_else(|| self.load(Arc::clone(&old.name), &old.settings, artifacts))
        };
        let renewed = |mode: &Arc<Mode>| if names.contains(&mode.name) { renew(mode) } else { Arc::clone(mode) };
        Modes::of(modes.all.iter().map(renewed).collect(), &modes.default_mode.name, modes.fallbacks.clone())
    }

    fn load(&self, name: Arc<str>, settings: &ModeSettings, artifacts: Artifacts) -> Arc<Mode> {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let mode = numbers.take(|number| Mode::new(name, settings.clone(), artifacts, number));
        self.loading.start(&mode);
        mode
    }

    /// When what `artifacts` of `mode` are was last written.
    pub fn written(&self, mode: &Mode, artifacts: &Artifacts) -> Vec<Option<SystemTime>> {
        self.loading.loader.written(&mode.settings, artifacts)
    }

    /// What `mode` would be made of now.
    pub fn artifacts(&self, mode: &Mode) -> Artifacts {
        self.loading.loader.artifacts(&mode.settings)
    }

    /// Every file of the plugin directory that looks like a plugin.
    pub fn plugins(&self) -> std::io::Result<Vec<FoundPlugin>> {
        self.loading.loader.shelf.plugins()
    }

    /// The catalog.
    pub fn catalog(&self) -> Catalog {
        self.loading.loader.places.catalog()
    }

    /// The directories from which modes are made, and the files in them.
    pub fn files(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        self.loading.loader.shelf.files()
    }

    /// From now on clients see these modes: what becomes of them is logged and told. What is Unavailable is tried again.
    pub fn put_in_force(&self, modes: &Modes) {
        for mode in &modes.all {
            if let (true, ModeState::Unavailable(_)) = (mode.put_in_force(), mode.state()) {
                self.loading.start_again(mode);
            }
        }
    }

    /// Changes whenever a mode that clients see changes its state.
    pub fn follow(&self) -> watch::Receiver<()> {
        self.loading.changed.subscribe()
    }
}

impl Loading {
    /// Loads `mode` on a thread of its own.
    fn start(&self, mode: &Arc<Mode>) {
        let (loading, weak) = (self.clone(), Arc::downgrade(mode));
        let (settings, artifacts) = (mode.settings.clone(), mode.artifacts.clone());
        thread::spawn(move || {
            // A mode that nobody holds any more was superseded.
            let is_wanted = || weak.strong_count() > 0;
            let load = || loading.loader.load(&settings, &artifacts, &is_wanted);
            let loaded = catch_unwind(AssertUnwindSafe(load));
            let Some(mode) = weak.upgrade() else { return };
            match loaded {
                Ok(Ok(model)) => loading.serve(&mode, model),
                Ok(Err(fault)) => loading.take_away(&mode, fault, None),
                Err(_panic) => {
                    let fault = ModeFault::of("model", "loading it panicked; the log has the message");
                    loading.take_away(&mode, fault, None);
                }
            }
            loading.tell(&mode);
        });
    }

    fn start_again(&self, mode: &Arc<Mode>) {
        mode.set(ModeState::Loading);
        self.tell(mode);
        self.start(mode);
    }

    /// Says that `mode` can't serve, and tries it again later if that is so still. `model` is what served until now: as long
    /// as it is there, so are the private copies that it is made of.
    fn take_away(&self, mode: &Arc<Mode>, fault: ModeFault, model: Option<Arc<LoadedModel>>) {
        let fault = Arc::new(fault);
        mode.set(ModeState::Unavailable(Arc::clone(&fault)));
        let (loading, weak) = (self.clone(), Arc::downgrade(mode));
        thread::spawn(move || {
            thread::sleep(REST_OF_A_MODE);
            let Some(mode) = weak.upgrade().filter(|mode| mode.is_in_force()) else { return };
            if matches!(mode.state(), ModeState::Unavailable(now) if Arc::ptr_eq(&now, &fault)) {
                loading.start_again(&mode);
                // Until the copies are in use again.
                while let ModeState::Loading = mode.state() {
                    thread::sleep(Duration::from_millis(100));
                }
            }
            drop(model);
        });
    }

    fn serve(&self, mode: &Arc<Mode>, model: LoadedModel) {
        let (loading, weak) = (self.clone(), Arc::downgrade(mode));
        let given_up = Box::new(move |reason: String| loading.give_up(&weak, &reason));
        model.watch(Watcher { mode: Arc::clone(&mode.name), metrics: Arc::clone(&self.metrics), given_up });
        mode.set(ModeState::Ready(Arc::new(model)));
    }

    /// Takes a mode whose instances keep crashing out of service, and tries it again later.
    fn give_up(&self, mode: &Weak<Mode>, reason: &str) {
        let Some(mode) = mode.upgrade() else { return };
        let seconds = REST_OF_A_MODE.as_secs();
        self.metrics.count_given_up(&mode.name);
        let model = match mode.state() {
            ModeState::Ready(model) => Some(model),
            ModeState::Loading | ModeState::Unavailable(_) => None,
        };
        let what = format!("it crashed again and again, the last time: {reason}; it is tried again every {seconds} s");
        self.take_away(&mode, ModeFault::of("model", what), model);
        self.tell(&mode);
    }

    fn tell(&self, mode: &Mode) {
        if mode.is_in_force() {
            self.changed.send_replace(());
        }
    }
}

/// Loads what a mode needs, as the server does, and lets it go: would it serve? Fetches nothing.
pub fn try_load(places: &Places, settings: &ModeSettings) -> Result<(), ModeFault> {
    let settings = ModeSettings { instances: 1, ..settings.clone() };
    let loader = Loader::new(places.clone(), |_step| {});
    let artifacts = loader.artifacts(&settings);
    if let Ok(ModelFiles { weights: Weights::Fetched(variant), .. }) = &artifacts.files
        && places.weights().find(&settings.model, variant).is_none()
    {
        let what = format!("{} is not here; run `segue models pull {}`", variant.file, settings.model);
        return Err(ModeFault::of("model", what));
    }
    loader.load(&settings, &artifacts, &|| true).map(drop)
}
