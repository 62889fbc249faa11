//! `segue models pull`.

use std::{
    cell::Cell,
    io::{self, BufRead, IsTerminal, Write},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{CliResult, Failure, Places, PullArguments};
use crate::model::{CatalogEntry, Presence, PullError, Step, Wanted};

pub(super) fn pull(places: &Places, arguments: PullArguments, json: bool) -> CliResult {
    let name = arguments.name.clone();
    pull_weights(places, arguments, json)?;
    make_environment(places, &name, json)
}

/// The Python packages of a model that names some.
fn make_environment(places: &Places, name: &str, json: bool) -> CliResult {
    let (model, variant) = name.split_once('/').unwrap_or((name, ""));
    let entry = places.catalog().entry(model).map_err(Failure::wrong_usage)?;
    let weights = places.weights();
    if entry.requirements.is_empty() {
        return Ok(());
    }
    let was_here = weights.has_environment(model, &entry);
    let bar = Bar::new();
    let made = weights.make_environment(Wanted { model, entry: &entry, variant }, &|step| bar.show(step));
    bar.bar.finish_and_clear();
    made.map_err(failed)?;
    let what = if was_here { "is here" } else { "is made" };
    say(name, json, format!("its environment {what}: {}", weights.interpreter(model, &entry)));
    Ok(())
}

fn say(name: &str, json: bool, what: String) {
    match json {
        true => println!("{}", serde_json::json!({"model": name, "done": what})),
        false => println!("{name}: {what}"),
    }
}

fn pull_weights(places: &Places, arguments: PullArguments, json: bool) -> CliResult {
    let PullArguments { name, from, accept_licence } = arguments;
    let (model, variant) = name.split_once('/').unwrap_or((&name, ""));
    let entry = places.catalog().entry(model).map_err(Failure::wrong_usage)?;
    let wanted = Wanted { model, entry: &entry, variant };
    let variant = entry.variant(model, variant).map_err(Failure::wrong_usage)?;
    let say = |what: String| say(&name, json, what);
    let Some(variant) = variant else {
        say("needs no weights".into());
        return Ok(());
    };
    let weights = places.weights();
    if let (None, Presence::Here { path, .. }) = (&from, weights.find(model, variant)) {
        say(format!("is here, and its SHA-256 is right: {}", path.display()));
        return Ok(());
    }
    if weights.needs_licence(model, &entry) && (accept_licence || asked_to_accept(&entry)) {
        weights.accept_licence(model, &entry).map_err(Failure::does_not_hold)?;
    }
    if let Some(path) = from {
        let installed = weights.install(wanted, &path).map_err(failed)?;
        let Presence::Here { sha256, .. } = weights.find(model, variant) else {
            say(format!("took {} from {}", installed.join(" and "), path.display()));
            return Ok(());
        };
        say(format!("took {} from {}; its SHA-256 is {sha256}", installed.join(" and "), path.display()));
        return Ok(());
    }
    let bar = Bar::new();
    let pulled = weights.pull(wanted, &|step| bar.show(step));
    bar.bar.finish_and_clear();
    pulled.map_err(failed)?;
    say(format!("fetched, and its SHA-256 is right ({})", entry.licence));
    Ok(())
}

/// Asks on a terminal whether the licence is accepted; elsewhere nobody could answer.
fn asked_to_accept(entry: &CatalogEntry) -> bool {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return false;
    }
    eprint!("{} is under the licence {}, which forbids commercial use. Accept it? [y/N] ", entry.title, entry.licence);
    let _ = io::stderr().flush();
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Drawn on stderr, and only when that is a terminal; elsewhere it says each step in a line.
struct Bar {
    bar: ProgressBar,
    /// Whether its length is known.
    is_measured: Cell<bool>,
}

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, is_measured: Cell::new(false) }
    }

    fn show(&self, step: Step<'_>) {
        match step {
            Step::Says(what) if self.bar.is_hidden() => eprintln!("{what}"),
            Step::Says(what) => self.bar.set_message(what.to_owned()),
            Step::Bytes { done, total } => {
                if let (Some(total), false) = (total, self.is_measured.replace(total.is_some())) {
                    self.bar.set_length(total);
                    let style = "{msg}\n{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
                    self.bar.set_style(
                        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
                    );
                }
                self.bar.set_position(done);
            }
        }
    }
}

fn failed(error: PullError) -> Failure {
    let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    match error {
        PullError::Catalog(error) => Failure::wrong_usage(error),
        _ => Failure::does_not_hold(format!("{error}{cause}")),
    }
}
