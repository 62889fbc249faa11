//! Plugins that are programs: an archive that an interpreter runs as the worker, in place of a library that this program opens.
//!
//! Such a plugin is a Python zip application, `*.pyz`, with a `segue-plugin.json` that says what it is. The worker process is
//! started and confined as for any plugin, and then becomes the interpreter: memory, descriptors and protocol stay.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::Command,
};

use rustix::{
    fs::{MemfdFlags, memfd_create},
    io::{FdFlags, fcntl_setfd},
};
use serde::{Deserialize, Serialize};
use zip::ZipArchive;

use super::{CheckError, Descriptor, instance::ModelSpec, worker::setup::Setup};

/// How its file's name ends.
pub(super) const EXTENSION: &str = "pyz";

/// The number of what is said between server and worker. It changes with every change of it.
const PROTOCOL: u32 = 1;

const DESCRIPTOR: &str = "segue-plugin.json";
const LARGEST_DESCRIPTOR_LEN_BYTES: u64 = 64 << 10;

/// `segue-plugin.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    version: String,
    build: String,
    protocol: u32,
}

/// Reads and judges what a program says of itself.
pub(super) fn check(file: File) -> Result<Descriptor, CheckError> {
    let not_one = |error: &dyn std::fmt::Display| CheckError::NotAProgram(error.to_string());
    let mut archive = ZipArchive::new(file).map_err(|error| not_one(&error))?;
    let mut text = String::new();
    let entry = archive.by_name(DESCRIPTOR).map_err(|error| not_one(&error))?;
    entry.take(LARGEST_DESCRIPTOR_LEN_BYTES).read_to_string(&mut text).map_err(CheckError::Unreadable)?;
    let Manifest { name, version, build, protocol } = serde_json::from_str(&text).map_err(|error| not_one(&error))?;
    if protocol != PROTOCOL {
        return Err(CheckError::OtherProtocol { protocol, ours: PROTOCOL });
    }
    let abi = (segue_abi::ABI_MAJOR, segue_abi::ABI_MINOR);
    Ok(Descriptor { name, version, build, abi, needs_network: false, is_program: true })
}

/// What the interpreter is told.
#[derive(Serialize)]
struct Told<'a> {
    spec: &'a ModelSpec,
    confined: &'a str,
}

/// Has this process, which is confined already, become the interpreter that runs its program. Returns only why it
/// could not. `descriptors` are the memory and the two eventfds.
pub(super) fn become_worker(
    setup: &Setup,
    interpreter: &str,
    confined: &str,
    descriptors: &[OwnedFd; 3],
) -> Box<dyn std::error::Error> {
    let spec = &setup.spec;
    let handed_over = || -> Result<OwnedFd, Box<dyn std::error::Error>> {
        let told = memfd_create("segue-setup", MemfdFlags::CLOEXEC)?;
        let mut written = File::from(told.try_clone()?);
        serde_json::to_writer(&mut written, &Told { spec, confined })?;
        io::Seek::rewind(&mut written)?;
        for descriptor in descriptors.iter().chain([&told]) {
            fcntl_setfd(descriptor.as_fd(), FdFlags::empty())?;
        }
        Ok(told)
    };
    let told = match handed_over() {
        Ok(told) => told,
        Err(error) => return error,
    };
    let numbers = [&told].into_iter().chain(descriptors).map(|descriptor| descriptor.as_raw_fd().to_string());
    let mut command = command(interpreter, &setup.plugin);
    if let Some(scratch) = &setup.scratch {
        command.env("TMPDIR", scratch);
    }
    let error = command.arg("worker").args(numbers).exec();
    format!("the interpreter {:?} can't be started: {error}; name another one by `python`", spec.interpreter).into()
}

/// The program that `interpreter` really is. What is called `python3` may be a script that starts another one, as pyenv has it, and
/// a worker can't do that. To be asked before the process is confined.
pub(super) fn resolve(interpreter: &str) -> String {
    let asked = Command::new(interpreter).args(["-c", "import sys; print(sys.executable)"]).output();
    let told = asked.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    // One that can't say it is told of when it is to be started.
    told.map(|path| path.trim().to_owned()).filter(|path| !path.is_empty()).unwrap_or_else(|| interpreter.to_owned())
}

/// What the program at `path` proposes for the model in `file`; `None` when that is no file of its kind.
pub(super) fn propose(path: &Path, file: &Path) -> Result<Option<String>, String> {
    if file.extension().is_none_or(|ending| ending != "py") {
        return Ok(None);
    }
    let output = command(DEFAULT_INTERPRETER, path).arg("propose").arg(file).output();
    let output = output.map_err(|error| format!("{DEFAULT_INTERPRETER}: {error}"))?;
    match output.status.success() {
        true => Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned())),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// What runs a program when nobody names another one.
pub const DEFAULT_INTERPRETER: &str = "python3";

/// The interpreter, about to run the program at `path`. It writes nothing beside what it reads, and says at once what it says.
fn command(interpreter: &str, path: &Path) -> Command {
    let mut command = Command::new(interpreter);
    command.args(["-B", "-u"]).arg(path);
    command
}

/// Under memory pressure the kernel is to end a worker before the server. It may refuse.
pub(super) fn volunteer_for_the_end() {
    let _ = fs::write("/proc/self/oom_score_adj", "500");
}
