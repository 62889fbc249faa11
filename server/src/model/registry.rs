//! Makes the modes of each configuration, and follows what becomes of their models.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::{Duration, SystemTime},
};

use tokio::sync::watch;

use super::{
    Artifacts, Catalog, FoundPlugin, LoadedModel, Mode, ModeFault, ModeState, Modes, Places,
    instances::Watcher,
    loader::Loader,
    pool::{Pool, Recipe},
};
use crate::{config::ModeSettings, telemetry::Telemetry};

/// Makes the modes of each configuration of a running server.
pub struct Registry {
    loading: Loading,
    numbers: Mutex<Numbers>,
    /// How often the processes of a plugin were asked for afresh, by its name.
    editions: Mutex<BTreeMap<String, u32>>,
}

/// What the threads that load modes share.
#[derive(Clone)]
struct Loading {
    loader: Arc<Loader>,
    pool: Arc<Pool>,
    changed: watch::Sender<()>,
    telemetry: Arc<Telemetry>,
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
    pub fn new(places: &Places, telemetry: Arc<Telemetry>, progress: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let loader = Arc::new(Loader::new(places.clone(), progress));
        let loading = Loading { loader, pool: Arc::default(), changed: watch::Sender::new(()), telemetry };
        Self { loading, numbers: Mutex::default(), editions: Mutex::default() }
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

    /// `modes`, with those called `names` made anew of what lies in the directories now, unless they are among `half_built`;
    /// with models that nobody else uses yet when `half_built` is `None`.
    pub fn renewed(&self, modes: &Modes, names: &[Arc<str>], half_built: Option<&[Arc<Mode>]>) -> Modes {
        if half_built.is_none() {
            self.begin_editions(modes, names);
        }
        let renew = |old: &Arc<Mode>| {
            let artifacts = self.artifacts(old);
            let is_it = |mode: &&Arc<Mode>| {
                mode.name == old.name && mode.settings == old.settings && mode.artifacts == artifacts
            };
            let built = half_built.unwrap_or_default().iter().find(is_it).cloned();
            built.unwrap_or_else(|| self.load(Arc::clone(&old.name), &old.settings, artifacts))
        };
        let renewed = |mode: &Arc<Mode>| if names.contains(&mode.name) { renew(mode) } else { Arc::clone(mode) };
        Modes::of(modes.all.iter().map(renewed).collect(), &modes.default_mode.name, modes.fallbacks.clone())
    }

    fn load(&self, name: Arc<str>, settings: &ModeSettings, artifacts: Artifacts) -> Arc<Mode> {
        let backend = artifacts.entry.as_ref().map(|entry| entry.backend.as_str()).unwrap_or_default();
        let edition = lock(&self.editions).get(backend).copied().unwrap_or_default();
        let mode = lock(&self.numbers).take(|number| Mode::new(name, settings.clone(), artifacts, number, edition));
        let (loading, weak) = (self.loading.clone(), Arc::downgrade(&mode));
        mode.wakes_by(move || loading.wake_up(&weak));
        self.loading.start(&mode);
        mode
    }

    /// From now on the models of these modes' plugins are loaded afresh.
    fn begin_editions(&self, modes: &Modes, names: &[Arc<str>]) {
        let renewed = modes.all().iter().filter(|mode| names.contains(&mode.name));
        let backends: std::collections::BTreeSet<_> = renewed.map(|mode| &mode.backend).collect();
        for backend in backends {
            *lock(&self.editions).entry(backend.clone()).or_default() += 1;
        }
    }

    /// Modes that clients saw before `modes`, and that frames in flight still hold.
    pub fn draining(&self, modes: &Modes) -> Vec<Arc<Mode>> {
        let numbers = lock(&self.numbers);
        let is_old = |mode: &Arc<Mode>| mode.is_in_force() && !modes.all().iter().any(|now| Arc::ptr_eq(now, mode));
        numbers.given.iter().filter_map(Weak::upgrade).filter(is_old).collect()
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
            if let (true, ModeState::Unavailable(_)) = (mode.put_in_force(), mode.state())
                && mode.artifacts.files.is_ok()
            {
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
        let recipe = Recipe { settings, artifacts, edition: mode.edition };
        thread::spawn(move || {
            // A mode that nobody holds any more was superseded.
            let is_wanted = || weak.strong_count() > 0;
            let load = || loading.loader.load(&recipe.settings, &recipe.artifacts, &is_wanted);
            let loaded = catch_unwind(AssertUnwindSafe(|| loading.pool.get(&recipe, load)));
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
        if mode.artifacts.files.is_err() {
            // What it lacks is noticed when it comes.
            return;
        }
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

    fn serve(&self, mode: &Arc<Mode>, model: Arc<LoadedModel>) {
        let loading = self.clone();
        let given_up = Box::new(move |mode: &Arc<Mode>, reason: &str| loading.give_up(mode, reason));
        model.watch(Watcher { mode: Arc::downgrade(mode), telemetry: Arc::clone(&self.telemetry), given_up });
        self.let_go_when_idle(mode, &model);
        mode.set(ModeState::Ready(model));
    }

    /// Lets the model go once no frame has used it for as long as the mode's settings say.
    fn let_go_when_idle(&self, mode: &Arc<Mode>, model: &Arc<LoadedModel>) {
        let longest = Duration::from_millis(mode.settings.release_after_millis);
        if longest.is_zero() {
            return;
        }
        let (loading, mode, model) = (self.clone(), Arc::downgrade(mode), Arc::downgrade(model));
        let mut rest = longest;
        thread::spawn(move || {
            loop {
                thread::sleep(rest);
                let (Some(mode), Some(model)) = (mode.upgrade(), model.upgrade()) else { return };
                let serves = |state: &ModeState| matches!(state, ModeState::Ready(now) if Arc::ptr_eq(now, &model));
                rest = longest.saturating_sub(model.idle());
                if !serves(&mode.state()) {
                    return;
                }
                if rest.is_zero() && mode.go(serves, ModeState::Asleep) {
                    tracing::info!(
                        mode = &*mode.name,
                        after_millis = longest.as_millis(),
                        "Mode is idle, its model is let go"
                    );
                    return loading.tell(&mode);
                }
            }
        });
    }

    /// Loads the model of a mode that is asleep.
    fn wake_up(&self, mode: &Weak<Mode>) {
        let Some(mode) = mode.upgrade() else { return };
        if mode.go(|state| matches!(state, ModeState::Asleep), ModeState::Loading) {
            self.tell(&mode);
            self.start(&mode);
        }
    }

    /// Takes a mode whose instances keep crashing out of service, and tries it again later.
    fn give_up(&self, mode: &Arc<Mode>, reason: &str) {
        let seconds = REST_OF_A_MODE.as_secs();
        self.telemetry.metrics.count_given_up(&mode.name);
        let model = match mode.state() {
            ModeState::Ready(model) => Some(model),
            ModeState::Loading | ModeState::Asleep | ModeState::Unavailable(_) => None,
        };
        let what = format!("it crashed again and again, the last time: {reason}; it is tried again every {seconds} s");
        self.take_away(mode, ModeFault::of("model", what), model);
        self.tell(mode);
    }

    fn tell(&self, mode: &Mode) {
        if mode.is_in_force() {
            self.changed.send_replace(());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
