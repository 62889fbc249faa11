//! Modes and the models behind them: the catalog, fetching weights, loading, warming up, leasing instances.
//!
//! On a frame's path this is what `admission` leases an instance from.
//!
//! Architecture invariant: a mode that can't load is Unavailable with the reason and the mend, and never keeps
//! another mode, or the server, from starting.

mod catalog;
mod health;
mod mode;
mod pull;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    config::{Isolation, ModeSettings},
    plugin_host::{Build, FoundPlugin, ModelSpec, PluginFile, WorkerLimits, find},
};

pub use catalog::{Catalog, CatalogClass, CatalogEntry, CatalogError, Source, Variant};
pub use mode::{Description, Lease, LoadedModel, Mode, ModeFault, ModeState};
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
        WeightsCache::new(self.cache.join("models"))
    }

    /// Where private copies of plugins lie.
    pub fn plugin_copies(&self) -> PathBuf {
        self.cache.join("plugins")
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
    #[error("plugin {}: {source}{}", path.display(), cause(source))]
    Open { path: PathBuf, source: crate::plugin_host::OpenError },
    #[error("backend {backend:?} can't load model {model:?}: {source}")]
    Load { backend: String, model: String, source: crate::plugin_host::InstanceError },
}

impl ModeError {
    /// The key of the mode's settings that is at fault.
    pub fn key(&self, settings: &ModeSettings) -> &'static str {
        match self {
            Self::Catalog(CatalogError::NoVariant { .. }) => "variant",
            Self::Load { .. } if !settings.settings.is_empty() => "settings",
            _ => "model",
        }
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
}

impl Modes {
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
    pub fn new(places: &Places, progress: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let loader = Arc::new(Loader::new(places.clone(), progress));
        Self { loading: Loading { loader, changed: watch::Sender::new(()) }, numbers: Mutex::default() }
    }

    /// The modes that `settings` name. Those that are among `known` already are kept as they are; each of the others
    /// starts to load on a thread of its own.
    pub fn modes(&self, settings: &BTreeMap<String, ModeSettings>, default_mode: &str, known: &[Arc<Mode>]) -> Modes {
        let mut ordered: Vec<_> = settings.iter().collect();
        ordered.sort_by_key(|(name, mode)| (mode.rank, (*name).clone()));
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut mode = |name: &str, settings: &ModeSettings| {
            let described = self.loading.loader.describe(name, settings);
            let kept = known.iter().find(|mode| mode.is_described_by(&described)).cloned();
            kept.unwrap_or_else(|| {
                let mode = numbers.take(|number| Mode::new(described, number));
                self.loading.start(&mode);
                mode
            })
        };
        let all: Vec<_> = ordered.into_iter().map(|(name, settings)| mode(name, settings)).collect();
        let default_mode = all.iter().find(|mode| &*mode.name == default_mode).unwrap_or(&all[0]).clone();
        Modes { all, default_mode }
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
        let (loading, mode) = (self.clone(), Arc::clone(mode));
        thread::spawn(move || {
            let settings = &mode.settings;
            match catch_unwind(AssertUnwindSafe(|| loading.loader.load(settings))) {
                Ok(Ok(model)) => loading.serve(&mode, model),
                Ok(Err(error)) => mode.set_unavailable(error.key(settings), error.to_string()),
                Err(_panic) => mode.set_unavailable("model", "loading it panicked; the log has the message"),
            }
            loading.tell(&mode);
        });
    }

    fn start_again(&self, mode: &Arc<Mode>) {
        mode.set(ModeState::Loading);
        self.tell(mode);
        self.start(mode);
    }

    fn serve(&self, mode: &Arc<Mode>, model: LoadedModel) {
        let (loading, weak) = (self.clone(), Arc::downgrade(mode));
        model.on_given_up(Box::new(move |reason| loading.give_up(&weak, &reason)));
        mode.set(ModeState::Ready(Arc::new(model)));
    }

    /// Takes a mode whose instances keep crashing out of service, and tries it again later.
    fn give_up(&self, mode: &Weak<Mode>, reason: &str) {
        let Some(mode) = mode.upgrade() else { return };
        let seconds = REST_OF_A_MODE.as_secs();
        mode.set_unavailable(
            "model",
            format!("it crashed again and again, the last time: {reason}; it is tried again every {seconds} s"),
        );
        self.tell(&mode);
        let (loading, weak) = (self.clone(), Arc::downgrade(&mode));
        thread::spawn(move || {
            thread::sleep(REST_OF_A_MODE);
            if let Some(mode) = weak.upgrade() {
                loading.start_again(&mode);
            }
        });
    }

    fn tell(&self, mode: &Mode) {
        if mode.is_in_force() {
            self.changed.send_replace(());
        }
    }
}

/// Loads what a mode needs, as the server does, and lets it go: would it serve? Its weights must be here.
pub fn try_load(places: &Places, settings: &ModeSettings) -> Result<(), ModeError> {
    let settings = ModeSettings { instances: 1, ..settings.clone() };
    Loader::new(places.clone(), |_step| {}).load(&settings).map(drop)
}

/// Loads modes; what two modes need alike is fetched and opened once.
struct Loader {
    places: Places,
    catalog: Catalog,
    progress: Box<dyn Fn(&str) + Send + Sync>,
    pulling: Mutex<()>,
}

impl Loader {
    fn new(places: Places, progress: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { catalog: places.catalog(), places, progress: Box::new(progress), pulling: Mutex::new(()) }
    }

    fn describe(&self, name: &str, settings: &ModeSettings) -> Description {
        let entry = self.catalog.entry(&settings.model).ok();
        Description { name: name.into(), settings: settings.clone(), entry }
    }

    fn load(&self, settings: &ModeSettings) -> Result<LoadedModel, ModeError> {
        let entry = self.catalog.entry(&settings.model)?;
        let weights = self.weights(settings, &entry)?;
        let plugin = self.plugin(&entry.backend, settings)?;
        let mut merged = entry.settings.clone();
        merged.extend(settings.settings.clone());
        let spec = ModelSpec {
            name: settings.model.clone(),
            weights,
            classes: entry.classes.iter().map(|class| (class.label.clone(), class.colour)).collect(),
            settings_json: serde_json::Value::Object(merged).to_string(),
            max_threads: settings.threads,
        };
        LoadedModel::load(plugin, spec, instance_count(settings)).map_err(|source| ModeError::Load {
            backend: entry.backend,
            model: settings.model.clone(),
            source,
        })
    }

    fn weights(&self, settings: &ModeSettings, entry: &CatalogEntry) -> Result<Option<PathBuf>, ModeError> {
        let Some(variant) = entry.variant(&settings.model, &settings.variant)? else { return Ok(None) };
        let cache = self.places.weights();
        let _one_at_a_time = self.pulling.lock().unwrap_or_else(PoisonError::into_inner);
        // Finding them reads and hashes them: once, unless they had to be fetched.
        let found = cache.find(&settings.model, variant);
        if found.is_some() {
            return Ok(found);
        }
        cache.pull(&settings.model, entry, &self.progress)?;
        Ok(cache.find(&settings.model, variant))
    }

    fn plugin(&self, backend: &str, settings: &ModeSettings) -> Result<Build, ModeError> {
        let limits = match settings.isolation {
            Isolation::Process => Some(WorkerLimits {
                timeout_millis: settings.timeout_millis,
                memory_len_bytes: settings.max_memory_len_bytes,
            }),
            Isolation::InProcess => None,
        };
        let file = find_plugin(&self.places.plugins, backend)?;
        let path = file.path.clone();
        Build::of(&file, &self.places.plugin_copies(), limits).map_err(|source| ModeError::Open { path, source })
    }
}

fn find_plugin(directory: &std::path::Path, backend: &str) -> Result<PluginFile, ModeError> {
    let found = find(directory).map_err(|source| ModeError::PluginDirectory { path: directory.to_owned(), source })?;
    let mut refused = String::new();
    for FoundPlugin { path, plugin } in found {
        match plugin {
            Ok(file) if file.descriptor.name == backend => return Ok(file),
            Ok(_other) => {}
            Err(reason) => refused.push_str(&format!("; refused {}: {reason}", path.display())),
        }
    }
    Err(ModeError::NoPlugin { path: directory.to_owned(), backend: backend.into(), refused })
}

/// One per core, up to eight: beyond that, memory and start-up grow and most live video does not gain.
fn instance_count(settings: &ModeSettings) -> usize {
    match settings.instances {
        0 => thread::available_parallelism().map_or(1, std::num::NonZero::get).min(8),
        count => count as usize,
    }
}
