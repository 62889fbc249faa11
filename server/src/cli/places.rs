//! The options that say where things lie, and where they lie when nobody says.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use crate::{
    config::{Layers, Loaded, load, profile_names},
    model::{Network, Places},
    plugin_host::{FoundPlugin, find},
};

/// Directories.
#[derive(Debug, Args)]
pub(super) struct PlaceArguments {
    /// Directory of plugin files [default: `plugins` beside the program, else the program's own directory]
    #[arg(long, global = true, value_name = "DIR", env = "SEGUE_PLUGINS")]
    plugins: Option<PathBuf>,
    /// Directory of the model catalog [default: `models` here, else beside the program]
    #[arg(long, global = true, value_name = "DIR", env = "SEGUE_MODELS")]
    models: Option<PathBuf>,
    /// Directory for fetched weights and copies of plugins [default: `segue` in your cache directory]
    #[arg(long, global = true, value_name = "DIR", env = "SEGUE_CACHE")]
    cache: Option<PathBuf>,
    /// Fetch nothing; HF_HUB_OFFLINE=1 forbids the hub alone
    #[arg(long, global = true, env = "SEGUE_OFFLINE", value_parser = clap::builder::FalseyValueParser::new(), action = clap::ArgAction::SetTrue)]
    offline: bool,
}

impl PlaceArguments {
    pub(super) fn places(&self) -> Result<Places, Failure> {
        let program = program_directory();
        let plugins = self.plugins.clone().unwrap_or_else(|| {
            let beside = program.join("plugins");
            if beside.is_dir() { beside } else { program.clone() }
        });
        let cache = match (&self.cache, dirs::cache_dir()) {
            (Some(cache), _) => cache.clone(),
            (None, Some(cache)) => cache.join("segue"),
            (None, None) => return Err(Failure::wrong_usage("there is no cache directory; name one with --cache")),
        };
        let network = if self.offline { Network::Offline } else { Network::Allowed };
        Ok(Places { plugins, models: here_or_beside(&self.models, "models"), cache, network })
    }
}

/// The profile and what overrides it.
#[derive(Debug, Args)]
pub(super) struct ProfileArguments {
    /// Profile: a file of the profile directory without its `.toml` [default: `default`, else `base`]
    #[arg(long, value_name = "NAME", env = "SEGUE_PROFILE")]
    profile: Option<String>,
    #[command(flatten)]
    source: ProfileSource,
}

/// Where profiles lie, and what overrides them.
#[derive(Debug, Args)]
pub(super) struct ProfileSource {
    /// Directory of profiles [default: `profiles` here, else beside the program]
    #[arg(long, global = true, value_name = "DIR", env = "SEGUE_PROFILES")]
    profiles: Option<PathBuf>,
    /// Override one key, as in `--set capture.jpeg_quality=40`; may be repeated
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

impl ProfileArguments {
    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        load(&self.layers()).map_err(Failure::wrong_usage)
    }

    pub(super) fn layers(&self) -> Layers {
        self.source.layers(self.profile.clone())
    }

    /// The layers of the profile that is named, or of every profile there is.
    pub(super) fn all_layers(&self) -> Result<Vec<Layers>, Failure> {
        let names = match &self.profile {
            Some(name) => vec![name.clone()],
            None => self.source.names()?,
        };
        Ok(names.into_iter().map(|name| self.source.layers(Some(name))).collect())
    }
}

impl ProfileSource {
    /// The names of all profiles.
    pub(super) fn names(&self) -> Result<Vec<String>, Failure> {
        let directory = self.directory();
        profile_names(&directory).map_err(|error| {
            Failure::wrong_usage(format!("{}: {error}; name the directory with --profiles", directory.display()))
        })
    }

    /// Whether the command line says something of it.
    pub(super) fn is_given(&self) -> bool {
        self.profiles.is_some() || !self.overrides.is_empty()
    }

    fn directory(&self) -> PathBuf {
        here_or_beside(&self.profiles, "profiles")
    }

    /// The layers of `profile`, or of the usual one.
    pub(super) fn layers(&self, profile: Option<String>) -> Layers {
        let directory = self.directory();
        let usual = || if directory.join("default.toml").exists() { "default" } else { "base" }.to_owned();
        Layers { profile: profile.unwrap_or_else(usual), directory, overrides: self.overrides.clone() }
    }
}

/// What is in the plugin directory.
pub(super) fn find_plugins(directory: &Path) -> Result<Vec<FoundPlugin>, Failure> {
    find(directory).map_err(|error| {
        Failure::wrong_usage(format!("{}: {error}; name the directory with --plugins", directory.display()))
    })
}

fn here_or_beside(named: &Option<PathBuf>, name: &str) -> PathBuf {
    let beside = || program_directory().join(name);
    match named {
        Some(directory) => directory.clone(),
        None if !Path::new(name).is_dir() && beside().is_dir() => beside(),
        None => PathBuf::from(name),
    }
}

fn program_directory() -> PathBuf {
    let program = std::env::current_exe().ok();
    program.and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_else(|| PathBuf::from("."))
}
