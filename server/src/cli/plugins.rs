//! `segue plugins`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{
    CliResult, Failure,
    places::{PlaceArguments, find_plugins},
    remote::RemoteArguments,
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
    /// Have a running server load a plugin anew: its modes get fresh processes, even when the file is the same
    #[command(
        after_help = "The new instances are loaded and warmed up beside the old ones, which then finish their frames and \
        end. A server that watches its plugin directory does this by itself when a file changes. Ends with 1 when the build is \
        refused: then the old one goes on serving."
    )]
    Reload {
        /// The plugin, as `segue plugins list` names it
        name: String,
        #[command(flatten)]
        server: RemoteArguments,
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
            Some(Command::Reload { name, server }) => self.reload(name, server),
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

    fn reload(&self, name: &str, server: &RemoteArguments) -> CliResult {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        if name.is_empty() || !name.chars().all(is_plain) {
            return Err(Failure::wrong_usage(format!("{name:?} is no name of a plugin, which has a-z, 0-9 and -")));
        }
        let receipt = server.post(&format!("/v1/admin/plugins/{name}/reload"), &serde_json::json!({}))?;
        if self.json {
            println!("{receipt}");
            return Ok(());
        }
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let (generation, took) = (&receipt["generation"], &receipt["took_millis"]);
        println!("Generation {generation} is in force, after {took} ms");
        for change in receipt["changes"].as_array().into_iter().flatten() {
            println!("{}: {} (was {})", text(&change["key"]), text(&change["to"]), text(&change["from"]));
        }
        Ok(())
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
                    let note = match &entry.is_behind {
                        Some(first) => format!(" (behind {}; used by modes that name the file)", first.display()),
                        None => String::new(),
                    };
                    println!("{name:<16} {version:<10} {build}  {}{note}", entry.path.display());
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
