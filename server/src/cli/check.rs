//! `segue check`: what would go wrong at the start, before the start.

use clap::Args;

use super::{
    CliResult, Failure,
    places::{PlaceArguments, ProfileArguments, find_plugins},
};
use crate::{
    config::{Loaded, Origins, Profile},
    model::{CatalogError, Places, try_load},
    plugin_host::FoundPlugin,
};

/// Arguments of `segue check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Loads every mode once, as the server would, and prints one line per fault, with its place and its mend. A profile's faults end with 2, \
    those of plugins and models with 1."
)]
pub(super) struct Check {
    #[command(flatten)]
    profile: ProfileArguments,
    #[command(flatten)]
    places: PlaceArguments,
}

impl Check {
    pub(super) fn run(self) -> CliResult {
        let Loaded { profile, origins } = self.profile.load()?;
        let places = self.places.places()?;
        let (backends, mut faults) = check_plugins(&places)?;
        faults.extend(check_catalog(&places)?);
        faults.extend(check_modes(&profile, &origins, &places, &backends));
        if faults.is_empty() {
            println!(
                "All is right: the profile, its modes ({}), the plugins ({})",
                profile.modes.len(),
                backends.len()
            );
            return Ok(());
        }
        Err(Failure::does_not_hold(faults.join("\nsegue: ")))
    }
}

/// The names of usable plugins, and what is wrong with the others.
fn check_plugins(places: &Places) -> Result<(Vec<String>, Vec<String>), Failure> {
    let found = find_plugins(&places.plugins)?;
    let (mut names, mut faults) = (Vec::new(), Vec::new());
    for FoundPlugin { path, plugin } in found {
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

fn check_modes(profile: &Profile, origins: &Origins, places: &Places, backends: &[String]) -> Vec<String> {
    let (catalog, weights) = (places.catalog(), places.weights());
    let mut faults = Vec::new();
    for (name, mode) in &profile.modes {
        let mut fault =
            |key: &str, what: String| faults.push(origins.fault(&format!("modes.{name}.{key}"), what).to_string());
        let entry = match catalog.entry(&mode.model) {
            Ok(entry) => entry,
            // `check_catalog` has told every other error.
            Err(CatalogError::Unknown { known, .. }) => {
                fault("model", format!("there is no model {:?} in the catalog; there are: {known}", mode.model));
                continue;
            }
            Err(_told) => continue,
        };
        if !backends.contains(&entry.backend) {
            let directory = places.plugins.display();
            fault("model", format!("{:?} needs the plugin {:?}, and {directory} has none", mode.model, entry.backend));
        }
        match entry.variant(&mode.model, &mode.variant) {
            Ok(Some(variant)) if weights.find(&mode.model, variant).is_none() => {
                fault("model", format!("{} is not here; run `segue models pull {}`", variant.file, mode.model));
            }
            Ok(_) if !backends.contains(&entry.backend) => {}
            Ok(_) => {
                if let Err(error) = try_load(places, mode) {
                    fault(error.key(mode), error.to_string());
                }
            }
            Err(error) => fault("variant", error.to_string()),
        }
    }
    faults
}
