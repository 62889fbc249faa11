//! `cargo xtask test`: install what is needed, then every check and every test, one heading each.

use std::{path::PathBuf, process::Command, time::Instant};

use anyhow::{Context, Result, bail};

use crate::{
    build::{Profile, build},
    command::{is_installed, root, run, tool},
    install,
};

type Step = (&'static str, fn() -> Result<()>);

/// In the order in which a fault is told soonest.
const STEPS: [Step; 9] = [
    ("format", || run(tool("cargo").args(["fmt", "--all", "--check"]))),
    ("typos", || run(&mut tool(install::typos()?))),
    ("clippy", || {
        run(tool("cargo").args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
    }),
    ("docs", docs),
    ("licences", licences),
    ("types", || page_tests(&["npm", "run", "--silent", "types"])),
    ("page", || page_tests(&["npm", "run", "--silent", "unit"])),
    ("rust", rust),
    ("browser", browser),
];

/// Runs the steps that are named, or all; with `all`, the second tier, too.
pub(crate) fn run_steps(all: bool, names: &[String]) -> Result<()> {
    if all {
        println!("The second tier has no part yet: everything there is runs in the first.");
    }
    let known: Vec<_> = STEPS.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no step {unknown:?}; there are: {}", known.join(", "));
    }
    let mut times = Vec::new();
    for (name, step) in STEPS {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            println!("\n== {name} ==");
            let start = Instant::now();
            step()?;
            times.push(format!("{name} {} s", start.elapsed().as_secs()));
        }
    }
    println!("\nEverything passed: {}", times.join(", "));
    Ok(())
}

fn docs() -> Result<()> {
    run(tool("cargo").env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--workspace", "--no-deps", "--quiet"]))
}

fn licences() -> Result<()> {
    run(tool(install::cargo_deny()?).args(["--log-level", "error", "check", "bans", "licenses", "sources"]))
}

fn page_tests(command: &[&str]) -> Result<()> {
    install::node_modules()?;
    run(tool(command[0]).args(&command[1..]).current_dir(root().join("tests")))
}

/// Server and plugins as the tests use them, and the default model's weights.
fn program() -> Result<PathBuf> {
    let program = build(Profile::Dev)?;
    run(tool(&program).args(["models", "pull", "selfie"]))?;
    Ok(program)
}

/// `SEGUE_TEST_DATA` is named from here; tests run elsewhere.
fn with_test_data(command: &mut Command) -> Result<&mut Command> {
    Ok(match std::env::var_os("SEGUE_TEST_DATA") {
        Some(folder) => {
            let folder = std::fs::canonicalize(root().join(&folder))
                .with_context(|| format!("SEGUE_TEST_DATA names {}", folder.display()))?;
            command.env("SEGUE_TEST_DATA", folder)
        }
        None => command,
    })
}

fn rust() -> Result<()> {
    install::nextest()?;
    install::debian_packages()?;
    let program = program()?;
    run(with_test_data(&mut tool("cargo"))?
        .args(["nextest", "run", "--workspace", "--no-fail-fast"])
        .env("SEGUE_BIN", program)
        .env("SEGUE_REQUIRE_WEIGHTS", "1"))
}

fn browser() -> Result<()> {
    if !is_installed("node") {
        bail!("Node.js is not installed: the page's tests need it, version 20 or newer");
    }
    install::debian_packages()?;
    let program = program()?;
    install::node_modules()?;
    run(with_test_data(&mut tool("npm"))?
        .args(["run", "--silent", "browser"])
        .env("SEGUE_BIN", program)
        .current_dir(root().join("tests")))
}
