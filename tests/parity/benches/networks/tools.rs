//! What peers need, made once under the target folder: Python packages, graphs, and a library that hides instructions.

use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use segue_nn::Level;

use crate::case::{Case, Family, Model};
use crate::ours::{planes, selfie_file};
use crate::peer::{Engine, Peer};
use crate::{On, Precision};

/// The Python of the virtual environment, and what is loaded into its processes before all else.
pub(crate) struct Tools {
    python: PathBuf,
    preload: Option<PathBuf>,
}

/// A network's graph as it was exported, and with a head folded as ours is.
pub(crate) struct Graphs {
    pub(crate) plain: PathBuf,
    pub(crate) folded: Option<PathBuf>,
}

fn parity() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn here(file: &str) -> PathBuf {
    parity().join("benches/networks").join(file)
}

fn selfie_reference(file: &str) -> PathBuf {
    parity().join("../../plugins/selfie/reference").join(file)
}

fn folder(name: &str) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| parity().join("../../target"), PathBuf::from);
    let folder = target.join("networks-bench").join(name);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder.canonicalize()?)
}

fn check(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?} did not start"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// A number that is another when one of the `files` or the `word` is.
fn hash_of(files: &[PathBuf], word: &str) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    word.hash(&mut hasher);
    for file in files {
        fs::read(file).with_context(|| file.display().to_string())?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

impl Tools {
    /// Makes the virtual environment, unless it is there or a Python is given.
    pub(crate) fn prepare(engines: &[Engine], level: Level, python: Option<&Path>) -> Result<Self> {
        ensure!(!engines.is_empty(), "no peer is asked for");
        let preload = (level != Level::best()).then(|| instructions_hidden_below(level)).transpose()?;
        Ok(Self { python: python.map_or_else(venv, |python| Ok(python.to_owned()))?, preload })
    }

    /// PyTorch with a network, on the device where ours is.
    pub(crate) fn start_torch(
        &self,
        engine: Engine,
        precision: Precision,
        case: &Case,
        (threads, on, batch): (usize, On, usize),
    ) -> Result<Peer> {
        let Model::Formula(_, architecture) = case.model else { bail!("{} has no PyTorch network", case.name) };
        let mut command = self.peer(engine, architecture.as_ref(), case)?;
        let [height, width] = case.size;
        command.arg(threads.to_string()).arg(precision.name()).arg(if on == On::Cuda { "cuda" } else { "cpu" });
        command.args([batch, height, width].map(|number| number.to_string()));
        Peer::start(engine, command, folder("exchange")?.join("output.f32"))
    }

    /// The graphs of a network, exported unless they are there.
    pub(crate) fn graphs(&self, case: &Case) -> Result<Graphs> {
        match case.model {
            Model::Selfie(file) => Ok(Graphs { plain: self.selfie_graph(file)?, folded: None }),
            Model::Formula(Family::SegFormer, architecture) => Ok(Graphs {
                plain: self.graph(case, architecture, None)?,
                folded: Some(self.graph(case, architecture, Some("folded"))?),
            }),
            Model::Formula(_, architecture) => {
                Ok(Graphs { plain: self.graph(case, architecture, None)?, folded: None })
            }
        }
    }

    fn graph(&self, case: &Case, architecture: &str, variant: Option<&str>) -> Result<PathBuf> {
        let [height, width] = case.size.map(|size| size.to_string());
        let keys = format!("keys/{}.txt", architecture.split("_os").next().unwrap_or(architecture));
        let sources = ["architectures.py", "formula.py", "make_reference.py", &keys].map(|file| parity().join(file));
        let sources = [&sources[..], &[here("export.py"), here("requirements.txt")]].concat();
        let name =
            format!("{architecture}-{height}x{width}{}", variant.map_or(String::new(), |name| format!("-{name}")));
        let graph = folder("graphs")?.join(format!("{name}-{}.onnx", hash_of(&sources, &name)?));
        if !graph.exists() {
            eprintln!("  exporting {name} (once; takes a minute or so)");
            let mut command = Command::new(&self.python);
            command.args(["-W", "ignore"]).arg(here("export.py")).args([architecture, &height, &width]).arg(&graph);
            check(command.args(variant.map(|variant| format!("--{variant}"))))?;
        }
        Ok(graph)
    }

    fn selfie_graph(&self, file: &str) -> Result<PathBuf> {
        let (script, network) = (selfie_reference("to_onnx.py"), selfie_file(file));
        let sources = [script.clone(), selfie_reference("tflite_patch.py"), network.clone()];
        let graph = folder("graphs")?.join(format!("{file}-{}.onnx", hash_of(&sources, file)?));
        if !graph.exists() {
            check(Command::new(&self.python).arg(script).arg(network).arg(&graph))?;
        }
        Ok(graph)
    }

    /// A peer that has loaded `graph` and the input.
    pub(crate) fn start(
        &self,
        engine: Engine,
        precision: Precision,
        graph: &Path,
        case: &Case,
        threads: usize,
    ) -> Result<Peer> {
        let mut command = self.peer(engine, graph.as_os_str(), case)?;
        command.arg(threads.to_string()).arg(precision.name());
        command.envs(self.preload.iter().map(|library| ("LD_PRELOAD", library)));
        Peer::start(engine, command, folder("exchange")?.join("output.f32"))
    }

    /// `peer.py` with an engine, what it runs, and its input.
    fn peer(&self, engine: Engine, network: &OsStr, case: &Case) -> Result<Command> {
        let input = folder("exchange")?.join("input.f32");
        let bytes: Vec<u8> = planes(&case.pixels(), 3).into_iter().flat_map(f32::to_le_bytes).collect();
        fs::write(&input, bytes)?;
        let mut command = Command::new(&self.python);
        command.args(["-W", "ignore"]).arg(here("peer.py")).arg(engine.name()).arg(network).arg(input);
        Ok(command)
    }
}

/// Python with the packages; they are installed again when their list is another.
fn venv() -> Result<PathBuf> {
    let made_of = [here("requirements.txt"), here("stand_ins.py")];
    let venv = folder("venv")?;
    let (python, mark) = (venv.join("bin/python"), venv.join("made-of"));
    let hash = hash_of(&made_of, "venv")?;
    if fs::read_to_string(&mark).is_ok_and(|made| made == hash) {
        return Ok(python);
    }
    eprintln!("Installing the peers into {} (once; 1 GB to fetch)", venv.display());
    check(Command::new("python3.11").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let requirements = &made_of[0];
    check(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--no-deps", "-r"]).arg(requirements))?;
    check(Command::new(&python).arg(&made_of[1]))?;
    fs::write(mark, hash)?;
    Ok(python)
}

/// A library that hides what this CPU has beyond AVX2 from whoever asks for it.
fn instructions_hidden_below(level: Level) -> Result<PathBuf> {
    ensure!(level.name() == "avx2", "peers can be kept to AVX2, and not to {}", level.name());
    let source = here("hide.c");
    let library = folder("libraries")?.join(format!("hide-{}.so", hash_of(std::slice::from_ref(&source), "")?));
    if !library.exists() {
        check(
            Command::new("cc").args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library).arg(source),
        )?;
    }
    check(Command::new("true").env("LD_PRELOAD", &library))?;
    Ok(library)
}
