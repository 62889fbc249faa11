//! `segue plugins`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{
    CliResult, Failure,
    places::{PlaceArguments, find_plugins},
    verify::{TrialCommand, Verify},
};
use crate::plugin_host::PluginFile;

/// Arguments of `segue plugins`.
#[derive(Debug, Args)]
pub(super) struct Plugins {
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
    /// List the plugin directory: what is usable, and what is refused and why (the default)
    List,
    /// Read one file's descriptor, without running any of its code
    Inspect {
        /// The plugin file
        file: PathBuf,
    },
    /// Check that a plugin keeps the contract that the server relies on, in a process of its own
    Verify(Verify),
    /// Run the checks for the `verify` that started this process
    #[command(hide = true)]
    Trial(TrialCommand),
}

impl Plugins {
    pub(super) fn run(self) -> CliResult {
        match &self.command {
            None | Some(Command::List) => self.list(),
            Some(Command::Inspect { file }) => {
                let plugin = PluginFile::read(file)
                    .map_err(|error| Failure::does_not_hold(format!("{}: {error}", file.display())))?;
                println!("{}", if self.json { describe(&plugin).to_string() } else { sheet(&plugin) });
                Ok(())
            }
            Some(Command::Verify(verify)) => verify.run(&self.places.places()?, self.json),
            Some(Command::Trial(trial)) => trial.run(),
        }
    }

    fn list(&self) -> CliResult {
        let directory = self.places.places()?.plugins;
        let found = find_plugins(&directory)?;
        if self.json {
            let document: Vec<_> = found
                .iter()
                .map(|entry| match &entry.plugin {
                    Ok(plugin) => describe(plugin),
                    Err(reason) => {
                        serde_json::json!({"file": entry.path.to_string_lossy(), "refused": reason.to_string()})
                    }
                })
                .collect();
            println!("{}", serde_json::Value::from(document));
            return Ok(());
        }
        if found.is_empty() {
            println!("There is no plugin in {}", directory.display());
        }
        for entry in found {
            match entry.plugin {
                Ok(plugin) => {
                    let told = &plugin.descriptor;
                    let (name, version, build) = (&told.name, &told.version, &plugin.sha256[..12]);
                    println!("{name:<16} {version:<10} {build}  {}", entry.path.display());
                }
                Err(reason) => println!("{:<16} {}: {reason}", "refused", entry.path.display()),
            }
        }
        Ok(())
    }
}

fn describe(plugin: &PluginFile) -> serde_json::Value {
    let told = &plugin.descriptor;
    serde_json::json!({
        "file": plugin.path.to_string_lossy(), "name": told.name, "version": told.version, "build": told.build,
        "abi": format!("{}.{}", told.abi.0, told.abi.1), "sha256": plugin.sha256,
    })
}

fn sheet(plugin: &PluginFile) -> String {
    let told = &plugin.descriptor;
    let (major, minor) = told.abi;
    format!(
        "name     {}\nversion  {}\nbuild    {}\nABI      {major}.{minor}\nSHA-256  {}",
        told.name, told.version, told.build, plugin.sha256
    )
}
