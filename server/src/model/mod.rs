//! Modes and the models behind them: the catalog, fetching weights, loading, warming up, leasing instances.
//!
//! On a frame's path this is what `admission` leases an instance from.
//!
//! Architecture invariant: a mode that can't load is Unavailable with the reason and the mend, and never keeps
//! another mode, or the server, from starting.

mod catalog;
mod environment;
mod fetch;
mod golden;
mod health;
mod instances;
mod labels;
mod loader;
mod mode;
mod pool;
mod pull;
mod registry;
mod shelf;
mod source;
mod weights;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use crate::{
    config::ModeSettings,
    copies::{Copies, CopyError},
};

pub use crate::plugin_host::{FoundPlugin, InstanceInfo};
pub use catalog::{Catalog, CatalogClass, CatalogEntry, CatalogError, ExpectedMiou, Variant};
pub use fetch::Step;
pub use golden::Golden;
pub use instances::{Lease, LoadedModel};
use loader::Loader;
pub use loader::{Artifacts, ModelFiles, Weights};
pub use mode::{Mode, ModeFault, ModeState};
pub use pull::{PullError, Wanted};
pub use registry::Registry;
pub use source::{Registry as PackageRegistry, Source};
pub use weights::{Network, Presence, WeightsCache};

/// Where models and plugins lie.
#[derive(Clone, Debug)]
pub struct Places {
    /// Directory of plugin files.
    pub plugins: PathBuf,
    /// Directory of the catalog.
    pub models: PathBuf,
    /// Directory for weights and private copies of plugins.
    pub cache: PathBuf,
    /// Whether weights may be fetched.
    pub network: Network,
}

impl Places {
    /// The catalog.
    pub fn catalog(&self) -> Catalog {
        Catalog::new(&self.models)
    }

    /// The weights that were fetched.
    pub fn weights(&self) -> WeightsCache {
        WeightsCache::new(self.cache.join("models"), &self.models, self.network)
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
    #[error("{source}{}", cause(source))]
    Pull { source: PullError, command: String },
    #[error("{file} is {is}{}; run `{command}`", under(licence))]
    NotHere { file: String, is: &'static str, licence: String, command: String },
    #[error("the environment of its requirements ({requirements}) is not here; run `{command}`")]
    NoEnvironment { requirements: String, command: String },
    #[error("{} is run as a program: {source}", path.display())]
    WritableProgram { path: PathBuf, source: std::io::Error },
    #[error("the plugin directory {} can't be read: {source}; name it with --plugins", path.display())]
    PluginDirectory { path: PathBuf, source: std::io::Error },
    #[error("no plugin in {} is called {backend:?}; put its library there{refused}", path.display())]
    NoPlugin { path: PathBuf, backend: String, refused: String },
    #[error("plugin {}: {reason}", path.display())]
    Refused { path: PathBuf, reason: String },
    #[error("plugin {}: its SHA-256 is {sha256}, which is not in security.allowed_plugins", path.display())]
    NotAllowed { path: PathBuf, sha256: String },
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
            Self::Refused { .. } | Self::NotAllowed { .. } | Self::OtherPlugin { .. } => "plugin",
            Self::Load { .. } if !settings.settings.is_empty() => "settings",
            _ => "model",
        };
        let command = match self {
            Self::NotHere { command, .. } | Self::Pull { command, .. } | Self::NoEnvironment { command, .. } => {
                command.clone()
            }
            _ => String::new(),
        };
        let is_absence = matches!(
            self,
            Self::NotHere { .. } | Self::Pull { .. } | Self::NoPlugin { .. } | Self::NoEnvironment { .. }
        );
        ModeFault { command, is_absence, ..ModeFault::of(key, self.to_string()) }
    }
}

/// That it takes somebody to accept a licence.
fn under(licence: &str) -> String {
    match licence {
        "" => String::new(),
        licence => format!(", and its licence, {licence}, forbids commercial use"),
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
            if next.state().can_serve() {
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

/// Loads what a mode needs, as the server does, and lets it go: would it serve? Fetches nothing.
pub fn try_load(places: &Places, settings: &ModeSettings) -> Result<(), ModeFault> {
    let settings = ModeSettings { instances: 1, fetch: false, ..settings.clone() };
    let loader = Loader::new(places.clone(), |_step| {});
    loader.load(&settings, &loader.artifacts(&settings), &|| true).map(drop)
}
