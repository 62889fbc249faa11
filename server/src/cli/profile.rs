//! `segue profile`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{CliResult, Failure, places::ProfileSource, remote::RemoteArguments};
use crate::config::{Change, changes, load, schema};

/// Arguments of `segue profile`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  segue profile show lan\n  segue profile show --url http://127.0.0.1:8080\n  \
    segue profile diff lan mobile\n  segue profile use mobile --token TOKEN\n  \
    segue profile schema > profiles/schema.json")]
pub(super) struct ProfileCommand {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    source: ProfileSource,
    /// Print one JSON document
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show every key's value, and the file and line, variable or option that it comes from (the default)
    Show {
        /// The profile [default: the one that `segue serve` would start with]
        name: Option<String>,
        /// Show what is in force in the running server at this address instead
        #[arg(long, value_name = "URL", conflicts_with_all = ["name", "overrides"])]
        url: Option<String>,
        /// A token that the running server knows
        #[arg(long, value_name = "TOKEN", env = "SEGUE_ADMIN_TOKEN", hide_env_values = true)]
        token: Option<String>,
    },
    /// Show the keys in which two profiles differ
    Diff {
        /// One profile
        left: String,
        /// The other one
        #[arg(default_value = "base")]
        right: String,
    },
    /// List the profiles there are
    List,
    /// Switch a running server to another profile until it stops; every browser follows
    Use {
        /// The profile
        name: String,
        #[command(flatten)]
        remote: RemoteArguments,
    },
    /// Print the JSON Schema of profiles, for editors that complete and check them
    Schema,
}

impl ProfileCommand {
    pub(super) fn run(self) -> CliResult {
        match &self.command {
            None => self.show(None),
            Some(Command::Show { url: Some(url), token, .. }) => {
                let remote = RemoteArguments { url: url.clone(), token: token.clone() };
                self.print_keys(&remote.get("/v1/profile")?)
            }
            Some(Command::Show { name, url: None, .. }) => self.show(name.clone()),
            Some(Command::Diff { left, right }) => self.diff(left, right),
            Some(Command::List) => self.list(),
            Some(Command::Use { name, remote }) => self.switch(name, remote),
            Some(Command::Schema) => {
                println!("{:#}", schema());
                Ok(())
            }
        }
    }

    fn show(&self, name: Option<String>) -> CliResult {
        let layers = self.source.layers(name);
        let loaded = load(&layers).map_err(Failure::wrong_usage)?;
        let keys = loaded.origins.effective(&loaded.profile);
        self.print_keys(&json!({ "profile": layers.profile, "keys": keys }))
    }

    fn print_keys(&self, document: &Value) -> CliResult {
        if self.json {
            println!("{document}");
            return Ok(());
        }
        let generation = document["generation"].as_u64().map(|generation| format!(", generation {generation}"));
        println!("# {}{}", document["profile"].as_str().unwrap_or_default(), generation.unwrap_or_default());
        let rows = document["keys"].as_object().into_iter().flatten().map(|(key, entry)| {
            let unit = entry["unit"].as_str().unwrap_or_default();
            [key.clone(), format!("{} {unit}", entry["value"]), entry["origin"].as_str().unwrap_or_default().to_owned()]
        });
        print_table(&rows.collect::<Vec<_>>());
        Ok(())
    }

    fn diff(&self, left: &str, right: &str) -> CliResult {
        let effective = |name: &str| {
            let loaded = load(&self.source.layers(Some(name.to_owned()))).map_err(Failure::wrong_usage)?;
            Ok(loaded.origins.effective(&loaded.profile))
        };
        let differing = changes(&effective(left)?, &effective(right)?);
        if self.json {
            let row = |change: &Change| json!({ "key": change.key, "left": change.from, "right": change.to });
            println!("{}", Value::from_iter(differing.iter().map(row)));
            return Ok(());
        }
        if differing.is_empty() {
            println!("{left} and {right} say the same");
            return Ok(());
        }
        let heading = [String::new(), left.to_owned(), right.to_owned()];
        let rows = differing.iter().map(|change| [change.key.clone(), change.from.to_string(), change.to.to_string()]);
        print_table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>());
        Ok(())
    }

    fn list(&self) -> CliResult {
        let names = self.source.names()?;
        match self.json {
            true => println!("{}", json!(names)),
            false => println!("{}", names.join("\n")),
        }
        Ok(())
    }

    fn switch(&self, name: &str, remote: &RemoteArguments) -> CliResult {
        if self.source.is_given() {
            let what = "--profiles and --set are for profiles of this machine; the running server has its own";
            return Err(Failure::wrong_usage(what));
        }
        let receipt = remote.post("/v1/admin/profile", &json!({ "profile": name }))?;
        if self.json {
            println!("{receipt}");
            return Ok(());
        }
        println!("{} is in force, generation {}", receipt["profile"].as_str().unwrap_or(name), receipt["generation"]);
        let rows = receipt["changes"].as_array().into_iter().flatten().map(|change| {
            let key = change["key"].as_str().unwrap_or_default();
            [key.to_owned(), change["to"].to_string(), format!("was {}", change["from"])]
        });
        print_table(&rows.collect::<Vec<_>>());
        Ok(())
    }
}

/// Prints columns that are as wide as they have to be.
fn print_table(rows: &[[String; 3]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    for [one, two, three] in rows {
        println!("{}", format!("{one:<first$}  {two:<second$}  {three}").trim_end());
    }
}
