//! `cargo xtask new-backend` in a copy of the repository: what it makes is built, checked and served, or nothing is made.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use segue_tests::{jpeg, segue};

/// A copy of the repository without what is built or fetched.
struct Checkout {
    root: PathBuf,
}

impl Checkout {
    /// Always in the same place, so that cargo knows what it built there before.
    fn copy(name: &str) -> Result<Self> {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        copy(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")), &root)?;
        Ok(Self { root })
    }

    fn new_backend(&self, name: &str) -> Result<Output> {
        let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
        Ok(xtask.args(["new-backend", "--root"]).arg(&self.root).arg(name).output()?)
    }

    /// Runs cargo there; what it builds goes where this test was built.
    fn cargo(&self, arguments: &[&str]) -> Result<()> {
        let output = Command::new("cargo")
            .args(arguments)
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", target()?)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cargo {} ended with {}: {said}", arguments.join(" "), output.status);
        Ok(())
    }

    /// What a new backend may change, for comparison.
    fn state(&self) -> Result<Vec<String>> {
        let mut state = Vec::new();
        for folder in ["plugins", "models"] {
            for entry in fs::read_dir(self.root.join(folder))? {
                state.push(entry?.path().display().to_string());
            }
        }
        state.sort();
        for file in ["Cargo.toml", "Cargo.lock"] {
            state.push(fs::read_to_string(self.root.join(file))?);
        }
        Ok(state)
    }
}

fn target() -> Result<PathBuf> {
    let profile = Path::new(env!("CARGO_BIN_EXE_xtask")).parent();
    Ok(profile.and_then(Path::parent).context("xtask lies in no target directory")?.to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let is_left_out = ["target", ".git", "node_modules"].iter().any(|left_out| name == *left_out);
        if kind.is_dir() && !is_left_out {
            copy(&entry.path(), &to.join(&name))?;
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(&name))?;
        }
    }
    Ok(())
}

#[test]
fn what_it_makes_is_tidy_keeps_the_contract_and_is_served_at_once() -> Result<()> {
    let checkout = Checkout::copy("new-backend")?;
    let made = checkout.new_backend("warm-2")?;
    let said = String::from_utf8_lossy(&made.stdout);
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(said.contains("cargo test --package segue-warm-2"), "{said}");

    checkout.cargo(&["test", "--locked", "--package", "segue-warm-2"])?;
    checkout.cargo(&["fmt", "--check", "--package", "segue-warm-2"])?;
    let clippy = ["clippy", "--locked", "--package", "segue-warm-2", "--all-targets", "--", "-D", "warnings"];
    checkout.cargo(&clippy)?;
    checkout.cargo(&["build", "--locked", "--package", "segue-warm-2"])?;

    let plugins = checkout.root.join("installed");
    fs::create_dir(&plugins)?;
    fs::copy(target()?.join("debug/libwarm_2.so"), plugins.join("libwarm_2.so"))?;
    let picture = checkout.root.join("me.jpg");
    fs::write(&picture, jpeg(64, 32, |x, _| if x < 32 { [240, 120, 10] } else { [10, 120, 240] })?)?;
    let output = segue(&["segment", "--json", "--set", "modes.warm-2.model=warm-2", "--mode", "warm-2", "--plugins"])
        .arg(plugins)
        .arg("--models")
        .arg(checkout.root.join("models"))
        .arg(picture)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let warm = result["classes"].as_array().and_then(|classes| classes.iter().find(|class| class["label"] == "warm"));
    let share = warm.and_then(|class| class["share"].as_f64()).with_context(|| format!("no share in {result}"))?;
    assert!((0.4..0.6).contains(&share), "{share} of the picture is warm");
    Ok(())
}

#[test]
fn it_makes_all_of_a_backend_or_nothing() -> Result<()> {
    let checkout = Checkout::copy("no-backend")?;
    let before = checkout.state()?;
    let long = "x".repeat(32);
    let refused = [
        ("", "1 to 31 of a-z"),
        ("Upper", "1 to 31 of a-z"),
        ("../up", "1 to 31 of a-z"),
        (long.as_str(), "1 to 31 of a-z"),
        ("3d", "begins with a letter"),
        ("match", "no word of the language"),
        ("log", "no word of the language"),
        ("selfie", "plugins/selfie is there already"),
        ("in-focus", "examples/in-focus is there already"),
        ("misbehaving", "\"segue-misbehaving\" has this name already"),
        ("plugin", "\"segue-plugin\" has this name already"),
    ];
    for (name, reason) in refused {
        let output = checkout.new_backend(name)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success() && said.contains(reason), "{name:?}: {said}");
        ensure!(checkout.state()? == before, "{name:?} left something behind");
    }

    fs::write(checkout.root.join("Cargo.lock"), "no lock")?;
    let before = checkout.state()?;
    ensure!(!checkout.new_backend("mine")?.status.success(), "it made a backend that cargo can't build");
    ensure!(checkout.state()? == before, "a failure halfway left something behind");
    Ok(())
}
