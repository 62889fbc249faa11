//! Builds the server and its plugins, and puts the plugins where the server looks for them.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::Value;
use zip::{DateTime, ZipWriter, write::SimpleFileOptions};

use crate::{
    command::{output, root, run, tool},
    install::server_build_tools,
};

/// How to build.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    /// For tests.
    Dev,
    /// For use.
    Release,
}

/// Builds; the path of the program. The plugins are in `plugins/` beside it; examples and the tests' own plugins,
/// which only [`Profile::Dev`] builds, stay where cargo puts them.
pub(crate) fn build(profile: Profile) -> Result<PathBuf> {
    server_build_tools()?;
    let metadata = metadata()?;
    let (plugins, others): (Vec<_>, Vec<_>) = plugin_crates(&metadata).into_iter().partition(|plugin| plugin.is_served);
    let mut cargo = tool("cargo");
    cargo.args(["build", "--package", "segue"]);
    let also = if matches!(profile, Profile::Dev) { &others[..] } else { &[] };
    for plugin in plugins.iter().chain(also) {
        cargo.args(["--package", &plugin.package]);
    }
    let folder = match profile {
        Profile::Dev => "debug",
        Profile::Release => {
            cargo.arg("--release");
            "release"
        }
    };
    run(&mut cargo)?;
    let target = metadata["target_directory"].as_str().context("cargo names no target directory")?;
    let built = Path::new(target).join(folder);
    stage(&plugins, &built)?;
    Ok(built.join(format!("segue{}", std::env::consts::EXE_SUFFIX)))
}

/// The packages that make the server and its plugins.
pub(crate) fn served_packages() -> Result<Vec<String>> {
    let plugins = plugin_crates(&metadata()?).into_iter().filter(|plugin| plugin.is_served);
    Ok(std::iter::once("segue".into()).chain(plugins.map(|plugin| plugin.package)).collect())
}

fn metadata() -> Result<Value> {
    Ok(serde_json::from_str(&output(tool("cargo").args(["metadata", "--no-deps", "--format-version=1"]))?)?)
}

struct PluginCrate {
    package: String,
    library: String,
    /// It lies under `plugins/`.
    is_served: bool,
}

/// Every package that makes a shared library.
fn plugin_crates(metadata: &Value) -> Vec<PluginCrate> {
    let plugins = root().join("plugins");
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    packages
        .iter()
        .filter_map(|package| {
            let is_plugin = |target: &&Value| {
                target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
            };
            let target = package["targets"].as_array()?.iter().find(is_plugin)?;
            Some(PluginCrate {
                package: package["name"].as_str()?.to_owned(),
                library: target["name"].as_str()?.replace('-', "_"),
                is_served: Path::new(package["manifest_path"].as_str()?).starts_with(&plugins),
            })
        })
        .collect()
}

/// Copies the plugins by rename, so that a server that is running never sees half a file.
fn stage(plugins: &[PluginCrate], built: &Path) -> Result<()> {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    let directory = built.join("plugins");
    fs::create_dir_all(&directory)?;
    for plugin in plugins {
        let name = format!("{DLL_PREFIX}{}{DLL_SUFFIX}", plugin.library);
        let waiting = directory.join(format!("{name}.new"));
        fs::copy(built.join(&name), &waiting).with_context(|| format!("{name} was not built"))?;
        fs::rename(waiting, directory.join(name))?;
    }
    stage_python(&directory)
}

/// Packs the plugin that runs models in Python, into an archive that Python runs as it is.
fn stage_python(directory: &Path) -> Result<()> {
    let source = root().join("plugins/python");
    let modules = fs::read_dir(source.join("segue_model"))?.collect::<std::io::Result<Vec<_>>>()?;
    let is_module = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "py");
    let mut files: Vec<_> = modules.iter().map(fs::DirEntry::path).filter(is_module).collect();
    files.extend(["__main__.py", "segue-plugin.json"].map(|name| source.join(name)));
    files.sort();
    let waiting = directory.join("python.pyz.new");
    let mut archive = ZipWriter::new(fs::File::create(&waiting)?);
    for path in files {
        // Of the same files the same bytes: without a time.
        let name = path.strip_prefix(&source)?.to_string_lossy().into_owned();
        archive.start_file(name, SimpleFileOptions::default().last_modified_time(DateTime::default()))?;
        archive.write_all(&fs::read(path)?)?;
    }
    archive.finish()?;
    Ok(fs::rename(waiting, directory.join("python.pyz"))?)
}
