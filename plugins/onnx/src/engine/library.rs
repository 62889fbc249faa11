//! Finds ONNX Runtime's library: where the model says, where the loader looks, and in Python's packages.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use ort::environment::Environment;

/// ONNX Runtime in this process, from the library `named` or from a usual place; or why not, and what would mend it.
pub(super) fn environment(named: Option<&Path>) -> Result<Environment, String> {
    static OPENED: Mutex<Option<Environment>> = Mutex::new(None);
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*opened {
        return Ok(environment.clone());
    }
    let candidates = match named {
        Some(path) => vec![path.to_owned()],
        None => candidates(),
    };
    let mut reasons = Vec::new();
    for path in candidates {
        match open(&path) {
            Ok(environment) => {
                log::debug!("ONNX Runtime is {}", path.display());
                return Ok(opened.insert(environment).clone());
            }
            Err(reason) => reasons.push(format!("{}: {reason}", path.display())),
        }
    }
    Err(match named {
        Some(_) => format!("runtime = {}", reasons.join("; ")),
        None => {
            "ONNX Runtime is not installed: `pip install onnxruntime`, or name its library by the setting `runtime`"
                .into()
        }
    })
}

fn open(path: &Path) -> Result<Environment, String> {
    let builder = ort::init_from(path).map_err(|error| error.to_string())?;
    builder.with_name("segue").with_telemetry(false).build().map_err(|error| error.to_string())
}

/// Where it may lie, in the order in which it is looked for.
fn candidates() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = env::var_os("ORT_DYLIB_PATH").map(PathBuf::from).into_iter().collect();
    for packages in python_packages() {
        paths.extend(entries(&packages.join("onnxruntime/capi"), is_library));
    }
    for folder in [
        "/usr/local/lib",
        "/usr/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/opt/onnxruntime/lib",
    ] {
        paths.extend(entries(Path::new(folder), is_library));
    }
    paths
}

/// The folders of packages of the virtual environment, the user and the system.
fn python_packages() -> Vec<PathBuf> {
    let home = env::var_os("HOME").map(PathBuf::from);
    let roots = env::var_os("VIRTUAL_ENV").map(PathBuf::from).into_iter().chain(home.map(|home| home.join(".local")));
    let roots = roots.chain([PathBuf::from("/usr/local"), PathBuf::from("/usr")]);
    let is_python = |name: &str| name.starts_with("python3");
    let versions = roots.flat_map(|root| entries(&root.join("lib"), is_python));
    versions.flat_map(|python| [python.join("site-packages"), python.join("dist-packages")]).collect()
}

fn is_library(name: &str) -> bool {
    name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")
}

/// What lies in `folder` under such a name, the newest version first.
fn entries(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> =
        names.filter(|entry| entry.file_name().to_str().is_some_and(&is_wanted)).map(|entry| entry.path()).collect();
    paths.sort();
    paths.reverse();
    paths
}
