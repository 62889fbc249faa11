//! `segue check`: what would go wrong at the start, before the start.

use clap::Args;

use super::{
    CliResult, Failure,
    places::{PlaceArguments, ProfileArguments},
};
use crate::{
    config::Profile,
    model::Places,
    plugin_host::{FoundPlugin, find},
};

/// Arguments of `segue check`.
#[derive(Debug, Args)]
#[command(after_help = "Prints one line per fault, with its place and its mend. A profile's faults end with 2, \
    those of plugins and models with 1.")]
pub(super) struct Check {
    #[command(flatten)]
    profile: ProfileArguments,
    #[command(flatten)]
    places: PlaceArguments,
}

impl Check {
    pub(super) fn run(self) -> CliResult {
        let profile = self.profile.load()?;
        let places = self.places.places()?;
        let (backends, mut faults) = check_plugins(&places)?;
        faults.extend(check_modes(&profile, &places, &backends));
        if faults.is_empty() {
            println!("Profile, {} plugins and {} modes are right", backends.len(), profile.modes.len());
            return Ok(());
        }
        Err(Failure::does_not_hold(faults.join("\nsegue: ")))
    }
}

/// The names of usable plugins, and what is wrong with the others.
fn check_plugins(places: &Places) -> Result<(Vec<String>, Vec<String>), Failure> {
    let directory = &places.plugins;
    let found = find(directory).map_err(|error| {
        Failure::does_not_hold(format!("{}: {error}; name the directory with --plugins", directory.display()))
    })?;
    let (mut names, mut faults) = (Vec::new(), Vec::new());
    for FoundPlugin { path, plugin } in found {
        match plugin {
            Ok(file) => names.push(file.descriptor.name),
            Err(reason) => faults.push(format!("{}: {reason}", path.display())),
        }
    }
    Ok((names, faults))
}

fn check_modes(profile: &Profile, places: &Places, backends: &[String]) -> Vec<String> {
    let (catalog, weights) = (places.catalog(), places.weights());
    let mut faults = Vec::new();
    for (name, mode) in &profile.modes {
        let mut fault = |what: String| faults.push(format!("modes.{name}: {what}"));
        let entry = match catalog.entry(&mode.model) {
            Ok(entry) => entry,
            Err(error) => {
                fault(error.to_string());
                continue;
            }
        };
        if !backends.contains(&entry.backend) {
            let directory = places.plugins.display();
            fault(format!("model {:?} needs the plugin {:?}, and {directory} has none", mode.model, entry.backend));
        }
        match entry.variant(&mode.model, &mode.variant) {
            Ok(Some(variant)) if weights.find(&mode.model, variant).is_none() => {
                fault(format!("{} is not here; run `segue models pull {}`", variant.file, mode.model));
            }
            Ok(_) => {}
            Err(error) => fault(error.to_string()),
        }
    }
    faults
}
