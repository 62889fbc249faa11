//! `cargo xtask header`: the ABI for C and C++, generated from `segue-abi`.

use std::fs;

use anyhow::{Context, Result};
use cbindgen::{Builder, Config};

use crate::command::root;

const SOURCE: &str = "plugins/abi/src/lib.rs";
const SETTINGS: &str = "plugins/abi/cbindgen.toml";
const HEADER: &str = "plugins/abi/include/segue.h";

/// Writes the header; its path.
pub(crate) fn write_header() -> Result<&'static str> {
    fs::write(root().join(HEADER), generate()?).with_context(|| format!("can't write {HEADER}"))?;
    Ok(HEADER)
}

fn generate() -> Result<String> {
    let source = fs::read_to_string(root().join(SOURCE)).with_context(|| format!("can't read {SOURCE}"))?;
    let mut config = Config::from_file(root().join(SETTINGS)).map_err(anyhow::Error::msg)?;
    config.header = Some(format!("{}\n\n#ifndef SEGUE_H\n#define SEGUE_H", module_docs(&source)));
    let bindings = Builder::new().with_src(root().join(SOURCE)).with_config(config.clone()).generate()?;
    let mut header = Vec::new();
    bindings.write(&mut header);
    Ok(in_words_of_c(&String::from_utf8(header)?, &config))
}

/// The rules that hold everywhere, which cbindgen passes over.
fn module_docs(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| format!("//{line}")).collect::<Vec<_>>().join("\n")
}

/// Comments name what they speak of as C does: ``[`Host::stage`]`` becomes `` `SegueHost.stage` ``.
fn in_words_of_c(header: &str, config: &Config) -> String {
    let mut out = String::new();
    let mut rest = header;
    while let Some((before, (path, after))) =
        rest.split_once("[`").and_then(|(before, link)| Some((before, link.split_once("`]")?)))
    {
        let name = match path.split_once("::") {
            Some((owner, field)) => format!("{}.{field}", c_name(owner, config)),
            None => c_name(path, config),
        };
        out += &format!("{before}`{name}`");
        rest = after;
    }
    out += rest;
    for (rust, c) in &config.export.rename {
        out = out.replace(&format!("size_of::<{rust}>()"), &format!("sizeof({c})"));
    }
    out
}

fn c_name(rust: &str, config: &Config) -> String {
    match config.export.rename.get(rust) {
        Some(name) => name.clone(),
        None => format!("{}{rust}", config.export.prefix.as_deref().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_says_what_the_abi_says() {
        let committed = fs::read_to_string(root().join(HEADER)).unwrap();
        assert!(generate().unwrap() == committed, "{HEADER} is out of date; `cargo xtask header` writes it anew");
    }
}
