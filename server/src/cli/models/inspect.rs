//! `segue models inspect`: which plugin reads a file, and the catalog's entry that it proposes.

use std::path::Path;

use serde_json::json;

use crate::{
    cli::{CliResult, Failure},
    model::Places,
    plugin_host::{find, propose},
};

pub(super) fn inspect(places: &Places, file: &Path, json: bool) -> CliResult {
    if let Err(error) = std::fs::File::open(file) {
        return Err(Failure::wrong_usage(format!("{}: {error}", file.display())));
    }
    let directory = &places.plugins;
    let found = find(directory)
        .map_err(|error| Failure::wrong_usage(format!("the plugin directory {}: {error}", directory.display())))?;
    for plugin in found.into_iter().filter_map(|found| found.plugin.ok()) {
        let Some(entry) = propose(&plugin, &places.copies(), file)
            .map_err(|error| Failure::does_not_hold(format!("{}: {error}", file.display())))?
        else {
            continue;
        };
        match json {
            true => println!("{}", json!({ "file": file, "backend": plugin.descriptor.name, "entry": entry })),
            false => print!("{entry}"),
        }
        return Ok(());
    }
    let what = format!("{}: no plugin in {} knows this kind of file", file.display(), directory.display());
    Err(Failure::does_not_hold(what))
}
