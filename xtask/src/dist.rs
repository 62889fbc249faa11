//! `cargo xtask dist`: all that an operator needs, in one archive.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    build::{Profile, build, served_packages},
    command::{output, root, run, tool},
    licences::third_party,
};

/// Weights that go along, since their licence allows it: the server serves without a network.
const WEIGHTS: [&str; 2] = ["selfie/general", "selfie/landscape"];

/// What goes along as it is: from the root, and under which name.
const ALONG: [(&str, &str); 7] = [
    ("models", "models"),
    ("profiles", "profiles"),
    ("examples/systemd", "systemd"),
    ("examples/kubernetes", "kubernetes"),
    ("examples/observability", "observability"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("LICENSE-MIT", "LICENSE-MIT"),
];

/// Builds, and lays everything into `folder`, from where it runs.
pub(crate) fn lay_out(folder: &Path) -> Result<()> {
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is not empty", folder.display());
    }
    let program = build(Profile::Release)?;
    fs::create_dir_all(folder)?;
    fs::copy(&program, folder.join("segue"))?;
    copy(&program.with_file_name("plugins"), &folder.join("plugins"))?;
    for (from, to) in ALONG {
        copy(&root().join(from), &folder.join(to))?;
    }
    fetch_weights(&program, &folder.join("models"))?;
    fs::write(folder.join("THIRD-PARTY.txt"), third_party(&served_packages()?)?)?;
    Ok(())
}

/// The archive, and its SHA-256 in a file beside it, in target/dist; the archive's path.
pub(crate) fn archive() -> Result<PathBuf> {
    let dist = root().join("target/dist");
    let name = format!("segue-{}-{}", env!("CARGO_PKG_VERSION"), target()?);
    let folder = dist.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    lay_out(&folder)?;
    let file = format!("{name}.tar.gz");
    // Of the same files the same bytes: no user, no order, no time but the last commit's.
    let time = output(tool("git").args(["log", "-1", "--format=--mtime=@%ct"]))?;
    run(tool("tar").current_dir(&dist).arg(time.trim()).args([
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mode=u+rw,go+rX,go-w",
        "-czf",
        &file,
        &name,
    ]))?;
    let sum = output(tool("sha256sum").current_dir(&dist).arg(&file))?;
    fs::write(dist.join(format!("{file}.sha256")), &sum)?;
    fs::remove_dir_all(folder)?;
    Ok(dist.join(file))
}

/// A file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        fs::copy(from, to).with_context(|| format!("can't copy {}", from.display()))?;
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("can't read {}", from.display()))? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Fetched and checked as the server would, and laid beside the catalog's entries, where it finds them.
fn fetch_weights(program: &Path, models: &Path) -> Result<()> {
    let cache = root().join("target/dist/cache");
    for name in WEIGHTS {
        run(tool(program).args(["models", "pull", name, "--cache"]).arg(&cache))?;
    }
    for entry in fs::read_dir(cache.join("models/selfie"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tflite") {
            copy(&path, &models.join(path.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}

/// The triple that is built for.
fn target() -> Result<String> {
    let version = output(tool("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc names no host")
}
