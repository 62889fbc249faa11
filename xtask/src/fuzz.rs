//! `cargo xtask fuzz`: libFuzzer, with the coverage that a stable compiler can count.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::command::{is_installed, output, root, run, tool};

#[path = "../../fuzz/profile/seeds.rs"]
mod profile;

/// What `cargo fuzz --sanitizer none` builds with, too. No sanitizer works with a stable compiler.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-sanitizer-coverage-stack-depth";

/// A file of `fuzz/fuzz_targets`.
struct Target {
    name: &'static str,
    largest_len_bytes: u32,
    /// Where it begins: inputs by name.
    seeds: fn() -> io::Result<Seeds>,
}

type Seeds = Vec<(String, Vec<u8>)>;

const TARGETS: [Target; 7] = [
    Target { name: "profile", largest_len_bytes: 16 << 10, seeds: profiles },
    Target { name: "catalog", largest_len_bytes: 8 << 10, seeds: || files_of("models") },
    Target { name: "legacy", largest_len_bytes: 4 << 10, seeds: || files_of("fuzz/seeds/legacy") },
    Target { name: "wire", largest_len_bytes: 1 << 10, seeds: || files_of("fuzz/seeds/wire") },
    Target { name: "picture", largest_len_bytes: 4 << 10, seeds: || files_of("fuzz/seeds/picture") },
    Target { name: "tflite", largest_len_bytes: 4 << 10, seeds: || files_of("fuzz/seeds/tflite") },
    Target { name: "weights", largest_len_bytes: 8 << 10, seeds: checkpoints },
];

fn profiles() -> io::Result<Seeds> {
    let texts = profile::seeds(&root().join("profiles"))?;
    Ok(texts.into_iter().map(|(name, text)| (name, text.into_bytes())).collect())
}

/// Those that the reader's own tests read, and a file of the other format.
fn checkpoints() -> io::Result<Seeds> {
    let mut seeds = files_of("plugins/nn/tests/weights/checkpoints")?;
    seeds.extend(files_of("fuzz/seeds/weights")?);
    Ok(seeds)
}

/// The files of a folder.
fn files_of(folder: &str) -> io::Result<Seeds> {
    let entries = fs::read_dir(root().join(folder))?.collect::<io::Result<Vec<_>>>()?;
    let mut seeds = Vec::new();
    for path in entries.iter().map(fs::DirEntry::path).filter(|path| path.is_file()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        seeds.push((name, fs::read(path)?));
    }
    seeds.sort();
    Ok(seeds)
}

/// What is shown of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown {
    /// Each input that reaches new code.
    Progress,
    /// Figures at the end.
    Summary,
}

/// Runs the targets that are named, or all, for `seconds` each, until one of them finds a fault.
pub(crate) fn fuzz(names: &[String], seconds: u64, shown: Shown) -> Result<()> {
    for target in chosen(names)? {
        let program = build(target.name)?;
        println!("Fuzzing {} for {seconds} s", target.name);
        target.run(&program, seconds, shown)?;
    }
    Ok(())
}

/// Runs only this `input`.
pub(crate) fn reproduce(names: &[String], input: &Path) -> Result<()> {
    let targets = chosen(names)?;
    let [target] = &targets[..] else { bail!("name the one target that {} is an input of", input.display()) };
    // The program runs in the root, the caller may be elsewhere.
    let input = fs::canonicalize(input).with_context(|| format!("can't read {}", input.display()))?;
    run(program(&build(target.name)?).arg(input))
}

fn chosen(names: &[String]) -> Result<Vec<&'static Target>> {
    let known = TARGETS.map(|target| target.name);
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no target {unknown:?}; there are: {}", known.join(", "));
    }
    Ok(TARGETS.iter().filter(|target| names.is_empty() || names.iter().any(|name| name == target.name)).collect())
}

/// Builds a target with all that it stands on; its program.
fn build(target: &str) -> Result<PathBuf> {
    if std::env::var_os("CXX").is_none_or(|compiler| compiler.is_empty()) && !is_installed("c++") {
        bail!("there is no C++ compiler, which libFuzzer is built with: install g++, or name another in CXX");
    }
    let host = output(tool("rustc").args(["--print", "host-tuple"]))?;
    let folder = folder();
    // With a target named, even if it is the host, build scripts and macros are left as they are.
    run(tool("cargo")
        .args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--bin", target, "--target", host.trim()])
        .arg("--target-dir")
        .arg(&folder)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", FLAGS))?;
    Ok(folder.join(host.trim()).join("release").join(target))
}

/// What is built, and what fuzzing finds.
fn folder() -> PathBuf {
    root().join("target/fuzz")
}

/// Settings of the caller's own would be a part of every input.
fn program(path: &Path) -> Command {
    let mut command = tool(path);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SEGUE_")) {
        command.env_remove(name);
    }
    command
}

impl Target {
    fn run(&self, path: &Path, seconds: u64, shown: Shown) -> Result<()> {
        let corpus = folder().join("corpus").join(self.name);
        let crashes = folder().join("artifacts").join(self.name);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&crashes)?;
        let seeds = (self.seeds)()?;
        for (name, input) in &seeds {
            fs::write(corpus.join(format!("seed-{name}")), input)?;
        }
        let words = dictionary(seeds.iter().filter_map(|(_, input)| str::from_utf8(input).ok()));
        let dict = folder().join(format!("{}.dict", self.name));
        fs::write(&dict, &words)?;
        let before = files(&crashes)?;
        let outcome = run(program(path)
            .arg(&corpus)
            // One without words is an error.
            .args((!words.is_empty()).then(|| format!("-dict={}", dict.display())))
            .arg(format!("-artifact_prefix={}/", crashes.display()))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={}", self.largest_len_bytes))
            .arg(format!("-verbosity={}", i32::from(matches!(shown, Shown::Progress))))
            // Smaller inputs for what is known already would pile up from run to run.
            .arg("-reduce_inputs=0")
            .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]));
        for name in files(&crashes)?.difference(&before) {
            let input = crashes.join(name);
            eprintln!("\nThis input found a fault: {}", input.display());
            eprintln!("To run it again: cargo xtask fuzz {} --input {}", self.name, input.display());
        }
        outcome
    }
}

fn files(folder: &Path) -> Result<BTreeSet<OsString>> {
    Ok(fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?)
}

/// The words of the `texts`, for libFuzzer to put elsewhere.
fn dictionary<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    let words: BTreeSet<_> = texts.flat_map(|text| text.split(|letter| !is_part(letter))).collect();
    words.into_iter().filter(|word| (2..40).contains(&word.len())).map(|word| format!("\"{word}\"\n")).collect()
}
