//! From what lies in the directories to a model that is ready to serve.

use std::{fs, path::PathBuf, thread, time::SystemTime};

use super::{
    Catalog, CatalogEntry, LoadedModel, ModeError, ModeFault, Places, Presence, Step, Variant, Wanted, shelf::Shelf,
};
use crate::{
    config::{Isolation, ModeSettings},
    file,
    plugin_host::{Build, Descriptor, FoundPlugin, InstanceError, PluginFile, WeightsFile, WorkerLimits},
};

/// What a mode is made of: the catalog's entry and the files. Two that are equal make the same model.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifacts {
    /// What the catalog says of the model; `None` when it couldn't tell.
    pub entry: Option<CatalogEntry>,
    /// The files, or why they can't be used.
    pub files: Result<ModelFiles, ModeFault>,
    /// SHA-256 of the golden picture and its mask; `None` of one that can't be read.
    pub golden: Option<[Option<String>; 2]>,
}

impl std::fmt::Display for Artifacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let files = match &self.files {
            Ok(files) => files,
            Err(fault) => return f.write_str(&fault.reason),
        };
        let Descriptor { name, version, .. } = &files.plugin.descriptor;
        write!(f, "{name} {version} ({})", &files.plugin.sha256[..12])?;
        match &files.weights {
            Weights::Own { sha256, .. } => write!(f, ", weights {}", &sha256[..12]),
            Weights::Fetched { file, .. } | Weights::ToFetch { file } => write!(f, ", {file}"),
            Weights::None => Ok(()),
        }
    }
}

impl Artifacts {
    /// Whether these are `other`, but for weights that `other` has in the cache and these have yet to fetch.
    pub(super) fn become_when_fetched(&self, other: &Self) -> bool {
        let (Ok(ours), Ok(theirs)) = (&self.files, &other.files) else { return false };
        match (&ours.weights, &theirs.weights) {
            (Weights::ToFetch { file }, Weights::Fetched { file: fetched, .. }) if file == fetched => {
                let files = Ok(ModelFiles { weights: theirs.weights.clone(), ..ours.clone() });
                Self { files, ..self.clone() } == *other
            }
            _ => false,
        }
    }
}

/// The files of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFiles {
    /// The plugin's build.
    pub plugin: PluginFile,
    /// The weights.
    pub weights: Weights,
}

/// Where a model's weights come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Weights {
    /// The backend needs none.
    None,
    /// In the cache.
    Fetched {
        /// Their name there.
        file: String,
        /// Where they lie.
        path: PathBuf,
        /// What they are.
        sha256: String,
    },
    /// To be fetched when the model is loaded.
    ToFetch {
        /// Their name.
        file: String,
    },
    /// From the directory of the catalog: a lab's own.
    Own {
        /// Where they lie.
        path: PathBuf,
        /// What they are.
        sha256: String,
    },
}

/// Whether somebody still waits for what is being loaded.
pub(super) type IsWanted<'a> = dyn Fn() -> bool + 'a;

/// Loads modes; what two modes need alike is fetched and opened once.
pub(super) struct Loader {
    pub(super) places: Places,
    pub(super) shelf: Shelf,
    catalog: Catalog,
    progress: Box<dyn Fn(&str) + Send + Sync>,
}

impl Loader {
    pub(super) fn new(places: Places, progress: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { shelf: Shelf::new(&places), catalog: places.catalog(), places, progress: Box::new(progress) }
    }

    /// What lies there now for a mode of these `settings`.
    pub(super) fn artifacts(&self, settings: &ModeSettings) -> Artifacts {
        match self.catalog.entry(&settings.model) {
            Ok(entry) => {
                let files = self.files(settings, &entry).map_err(|error| error.fault(settings));
                let hash = |file: &str| self.shelf.hash(&self.places.models.join(file)).ok();
                let golden = entry.golden.as_ref().map(|golden| [hash(&golden.picture), hash(&golden.mask)]);
                Artifacts { entry: Some(entry), files, golden }
            }
            Err(error) => {
                let fault = ModeError::from(error).fault(settings);
                Artifacts { entry: None, files: Err(fault), golden: None }
            }
        }
    }

    /// When what `artifacts` are was last written: a build that was refused is tried again when it is written again.
    pub(super) fn written(&self, settings: &ModeSettings, artifacts: &Artifacts) -> Vec<Option<SystemTime>> {
        let models = &self.places.models;
        let mut paths = vec![models.join(format!("{}.toml", settings.model))];
        if let Ok(ModelFiles { plugin, weights }) = &artifacts.files {
            paths.push(plugin.path.clone());
            paths.extend(match weights {
                Weights::Own { path, .. } | Weights::Fetched { path, .. } => Some(path.clone()),
                Weights::None | Weights::ToFetch { .. } => None,
            });
        }
        let golden = artifacts.entry.as_ref().and_then(|entry| entry.golden.as_ref());
        paths.extend(golden.into_iter().flat_map(|golden| [models.join(&golden.picture), models.join(&golden.mask)]));
        paths.iter().map(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok()).collect()
    }

    fn files(&self, settings: &ModeSettings, entry: &CatalogEntry) -> Result<ModelFiles, ModeError> {
        let plugin = self.plugin(&settings.plugin, &entry.backend)?;
        if !settings.allows(&plugin.sha256) {
            return Err(ModeError::NotAllowed { path: plugin.path, sha256: plugin.sha256 });
        }
        let Some(variant) = entry.variant(&settings.model, &settings.variant)? else {
            return Ok(ModelFiles { plugin, weights: Weights::None });
        };
        if !settings.fetch && !self.places.weights().has_environment(&settings.model, entry) {
            let command = Wanted { model: &settings.model, entry, variant: &settings.variant }.command();
            return Err(ModeError::NoEnvironment { requirements: entry.requirements.join(", "), command });
        }
        let own = self
            .shelf
            .weights(&variant.file)
            .map_err(|source| ModeError::Weights { path: self.places.models.join(&variant.file), source })?;
        let weights = match own {
            None => self.fetched_weights(settings, entry, variant)?,
            Some((path, sha256)) if variant.allows(&sha256) => {
                // Then they are code.
                if plugin.descriptor.is_program {
                    let trusted = file::refuse_writable_by_all(&path);
                    trusted.map_err(|source| ModeError::WritableProgram { path: path.clone(), source })?;
                }
                Weights::Own { path, sha256 }
            }
            Some((path, sha256)) => return Err(ModeError::OtherWeights { path, sha256 }),
        };
        Ok(ModelFiles { plugin, weights })
    }

    /// Weights that don't lie beside the catalog's entries.
    fn fetched_weights(
        &self,
        settings: &ModeSettings,
        entry: &CatalogEntry,
        variant: &Variant,
    ) -> Result<Weights, ModeError> {
        if !variant.is_pinned() && entry.sources_of(variant).next().is_none() {
            return Err(ModeError::NoWeights { path: self.places.models.join(&variant.file) });
        }
        let (cache, file) = (self.places.weights(), variant.file.clone());
        match cache.find_fetched(&settings.model, variant, |path| self.shelf.hash(path)) {
            Presence::Here { path, sha256 } => Ok(Weights::Fetched { file, path, sha256 }),
            Presence::Changed(_) | Presence::Absent
                if settings.fetch && !cache.needs_licence(&settings.model, entry) =>
            {
                Ok(Weights::ToFetch { file })
            }
            presence => {
                let is = if presence == Presence::Absent { "not here" } else { "not what it should be" };
                let command = Wanted { model: &settings.model, entry, variant: &settings.variant }.command();
                let licence = if entry.non_commercial { entry.licence.clone() } else { String::new() };
                Err(ModeError::NotHere { file, is, command, licence })
            }
        }
    }

    /// The plugin in the file `named`, or the first one that is called `backend`.
    fn plugin(&self, named: &str, backend: &str) -> Result<PluginFile, ModeError> {
        if !named.is_empty() {
            let (path, plugin) = self.shelf.plugin_in(named);
            return match plugin {
                Ok(plugin) if plugin.descriptor.name == backend => Ok(plugin),
                Ok(plugin) => {
                    let (found, backend) = (plugin.descriptor.name, backend.to_owned());
                    Err(ModeError::OtherPlugin { path, found, backend })
                }
                Err(reason) => Err(ModeError::Refused { path, reason: reason.to_string() }),
            };
        }
        let directory = &self.places.plugins;
        let unreadable = |source| ModeError::PluginDirectory { path: directory.clone(), source };
        let mut refused = String::new();
        for FoundPlugin { path, plugin, .. } in self.shelf.plugins().map_err(unreadable)? {
            match plugin {
                Ok(file) if file.descriptor.name == backend => return Ok(file),
                Ok(_other) => {}
                Err(reason) => refused.push_str(&format!("; refused {}: {reason}", path.display())),
            }
        }
        Err(ModeError::NoPlugin { path: directory.clone(), backend: backend.into(), refused })
    }

    /// Loads, checks and warms up the model that is made of `artifacts`.
    /// Gives up when nobody wants it any more.
    pub(super) fn load(
        &self,
        settings: &ModeSettings,
        artifacts: &Artifacts,
        is_wanted: &IsWanted<'_>,
    ) -> Result<LoadedModel, ModeFault> {
        let files = artifacts.files.clone()?;
        let Some(entry) = &artifacts.entry else {
            return Err(ModeFault::of("model", "the catalog has no entry for it"));
        };
        self.load_from(settings, entry, files, is_wanted).map_err(|error| error.fault(settings))
    }

    fn load_from(
        &self,
        settings: &ModeSettings,
        entry: &CatalogEntry,
        files: ModelFiles,
        is_wanted: &IsWanted<'_>,
    ) -> Result<LoadedModel, ModeError> {
        let (mut own_weights, mut original) = (None, None);
        let weights = match files.weights {
            Weights::None => None,
            Weights::Fetched { path, sha256, .. } => Some(WeightsFile { original: path.clone(), path, sha256 }),
            Weights::ToFetch { .. } => Some(self.fetch(settings, entry)?),
            Weights::Own { path, sha256 } => {
                let kept = self.places.copies().keep(&path, &sha256);
                let copy = kept.map_err(|source| ModeError::Copy { path: path.clone(), source })?;
                original = Some((copy.path().to_owned(), path.clone()));
                let weights = WeightsFile { path: copy.path().to_owned(), original: path, sha256 };
                own_weights = Some(copy);
                Some(weights)
            }
        };
        if !entry.requirements.is_empty() {
            self.make_environment(settings, entry)?;
        }
        let limits = match settings.isolation {
            Isolation::Process => Some(WorkerLimits {
                timeout_millis: settings.timeout_millis,
                load_timeout_millis: settings.load_timeout_millis,
                memory_len_bytes: settings.max_memory_len_bytes,
            }),
            Isolation::InProcess => None,
        };
        let path = files.plugin.path.clone();
        let build = Build::of(&files.plugin, &self.places.copies(), limits)
            .map_err(|source| ModeError::Open { path, source })?;
        let variant = entry.variant(&settings.model, &settings.variant)?;
        let (instances, threads) = (instance_count(settings), thread_count(settings));
        if instances > 1 && instances as u32 * threads > cores() {
            let (model, cores) = (&settings.model, cores());
            tracing::warn!(
                model,
                instances,
                threads,
                cores,
                "More threads than cores: frames will wait for each other"
            );
        }
        let interpreter = self.places.weights().interpreter(&settings.model, entry);
        let spec = entry.spec(&settings.model, variant, weights, &settings.settings, threads, interpreter);
        let golden = |instance: &mut _| match &entry.golden {
            Some(golden) => golden.check(&self.places.models, instance),
            None => Ok(()),
        };
        LoadedModel::load(build, spec, instances, own_weights, golden, is_wanted).map_err(|source| {
            let source = with_the_operators_path(source, original);
            ModeError::Load { backend: entry.backend.clone(), model: settings.model.clone(), source }
        })
    }

    fn says(&self, step: Step<'_>) {
        if let Step::Says(what) = step {
            (self.progress)(what);
        }
    }

    fn make_environment(&self, settings: &ModeSettings, entry: &CatalogEntry) -> Result<(), ModeError> {
        let wanted = Wanted { model: &settings.model, entry, variant: &settings.variant };
        let made = self.places.weights().make_environment(wanted, &|step| self.says(step));
        made.map_err(|source| ModeError::Pull { source, command: wanted.command() })
    }

    fn fetch(&self, settings: &ModeSettings, entry: &CatalogEntry) -> Result<WeightsFile, ModeError> {
        let wanted = Wanted { model: &settings.model, entry, variant: &settings.variant };
        let cache = self.places.weights();
        let pulled = cache.pull(wanted, &|step| self.says(step));
        pulled.map_err(|source| ModeError::Pull { source, command: wanted.command() })?;
        let variant = entry.variant(&settings.model, &settings.variant)?;
        match variant.map(|variant| cache.find(&settings.model, variant)) {
            Some(Presence::Here { path, sha256 }) => Ok(WeightsFile { original: path.clone(), path, sha256 }),
            _ => Err(ModeError::Gone { file: variant.map(|variant| variant.file.clone()).unwrap_or_default() }),
        }
    }
}

/// As many as there are cores, when the profile leaves it to the machine.
fn thread_count(settings: &ModeSettings) -> u32 {
    match settings.threads {
        0 => cores(),
        count => count,
    }
}

/// As many as keep the cores busy, up to eight: beyond that, memory and start-up grow and most live video does not gain.
fn instance_count(settings: &ModeSettings) -> usize {
    match settings.instances {
        0 => (cores() / thread_count(settings)).clamp(1, 8) as usize,
        count => count as usize,
    }
}

fn cores() -> u32 {
    thread::available_parallelism().map_or(1, |cores| cores.get().try_into().unwrap_or(u32::MAX))
}

/// A backend names the private copy that it was given; the operator knows the file that it is a copy of.
fn with_the_operators_path(error: InstanceError, original: Option<(PathBuf, PathBuf)>) -> InstanceError {
    match (error, original) {
        (InstanceError::Failed(text), Some((copy, path))) => {
            InstanceError::Failed(text.replace(&*copy.to_string_lossy(), &path.to_string_lossy()))
        }
        (error, _) => error,
    }
}
