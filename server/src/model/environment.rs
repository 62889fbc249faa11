//! Environments of Python for models whose entries name packages: one for each set of requirements of a model, in the cache.
//!
//! Invariant: an environment counts as there only once its note is written, which is when all of it is installed.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    CatalogEntry, PullError, Step, Wanted,
    weights::{Network, WeightsCache, now, read_note, write_note},
};
use crate::plugin_host::DEFAULT_INTERPRETER;

/// What every model in Python needs.
const ALWAYS: &str = "numpy";

/// How many of pip's last lines are told when it fails.
const LAST_LINES: usize = 6;

/// What an environment is made of.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Recipe {
    python: String,
    requirements: Vec<String>,
}

impl Recipe {
    fn of(entry: &CatalogEntry) -> Self {
        let python = if entry.python.is_empty() { DEFAULT_INTERPRETER.into() } else { entry.python.clone() };
        Self { python, requirements: entry.requirements.clone() }
    }

    /// Of the same recipe the same.
    fn name(&self) -> String {
        let text = format!("{}\n{}", self.python, self.requirements.join("\n"));
        format!("environment-{}", &hex::encode(Sha256::digest(text))[..16])
    }
}

/// That an environment was made.
#[derive(Debug, Deserialize, Serialize)]
struct Note {
    recipe: Recipe,
    made_at: String,
}

impl WeightsCache {
    /// What runs the model if its plugin is a program: the Python of its environment, or the one that its entry names.
    pub fn interpreter(&self, model: &str, entry: &CatalogEntry) -> String {
        let recipe = Recipe::of(entry);
        match recipe.requirements.is_empty() {
            true => recipe.python,
            false => python_in(&self.path(model, &recipe.name())).to_string_lossy().into_owned(),
        }
    }

    /// Whether the environment that the entry asks for is there, or none is asked for.
    pub fn has_environment(&self, model: &str, entry: &CatalogEntry) -> bool {
        let recipe = Recipe::of(entry);
        let folder = self.path(model, &recipe.name());
        let is_made = || read_note::<Note>(&note_path(&folder)).is_some_and(|note| note.recipe == recipe);
        recipe.requirements.is_empty() || (is_made() && python_in(&folder).exists())
    }

    /// Makes the environment that the entry asks for, if it is not there. `progress` is told how that goes.
    pub fn make_environment(&self, wanted: Wanted<'_>, progress: &dyn Fn(Step<'_>)) -> Result<(), PullError> {
        let (model, recipe) = (wanted.model, Recipe::of(wanted.entry));
        let folder = self.path(model, &recipe.name());
        let of_file = |path: &Path, source| PullError::File { path: path.to_owned(), source };
        let _alone = self.lock(model, progress).map_err(|source| of_file(&folder, source))?;
        if self.has_environment(model, wanted.entry) {
            return Ok(());
        }
        if self.network == Network::Offline {
            let (requirements, command) = (recipe.requirements.join(", "), wanted.command());
            return Err(PullError::OfflineEnvironment { model: model.into(), requirements, command });
        }
        if folder.exists() {
            // Somebody was cut off, or its Python is gone.
            std::fs::remove_dir_all(&folder).map_err(|source| of_file(&folder, source))?;
        }
        let failed = |what: String| PullError::Environment { model: model.into(), what };
        progress(Step::Says(&format!("Making an environment for model {model}: {}", recipe.requirements.join(", "))));
        run(Command::new(&recipe.python).args(["-m", "venv"]).arg(&folder), progress).map_err(failed)?;
        let mut pip = Command::new(python_in(&folder));
        pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off", ALWAYS]);
        run(pip.arg("--").args(&recipe.requirements), progress).map_err(failed)?;
        let note = Note { recipe, made_at: now() };
        write_note(&note_path(&folder), &note).map_err(|source| of_file(&folder, source))
    }
}

fn python_in(folder: &Path) -> PathBuf {
    folder.join("bin/python")
}

fn note_path(folder: &Path) -> PathBuf {
    folder.with_extension("json")
}

/// Runs to the end, and tells each line; its last ones if it fails.
fn run(command: &mut Command, progress: &dyn Fn(Step<'_>)) -> Result<(), String> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| format!("{shown} can't be started: {error}"))?;
    let stderr = child.stderr.take();
    let errors = thread::spawn(move || {
        let mut text = String::new();
        stderr.map(|mut stderr| stderr.read_to_string(&mut text));
        text
    });
    let mut said = Vec::new();
    for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()).map_while(Result::ok)
    {
        progress(Step::Says(line.trim()));
        said.push(line);
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    let errors = errors.join().unwrap_or_default();
    said.extend(errors.lines().map(str::to_owned));
    let last = said[said.len().saturating_sub(LAST_LINES)..].join("\n");
    Err(format!("{shown} ended with {status}\n{last}"))
}
