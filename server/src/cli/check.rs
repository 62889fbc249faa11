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
    prints one line per fault, with its place and its mend. A profile's faults end with 2, those of plugins and models with 1."
)]
pub(super) struct Check {
    #[command(flatten)]
    profile: ProfileArguments,
    #[command(flatten)]
    places: PlaceArguments,
}

impl Check {
    pub(super) fn run(self) -> CliResult {
        let places = self.places.places()?;
        let (profiles, mut lines) = self.load_profiles()?;
        let is_configured_wrongly = !lines.is_empty();
        let (backends, faults) = check_plugins(&places)?;
        lines.extend(faults);
        lines.extend(check_catalog(&places)?);
        let mut checked: Vec<ModeSettings> = Vec::new();
        for Loaded { profile, origins } in &profiles {
            for (name, mode) in &profile.modes {
                // Most profiles have their modes from the base.
                if !checked.iter().any(|known| known.loads_the_same_as(mode)) {
                    lines.extend(check_mode(name, mode, origins, &places, &backends));
                    checked.push(mode.clone());
                }
            }
        }
        if lines.is_empty() {
            let (profiles, modes, plugins) = (profiles.len(), checked.len(), backends.len());
            println!("All is right: profiles ({profiles}), modes ({modes}), plugins ({plugins})");
            return Ok(());
        }
        let lines = lines.join("\nsegue: ");
        Err(if is_configured_wrongly { Failure::wrong_usage(lines) } else { Failure::does_not_hold(lines) })
    }

    /// The profile that is named, or all of them; every fault of any.
    fn load_profiles(&self) -> Result<(Vec<Loaded>, Vec<String>), Failure> {
        let (mut profiles, mut lines) = (Vec::new(), Vec::new());
        for layers in self.profile.all_layers()? {
            match load(&layers) {
                Ok(loaded) => profiles.push(loaded),
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

/// The names of usable plugins, and what is wrong with the others.
fn check_plugins(places: &Places) -> Result<(Vec<String>, Vec<String>), Failure> {
    let found = find_plugins(&places.plugins)?;
    let (mut names, mut faults) = (Vec::new(), Vec::new());
    for FoundPlugin { path, plugin, .. } in found {
        match plugin {
            Ok(file) => names.push(file.descriptor.name),
            Err(reason) => faults.push(format!("{}: {reason}", path.display())),
        }
    }
    Ok((names, faults))
}

/// Every entry is read, those that no mode uses, too.
fn check_catalog(places: &Places) -> Result<Vec<String>, Failure> {
    let catalog = places.catalog();
    let names = catalog.names().map_err(Failure::wrong_usage)?;
    Ok(names.iter().filter_map(|name| catalog.entry(name).err()).map(|error| error.to_string()).collect())
}

fn check_mode(
    name: &str,
    mode: &ModeSettings,
    origins: &Origins,
    places: &Places,
    backends: &[String],
) -> Option<String> {
    let fault = |key: &str, what: String| Some(origins.fault(&format!("modes.{name}.{key}"), what).to_string());
    let entry = match places.catalog().entry(&mode.model) {
        Ok(entry) => entry,
        Err(CatalogError::Unknown { known, .. }) => {
            return fault("model", format!("there is no model {:?} in the catalog; there are: {known}", mode.model));
        }
        // `check_catalog` has told every other error.
        Err(_told) => return None,
    };
    if mode.plugin.is_empty() && !backends.contains(&entry.backend) {
        let directory = places.plugins.display();
        return fault(
            "model",
            format!("{:?} needs the plugin {:?}, and {directory} has none", mode.model, entry.backend),
        );
    }
    match entry.variant(&mode.model, &mode.variant) {
        Ok(_) => {
            let ModeFault { key, reason, .. } = try_load(places, mode).err()?;
            fault(key, reason)
        }
        Err(error) => fault("variant", error.to_string()),
    }
}
