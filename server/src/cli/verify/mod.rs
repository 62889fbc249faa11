//! `segue plugins verify`: the checks of `segue-testkit` on a built plugin.
//!
//! A plugin under test may crash, hang or leave: the checks run in a process of their own, and this one tells how
//! far that came.

mod record;
mod trial;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{CliResult, Failure};
use crate::{
    model::{CatalogEntry, Places, Presence, Wanted},
    plugin_host::{CheckError, Heard, ModelSpec, PluginFile, Trial, WeightsFile},
};
use record::{Outcome, Record};

pub(super) use trial::TrialCommand;

/// The promise that is checked without running any of the plugin's code.
const IS_A_PLUGIN: &str = "Its file is a plugin that this server can open";
/// The first promise that is checked in the other process.
const OPENS: &str = "The loader opens it";
/// The promise that is broken by who ends between two checks.
const LIVES_ON: &str = "It lives on between two checks";

/// Arguments of `segue plugins verify`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue plugins verify target/debug/libmine.so --quick\n  \
    segue plugins verify target/release/libmine.so --model mine --frames 50000\n\n\
    Prints one line per promise: `ok`, or `FAIL` with the reason. The checks run in a process of their own, confined \
    as a worker of the server is: a plugin that crashes or hangs fails the promise that was being checked.\n\
    Exit codes: 0 all promises are kept, 1 they are not, 2 wrong usage.")]
pub(super) struct Verify {
    /// The plugin file
    file: PathBuf,
    /// Model of the catalog to load [default: the first of this backend whose weights are here]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Over how many small frames the process must not grow [default: 10000, with --quick 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    frames: Option<u32>,
    /// Check fewer sizes, frames and rounds: seconds instead of minutes
    #[arg(long)]
    quick: bool,
    /// How long each step of a check may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

/// What the other process is to do.
#[derive(Debug, Deserialize, Serialize)]
struct Job {
    model: ModelSpec,
    quick: bool,
    frames: Option<u32>,
}

/// What the other process says.
#[derive(Debug, Deserialize, Serialize)]
enum Told {
    /// The check of this promise begins.
    Begins(String),
    /// It has taken a step of its way.
    Progress { done: u32, of: u32 },
    /// It has ended.
    Ended(Outcome),
    /// There is nothing more to check.
    Done,
}

impl Verify {
    pub(super) fn run(&self, places: &Places, json: bool) -> CliResult {
        let mut record = Record::new(json);
        let file = match PluginFile::read(&self.file) {
            Ok(file) => file,
            Err(CheckError::Unreadable(error)) => {
                return Err(Failure::wrong_usage(format!("{}: {error}", self.file.display())));
            }
            Err(reason) => {
                record.add(Outcome::broken(IS_A_PLUGIN, reason));
                return record.finish(&self.file, None, None);
            }
        };
        if file.descriptor.is_program {
            let name = &file.descriptor.name;
            return Err(Failure::wrong_usage(format!(
                "{}: it is a program, and these are the promises of libraries; its models are tried when they are loaded: `segue \
                 segment me.jpg --mode MODE`, with a mode whose model names the backend {name:?}",
                self.file.display()
            )));
        }
        let model = self.choose_model(places, &file.descriptor.name)?;
        match &model {
            Some(model) => eprintln!("Checked with the model {:?} of the catalog", model.name),
            None => eprintln!(
                "Checked without a model: the catalog has none for {:?} whose weights are here; name one with --model",
                file.descriptor.name
            ),
        }
        record.add(Outcome::kept(IS_A_PLUGIN));
        let name = model.as_ref().map(|model| model.name.clone());
        self.follow(places, &file, model.unwrap_or_else(no_model), &mut record)?;
        record.finish(&self.file, Some(&file), name)
    }

    /// Has the checks run, and writes down what comes of them.
    fn follow(&self, places: &Places, file: &PluginFile, model: ModelSpec, record: &mut Record) -> CliResult {
        let threads = model.max_threads;
        let job = Job { model, quick: self.quick, frames: self.frames };
        let mut trial = Trial::start(&["plugins", "trial"], file, &places.copies(), threads, &job)
            .map_err(|error| Failure::does_not_hold(format!("no process can be started for the checks: {error}")))?;
        let mut running = OPENS.to_owned();
        let reason = loop {
            match trial.hear(Duration::from_secs(self.timeout)) {
                Heard::Message(Told::Begins(promise)) => {
                    record.begin(&promise);
                    running = promise;
                }
                Heard::Message(Told::Progress { done, of }) => record.progress(done, of),
                Heard::Message(Told::Ended(outcome)) => {
                    record.add(outcome);
                    running = LIVES_ON.to_owned();
                }
                Heard::Message(Told::Done) => return Ok(()),
                Heard::Nothing => break format!("it took longer than {} s", self.timeout),
                Heard::Ended(how) => break format!("its process {how}"),
            }
        };
        record.add(Outcome::broken(&running, reason));
        Ok(())
    }

    /// The model that is named, or the first that fits.
    fn choose_model(&self, places: &Places, backend: &str) -> Result<Option<ModelSpec>, Failure> {
        let catalog = places.catalog();
        let Some(name) = &self.model else {
            // Whoever names no model may have no catalog.
            let names = catalog.names().unwrap_or_default();
            let mut entries = names.iter().filter_map(|name| Some((name, catalog.entry(name).ok()?)));
            return Ok(entries.find_map(|(name, entry)| {
                if entry.backend == backend { model_of(places, name, &entry).ok() } else { None }
            }));
        };
        let entry = catalog.entry(name).map_err(Failure::wrong_usage)?;
        if entry.backend != backend {
            let other = &entry.backend;
            return Err(Failure::wrong_usage(format!(
                "model {name:?} is for the backend {other:?}, not for {backend:?}"
            )));
        }
        model_of(places, name, &entry).map(Some).map_err(Failure::wrong_usage)
    }
}

/// What the server would create an instance for; or why it can't.
fn model_of(places: &Places, name: &str, entry: &CatalogEntry) -> Result<ModelSpec, String> {
    let variant = entry.variant(name, "").map_err(|error| error.to_string())?;
    let weights = match variant.map(|variant| (variant, places.weights().find(name, variant))) {
        None => None,
        Some((_, Presence::Here { path, sha256 })) => Some(WeightsFile { original: path.clone(), path, sha256 }),
        Some((variant, Presence::Absent | Presence::Changed(_))) => {
            let command = Wanted { model: name, entry, variant: "" }.command();
            return Err(format!("{} is not here; run `{command}`", variant.file));
        }
    };
    let interpreter = places.weights().interpreter(name, entry);
    Ok(entry.spec(name, variant, weights, &serde_json::Map::new(), 1, interpreter))
}

fn no_model() -> ModelSpec {
    ModelSpec {
        name: "none".to_owned(),
        weights: None,
        classes: Vec::new(),
        settings_json: "{}".to_owned(),
        max_threads: 1,
        interpreter: String::new(),
    }
}
