//! What a worker process adds to a call, beside the same plugin in this process, in one run; and what a worker in Python adds to
//! a function, beside calling that function in Python.
//!
//! `cargo xtask bench isolation` builds what it needs. The calls alternate, so that whatever else the machine does
//! falls on both alike; the plugin does next to nothing, so that the rest shows.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use segue::{
    copies::Copies,
    plugin_host::{
        Build, FrameCall, Instance, ModelSpec, PluginFile, RunningCall, WeightsFile, WorkerLimits, run_worker,
    },
};
use serde_json::json;

const CALLS: usize = 20_000;
const WARM_UP: usize = 2_000;
const SIZE_PX: (u32, u32) = (640, 360);

/// Most that a worker may add, in microseconds.
const MOST_P50: f64 = 50.0;
const MOST_P99: f64 = 150.0;
/// Most that a worker in Python may add to the function that it calls.
const MOST_PYTHON_P50: f64 = 150.0;
const PYTHON_ROUNDS: usize = 3;
const PYTHON_CALLS: usize = 4_000;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    // A worker is this program again.
    let result = match arguments.get(1).map(String::as_str) {
        Some("worker") => run_worker(),
        _ => compare(arguments.iter().any(|argument| argument == "--json")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("isolation: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(is_json: bool) -> Result<(), Failure> {
    let path = plugin()?;
    let file = PluginFile::read(&path)
        .map_err(|error| format!("{}: {error}; `cargo xtask bench isolation` builds it", path.display()))?;
    let folder = tempfile::tempdir()?;
    let copies = Copies::new(folder.path());
    let limits = WorkerLimits { timeout_millis: 10_000, load_timeout_millis: 10_000, memory_len_bytes: 1 << 30 };
    let mut here = Instance::create(&Build::of(&file, &copies, None)?, &model(), &|| true)?;
    let mut there = Instance::create(&Build::of(&file, &copies, Some(limits))?, &model(), &|| true)?;
    let (mut micros_here, mut micros_there) = (Vec::with_capacity(CALLS), Vec::with_capacity(CALLS));
    for number in 0..WARM_UP + CALLS {
        let (one, other) = (call(&mut here)?, call(&mut there)?);
        if number >= WARM_UP {
            micros_here.push(one);
            micros_there.push(other);
        }
    }
    let [here_p50, here_p99] = quantiles(&mut micros_here);
    let [there_p50, there_p99] = quantiles(&mut micros_there);
    let (added_p50, added_p99) = (there_p50 - here_p50, there_p99 - here_p99);
    let python =
        std::env::var_os("SEGUE_MODEL_PYTHON").map(|python| InPython::measure(Path::new(&python))).transpose()?;
    if python.is_none() {
        eprintln!("SKIPPED: a worker in Python: SEGUE_MODEL_PYTHON names no Python with numpy");
    }
    if is_json {
        let figures = json!({
            "in_process_micros": {"p50": here_p50, "p99": here_p99},
            "process_micros": {"p50": there_p50, "p99": there_p99},
            "added_micros": {"p50": added_p50, "p99": added_p99},
            "python": python.as_ref().map(InPython::figures),
        });
        println!("{figures}");
    } else {
        println!("{CALLS} calls each, 640x360 RGB in, a mask of the same size out, microseconds");
        println!("in process      p50 {here_p50:7.1}   p99 {here_p99:7.1}");
        println!("worker process  p50 {there_p50:7.1}   p99 {there_p99:7.1}");
        println!("added           p50 {added_p50:7.1}   p99 {added_p99:7.1}");
        if let Some(InPython { direct: [direct_p50, direct_p99], served: [served_p50, served_p99] }) = python {
            println!("called in Python p50 {direct_p50:6.1}   p99 {direct_p99:7.1}");
            println!("Python worker   p50 {served_p50:7.1}   p99 {served_p99:7.1}");
            println!("added           p50 {:7.1}   p99 {:7.1}", served_p50 - direct_p50, served_p99 - direct_p99);
        }
    }
    if python.is_some_and(|python| python.served[0] - python.direct[0] > MOST_PYTHON_P50) {
        return Err(format!("expected at most {MOST_PYTHON_P50} added to Python at p50").into());
    }
    if added_p50 > MOST_P50 || added_p99 > MOST_P99 {
        return Err(format!("expected at most {MOST_P50} added at p50, and {MOST_P99} at p99").into());
    }
    Ok(())
}

/// A model that does next to nothing; as a program it times its own calls, each with new pixels.
const MODEL: &str = r#"
import sys, time
import numpy as np

class Model:
    labels = ["background", "bright"]

    def load(self):
        self.mask = np.zeros((360, 640), np.uint8)

    def segment(self, frame):
        self.mask[0, 0] = frame[0, 0, 1] > 128
        return self.mask

if __name__ == "__main__":
    model, frame = Model(), np.zeros((360, 640, 3), np.uint8)
    model.load()
    for number in range(int(sys.argv[1])):
        frame.fill(number % 256)
        start = time.perf_counter_ns()
        model.segment(frame)
        print(time.perf_counter_ns() - start)
"#;

/// A function in Python, called there and by the server by turns: p50 and p99 in microseconds.
#[derive(Clone, Copy)]
struct InPython {
    direct: [f64; 2],
    served: [f64; 2],
}

impl InPython {
    fn measure(python: &Path) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let source = folder.path().join("model.py");
        std::fs::write(&source, MODEL)?;
        let plugin = plugin()?.with_file_name("plugins").join("python.pyz");
        let file = PluginFile::read(&plugin).map_err(|error| format!("{}: {error}", plugin.display()))?;
        let limits = WorkerLimits { timeout_millis: 10_000, load_timeout_millis: 10_000, memory_len_bytes: 1 << 30 };
        let build = Build::of(&file, &Copies::new(folder.path().join("copies")), Some(limits))?;
        let sha256 = segue::file::sha256(&source)?;
        let weights = WeightsFile { path: source.clone(), original: source.clone(), sha256 };
        let interpreter = python.to_string_lossy().into_owned();
        let spec = ModelSpec { weights: Some(weights), interpreter, ..model() };
        let mut instance = Instance::create(&build, &spec, &|| true)?;
        let (mut direct, mut served) = (Vec::new(), Vec::new());
        for _ in 0..PYTHON_ROUNDS {
            let output = Command::new(python).arg(&source).arg((WARM_UP + PYTHON_CALLS).to_string()).output()?;
            let nanos = String::from_utf8(output.stdout)?;
            let nanos = nanos.lines().skip(WARM_UP).map(str::parse::<f64>).collect::<Result<Vec<_>, _>>()?;
            direct.extend(nanos.iter().map(|nanos| nanos / 1e3));
            for number in 0..WARM_UP + PYTHON_CALLS {
                let micros = call(&mut instance)?;
                if number >= WARM_UP {
                    served.push(micros);
                }
            }
        }
        Ok(Self { direct: quantiles(&mut direct), served: quantiles(&mut served) })
    }

    fn figures(&self) -> serde_json::Value {
        let Self { direct, served } = self;
        json!({
            "direct_micros": {"p50": direct[0], "p99": direct[1]},
            "served_micros": {"p50": served[0], "p99": served[1]},
            "added_micros": {"p50": served[0] - direct[0], "p99": served[1] - direct[1]},
        })
    }
}

/// One call, as the pipeline makes it: the frame is written to where the backend reads it. Microseconds.
fn call(instance: &mut Instance) -> Result<f64, Failure> {
    let (width_px, height_px) = SIZE_PX;
    let call =
        FrameCall { width_px, height_px, mask_width_px: width_px, mask_height_px: height_px, ..FrameCall::default() };
    let start = Instant::now();
    instance.frame_room(3 * width_px as usize * height_px as usize)?.fill(start.elapsed().subsec_nanos() as u8);
    instance.infer(&call, &RunningCall::default())?;
    std::hint::black_box(instance.labels());
    Ok(1e6 * start.elapsed().as_secs_f64())
}

fn quantiles(micros: &mut [f64]) -> [f64; 2] {
    micros.sort_by(f64::total_cmp);
    [0.5, 0.99].map(|share| micros[(micros.len() as f64 * share) as usize])
}

fn model() -> ModelSpec {
    let (name, settings_json) = ("none".to_owned(), "{}".to_owned());
    ModelSpec { name, weights: None, classes: Vec::new(), settings_json, max_threads: 1, interpreter: String::new() }
}

/// The plugin, in the folder of the build that this program lies in.
fn plugin() -> Result<PathBuf, Failure> {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    let program = std::env::current_exe()?;
    let built = program.ancestors().nth(2).ok_or("this program lies in no build")?;
    Ok(built.join(format!("{DLL_PREFIX}misbehaving{DLL_SUFFIX}")))
}
