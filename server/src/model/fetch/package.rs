//! Packages of registries, fetched by the registry's ordinary client.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Fetched, Registry, Trouble, write};

/// Has the registry's client put the package into `directory`; the package's path.
pub(super) fn download(registry: Registry, package: &str, version: &str, directory: &Path) -> Result<PathBuf, Trouble> {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).map_err(|error| Trouble::File(directory.into(), error))?;
    let exact = match registry {
        Registry::Npm => format!("{package}@{version}"),
        Registry::Pypi => format!("{package}=={version}"),
    };
    match registry {
        Registry::Npm => run("npm", &["pack", "--silent", "--fetch-retries=1", "--", &exact], directory)?,
        // Only wheels: to fetch a source package, pip would run its code.
        Registry::Pypi => {
            let arguments = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"];
            run("pip", &[&arguments[..], &["--dest", ".", "--", &exact]].concat(), directory)?;
        }
    }
    let mut files = fs::read_dir(directory).map_err(|error| Trouble::File(directory.into(), error))?;
    let file = files.find_map(|entry| Some(entry.ok()?.path()));
    file.ok_or_else(|| Trouble::Source("the client left no file".into()))
}

fn run(client: &str, arguments: &[&str], directory: &Path) -> Result<(), Trouble> {
    let mut command = Command::new(client);
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Trouble::Source(format!("`{client}` is not installed")),
        _ => Trouble::Source(format!("`{client}` can't be run: {error}")),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
    // Clients tell a full disk in words of their own.
    if said.contains("ENOSPC") || said.contains("No space left") {
        return Err(Trouble::File(directory.into(), io::ErrorKind::StorageFull.into()));
    }
    Err(Trouble::Source(format!("`{client}` failed (no network?): {}", last.trim())))
}

/// The files of `wanted` in a package, a zip file or a gzipped tar, are put into the directory `into`.
pub(in crate::model) fn unpack(package: &Path, wanted: &[&str], into: &Path) -> Result<Vec<Fetched>, Trouble> {
    let broken = |error: &dyn std::fmt::Display| Trouble::Source(format!("the package can't be unpacked: {error}"));
    let mut file = File::open(package).map_err(|error| broken(&error))?;
    let mut magic = [0; 2];
    let is_zip = file.read_exact(&mut magic).is_ok() && &magic == b"PK";
    let file = File::open(package).map_err(|error| broken(&error))?;
    let mut found = Vec::new();
    let mut take = |path: Option<&Path>, content: &mut dyn Read| -> Result<(), Trouble> {
        let name = path.and_then(Path::file_name).and_then(OsStr::to_str).unwrap_or_default();
        if wanted.contains(&name) {
            let path = into.join(name);
            write(content, &path)?;
            found.push(Fetched { file: name.into(), path, sha256: None });
        }
        Ok(())
    };
    if is_zip {
        let mut archive = zip::ZipArchive::new(file).map_err(|error| broken(&error))?;
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).map_err(|error| broken(&error))?;
            let name = entry.name().map(|name| PathBuf::from(&*name)).map_err(|error| broken(&error))?;
            take(Some(&name), &mut entry)?;
        }
    } else {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
        for entry in archive.entries().map_err(|error| broken(&error))? {
            let mut entry = entry.map_err(|error| broken(&error))?;
            let name = entry.path().ok().map(|path| path.into_owned());
            take(name.as_deref(), &mut entry)?;
        }
    }
    Ok(found)
}
