//! `segue check`: what would go wrong at the start, before the start.

use clap::Args;

use super::{
    CliResult, Failure,
    places::{PlaceArguments, ProfileArguments, find_plugins},
};
use crate::{
    config::{Faults, Loaded, ModeSettings, Origins, load},
    model::{CatalogError, ModeFault, Places, try_load},
    plugin_host::FoundPlugin,
};

/// Arguments of `segue check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Checks the profile that --profile names, or every profile of the directory. Loads every mode once, as the server would, and \
    prints one line per fault, with its place and its mend. A profile's faults end with 2, those of plugins and models with 1.\n\
    A mode whose weights or plugin are not installed is no fault, and is told on stdout with the command that mends it; \
    unless sessions start in it under the profile that `segue serve` would take, or --strict is given."
)]
pub(super) struct Check {
    /// Take it for a fault when a mode's weights or plugin are not installed
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    profile: ProfileArguments,
    #[command(flatten)]
    places: PlaceArguments,
}

/// Profiles by name, and the faults of others.
type Profiles = (Vec<(String, Loaded)>, Vec<String>);

impl Check {
    pub(super) fn run(self) -> CliResult {
        let places = self.places.places()?;
        let (profiles, mut lines) = self.load_profiles()?;
        let is_configured_wrongly = !lines.is_empty();
        let (plugins, faults) = check_plugins(&places)?;
        lines.extend(faults);
        lines.extend(check_catalog(&places)?);
        let mut checked: Vec<ModeSettings> = Vec::new();
        let mut absent = 0;
        let served = self.profile.layers().profile;
        for (profile_name, Loaded { profile, origins }) in &profiles {
            for (name, mode) in &profile.modes {
                // Most profiles have their modes from the base.
                if checked.iter().any(|known| known.loads_the_same_as(mode)) {
                    continue;
                }
                checked.push(mode.clone());
                let Some((line, is_absence)) = check_mode(name, mode, origins, &places) else { continue };
                let is_needed = *profile_name == served && *name == profile.server.default_mode;
                if is_absence && !self.strict && !is_needed {
                    println!("Not installed: {line}");
                    absent += 1;
                } else {
                    lines.push(line);
                }
            }
        }
        if lines.is_empty() {
            let (profiles, modes) = (profiles.len(), checked.len());
            let but = if absent == 0 { String::new() } else { format!(", {absent} of them not installed") };
            println!("All is right: profiles ({profiles}), modes ({modes}{but}), plugins ({plugins})");
            return Ok(());
        }
        let lines = lines.join("\nsegue: ");
        Err(if is_configured_wrongly { Failure::wrong_usage(lines) } else { Failure::does_not_hold(lines) })
    }

    /// The profile that is named, or all of them; every fault of any.
    fn load_profiles(&self) -> Result<Profiles, Failure> {
        let (mut profiles, mut lines) = (Vec::new(), Vec::new());
        for layers in self.profile.all_layers()? {
            match load(&layers) {
                Ok(loaded) => profiles.push((layers.profile, loaded)),
                Err(Faults(found)) => lines.extend(found.iter().map(ToString::to_string)),
            }
        }
        if profiles.is_empty() && lines.is_empty() {
            return Err(Failure::wrong_usage("the profile directory has no profile; name another with --profiles"));
        }
        // A fault of the base is one of all that extend it.
        let mut told = std::collections::HashSet::new();
        lines.retain(|line| told.insert(line.clone()));
        Ok((profiles, lines))
    }
}

/// How many plugins are usable, and what is wrong with the others.
fn check_plugins(places: &Places) -> Result<(usize, Vec<String>), Failure> {
    let found = find_plugins(&places.plugins)?;
    let refused = |found: &FoundPlugin| Some(format!("{}: {}", found.path.display(), found.plugin.as_ref().err()?));
    let faults: Vec<_> = found.iter().filter_map(refused).collect();
    Ok((found.len() - faults.len(), faults))
}

/// Every entry is read, those that no mode uses, too.
fn check_catalog(places: &Places) -> Result<Vec<String>, Failure> {
    let catalog = places.catalog();
    let names = catalog.names().map_err(Failure::wrong_usage)?;
    Ok(names.iter().filter_map(|name| catalog.entry(name).err()).map(|error| error.to_string()).collect())
}

/// What keeps a mode from serving, and whether that is only something that is not installed.
fn check_mode(name: &str, mode: &ModeSettings, origins: &Origins, places: &Places) -> Option<(String, bool)> {
    let told = |key: &str, what: String| origins.fault(&format!("modes.{name}.{key}"), what).to_string();
    match places.catalog().entry(&mode.model) {
        Ok(_) => {
            let ModeFault { key, reason, is_absence, .. } = try_load(places, mode).err()?;
            Some((told(key, reason), is_absence))
        }
        Err(CatalogError::Unknown { known, .. }) => {
            let what = format!("there is no model {:?} in the catalog; there are: {known}", mode.model);
            Some((told("model", what), false))
        }
        // `check_catalog` has told every other error.
        Err(_told) => None,
    }
}
