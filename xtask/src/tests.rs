//! `cargo xtask test`: install what is needed, then every check and every test, one heading each.

use std::{path::PathBuf, process::Command, time::Instant};

use anyhow::{Context, Result, bail};

use crate::{
    build::{Profile, build},
    command::{is_installed, root, run, tool},
    fuzz::{Shown, fuzz},
    install,
};

/// Which steps run together.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tier {
    /// On every change.
    First,
    /// With `--all`, too.
    Second,
}

/// A heading of a run.
struct Step {
    name: &'static str,
    tier: Tier,
    run: fn() -> Result<()>,
}

impl Step {
    const fn first(name: &'static str, run: fn() -> Result<()>) -> Self {
        Self { name, tier: Tier::First, run }
    }

    const fn second(name: &'static str, run: fn() -> Result<()>) -> Self {
        Self { name, tier: Tier::Second, run }
    }
}

/// In the order in which a fault is told soonest.
const STEPS: [Step; 18] = [
    Step::first("format", format),
    Step::first("typos", || run(&mut tool(install::typos()?))),
    Step::first("clippy", || {
        run(tool("cargo").args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
    }),
    Step::first("docs", docs),
    Step::first("licences", licences),
    Step::first("types", || page_tests(&["npm", "run", "--silent", "types"])),
    Step::first("page", || page_tests(&["npm", "run", "--silent", "unit"])),
    Step::first("rust", rust),
    Step::first("browser", || browser_tests(&mut tool("npm"), "browser")),
    Step::second("firefox", firefox),
    Step::second("browser-long", || browser_tests(&mut tool("npm"), "browser-long")),
    Step::second("prometheus", prometheus),
    Step::second("trace-store", trace_store),
    Step::second("triton", triton),
    Step::second("candle", candle),
    Step::second("dist", dist),
    Step::second("scan", scan),
    Step::second("fuzz", || fuzz(&[], 30, Shown::Summary)),
];

/// Runs the steps that are named; when none is, those of the first tier, and with `all` those of the second, too.
pub(crate) fn run_steps(all: bool, names: &[String]) -> Result<()> {
    let known = STEPS.map(|step| step.name);
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no step {unknown:?}; there are: {}", known.join(", "));
    }
    let is_wanted = |step: &Step| match names {
        [] => all || step.tier == Tier::First,
        names => names.iter().any(|name| name == step.name),
    };
    // Nearly every step compiles the server.
    install::server_build_tools()?;
    let mut times = Vec::new();
    for step in STEPS.into_iter().filter(is_wanted) {
        println!("\n== {} ==", step.name);
        let start = Instant::now();
        (step.run)()?;
        times.push(format!("{} {} s", step.name, start.elapsed().as_secs()));
    }
    println!("\nEverything passed: {}", times.join(", "));
    Ok(())
}

/// The fuzz targets are a workspace of their own.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "fuzz/Cargo.toml"];

fn format() -> Result<()> {
    MANIFESTS
        .iter()
        .try_for_each(|manifest| run(tool("cargo").args(["fmt", "--all", "--check", "--manifest-path", manifest])))
}

fn docs() -> Result<()> {
    run(tool("cargo").env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--workspace", "--no-deps", "--quiet"]))
}

fn licences() -> Result<()> {
    let cargo_deny = install::cargo_deny()?;
    MANIFESTS.iter().try_for_each(|manifest| {
        run(tool(&cargo_deny)
            .args(["--log-level", "error", "--manifest-path", manifest])
            .args(["check", "bans", "licenses", "sources"]))
    })
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

/// `SEGUE_TEST_DATA` is named from here; tests run elsewhere. With them run the collector and the example in Python, where
/// they can.
fn with_surroundings(command: &mut Command) -> Result<&mut Command> {
    if let Some(python) = install::example_python() {
        command.env("SEGUE_PYTHON", python);
    }
    if let Some(python) = install::model_python() {
        command.env("SEGUE_MODEL_PYTHON", python);
    }
    if let Some(python) = install::triton_python() {
        command.env("SEGUE_TRITON_PYTHON", python);
    }
    if let Some(collector) = install::collector() {
        command.env("SEGUE_COLLECTOR", collector);
    }
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
    run(with_surroundings(&mut tool("cargo"))?
        .args(["nextest", "run", "--workspace", "--no-fail-fast"])
        .env("SEGUE_BIN", program)
        .env("SEGUE_REQUIRE_WEIGHTS", "1"))
}

/// What an operator watches the server with: the rules by themselves, and then a real Prometheus beside a real server.
fn prometheus() -> Result<()> {
    install::prometheus()?;
    install::nextest()?;
    let watching = root().join("examples/observability");
    for check in
        [["check", "config", "prometheus.yml"], ["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]]
    {
        run(tool("promtool").args(check).current_dir(&watching))?;
    }
    let program = program()?;
    run(tool("cargo")
        .args(["nextest", "run", "--package", "segue-tests", "--test", "prometheus", "--run-ignored", "only"])
        .env("SEGUE_BIN", program))
}

/// Traces go to a store that people use, and are looked up in it.
fn trace_store() -> Result<()> {
    install::nextest()?;
    let (program, store) = (program()?, install::trace_store()?);
    run(tool("cargo")
        .args(["nextest", "run", "--package", "segue-tests", "--test", "trace_store"])
        .env("SEGUE_BIN", program)
        .env("SEGUE_TRACE_STORE", store)
        .env("SEGUE_REQUIRE_WEIGHTS", "1"))
}

/// Real Triton servers behind the server.
fn triton() -> Result<()> {
    install::nextest()?;
    let (program, triton) = (program()?, install::triton()?);
    let mut cargo = tool("cargo");
    let tests = with_surroundings(&mut cargo)?;
    run(tests
        .args(["nextest", "run", "--package", "segue-tests", "--test", "triton", "--run-ignored", "only"])
        .env("SEGUE_BIN", program)
        .env("SEGUE_TRITON", triton))
}

/// The networks on candle's tensors, which take a while to build: what runs on a GPU, on the processor.
fn candle() -> Result<()> {
    const NETWORKS: [&str; 4] = ["segue-nn", "segue-deeplab", "segue-segformer", "segue-mask2former"];
    let packages = NETWORKS.iter().flat_map(|name| ["--package", name]);
    run(tool("cargo").arg("test").args(packages).args([
        "--features",
        "candle",
        "--test",
        "engines_agree",
        "--test",
        "on_candle",
    ]))
}

/// What operators install: the archive on a clean Debian, under a systemd that runs there; and how containers are described.
fn dist() -> Result<()> {
    let judges = install::manifest_judges()?;
    run(tool(judges.join("hadolint")).arg("Dockerfile"))?;
    run(tool(judges.join("kubernetes-validate")).arg("examples/kubernetes/segue.yaml"))?;
    if !install::is_root() {
        eprintln!("SKIPPED: the archive on a clean Debian: only root can make one");
        return Ok(());
    }
    install::nextest()?;
    let (archive, debian) = (crate::dist::archive()?, install::debian()?);
    run(tool("cargo")
        .args(["nextest", "run", "--package", "segue-tests", "--test", "dist", "--run-ignored", "only"])
        .env("SEGUE_DIST", archive)
        .env("SEGUE_DEBIAN", debian))
}

/// A scanner from outside goes over all that the server says it serves.
fn scan() -> Result<()> {
    install::nextest()?;
    let (program, scanner) = (program()?, install::scanner()?);
    run(tool("cargo")
        .args(["nextest", "run", "--package", "segue-tests", "--test", "scan", "--run-ignored", "all"])
        .env("SEGUE_BIN", program)
        .env("SEGUE_SCHEMATHESIS", scanner))
}

/// The page in Firefox, which paints with WebGL only where it has a display.
fn firefox() -> Result<()> {
    install::firefox()?;
    browser_tests(tool("xvfb-run").args(["--auto-servernum", "npm"]), "firefox")
}

/// The page's tests in a real browser, by a script of `tests/package.json` that `npm` runs.
fn browser_tests(npm: &mut Command, script: &str) -> Result<()> {
    if !is_installed("node") {
        bail!("Node.js is not installed: the page's tests need it, version 20 or newer");
    }
    install::debian_packages()?;
    let program = program()?;
    install::node_modules()?;
    run(with_surroundings(npm)?
        .args(["run", "--silent", script])
        .env("SEGUE_BIN", program)
        .current_dir(root().join("tests")))
}
