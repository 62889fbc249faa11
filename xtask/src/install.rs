//! Installs what the tests need and the machine lacks, by the ordinary package clients.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::command::{is_installed, root, run, tool};

/// Pinned, since a new version may find new faults in old text.
const TYPOS: &str = "typos==1.52.0";

/// Programs that the tests run, and Debian's package of each.
const PROGRAMS: [(&str, &str); 4] = [("chromium", "chromium"), ("ffmpeg", "ffmpeg"), ("vim", "vim"), ("c++", "g++")];

/// Chromium, ffmpeg, Vim and a C++ compiler, from Debian's packages.
pub(crate) fn debian_packages() -> Result<()> {
    programs(&PROGRAMS, "the tests drive a browser, cut clips, edit profiles and build plugins with them")
}

/// Prometheus, and promtool with it, from Debian's packages.
pub(crate) fn prometheus() -> Result<()> {
    let programs_of_it = [("prometheus", "prometheus"), ("promtool", "prometheus")];
    programs(&programs_of_it, "a test has it scrape the server")
}

/// Installs those that are not there, each from its package. `why` they are needed is told when that fails.
fn programs(wanted: &[(&str, &'static str)], why: &str) -> Result<()> {
    let mut missing: Vec<_> =
        wanted.iter().filter(|(program, _)| !is_there(program)).map(|&(_, package)| package).collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    println!("Installing {}", missing.join(", "));
    let install = || -> Result<()> {
        run(tool("apt-get").args(["update", "-qq"]))?;
        run(tool("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "-qq", "--no-install-recommends"])
            .args(&missing))
    };
    install().with_context(|| format!("install {} by hand: {why}", missing.join(", ")))
}

/// `ffmpeg` knows no `--version`, so the search path is asked.
fn is_there(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|directory| directory.join(program).is_file())
}

/// cargo-nextest, from the Rust registry.
pub(crate) fn nextest() -> Result<()> {
    if is_installed("cargo-nextest") {
        return Ok(());
    }
    run(tool("cargo").args(["install", "--locked", "--quiet", "cargo-nextest"]))
}

/// cargo-deny, from the Rust registry, into the target directory; its path.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    if is_installed("cargo-deny") {
        return Ok("cargo-deny".into());
    }
    let tools = root().join("target/tools");
    let program = tools.join("bin/cargo-deny");
    if !program.exists() {
        println!("Building cargo-deny, once; it takes some minutes");
        run(tool("cargo").args(["install", "--locked", "--quiet", "cargo-deny", "--root"]).arg(&tools))?;
    }
    Ok(program)
}

/// typos, from a Python package, into the target directory; its path.
pub(crate) fn typos() -> Result<PathBuf> {
    let environment = root().join("target/tools/python");
    let program = environment.join("bin/typos");
    if !program.exists() {
        run(tool("python3").args(["-m", "venv"]).arg(&environment))?;
        run(tool(environment.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check", TYPOS]))?;
    }
    Ok(program)
}

/// What the page's tests import, from the npm registry.
pub(crate) fn node_modules() -> Result<()> {
    run(tool("npm").args(["ci", "--no-fund", "--no-audit", "--loglevel=error"]).current_dir(root().join("tests")))
}
