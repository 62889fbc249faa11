//! Real Triton servers behind a real Segue: its masks, its spans in the frame's trace, and what it costs when one of two is killed.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use segue_tests::{Client, Collector, Event, Lab, Server, built, free_port, jpeg};
use serde_json::json;

const CONFIG: &str = r#"
name: "bright"
backend: "python"
max_batch_size: 0
input [{ name: "image", data_type: TYPE_UINT8, dims: [1, -1, -1, 3] }]
output [{ name: "mask", data_type: TYPE_UINT8, dims: [1, -1, -1] }]
instance_group [{ count: 2, kind: KIND_CPU }]
"#;

const MODEL: &str = r#"
import numpy as np
import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            frame = triton.get_input_tensor_by_name(request, "image").as_numpy()
            mask = (frame.mean(axis=3) > 128).astype(np.uint8)
            answers.append(triton.InferenceResponse([triton.Tensor("mask", mask)]))
        return answers
"#;

/// Triton with one model, `bright`; killed when it is dropped.
struct Triton(Child);

impl Triton {
    /// Starts one in the environment `installed`, with the models in `repository`, which sends its spans to `collector`.
    fn start(installed: &Path, repository: &Path, port: u16, collector: Option<&Collector>) -> Result<Self> {
        let python = installed.join("bin/python");
        let asked = "import sysconfig; print(sysconfig.get_path('purelib'), sysconfig.get_config_var('LIBDIR'))";
        let told = String::from_utf8(Command::new(&python).args(["-c", asked]).output()?.stdout)?;
        let (packages, libraries) = told.trim().split_once(' ').context("no folders")?;
        let triton = Path::new(packages).join("pytriton/tritonserver");
        // It is shipped for several Pythons; one of them is this.
        let stub = triton.join("backends/python/triton_python_backend_stub");
        if !stub.exists() {
            fs::copy(triton.join("python_backend_stubs/3.11/triton_python_backend_stub"), &stub)?;
        }
        let path = format!("{}:{}", installed.join("bin").display(), env::var("PATH")?);
        let mut command = Command::new(triton.join("bin/tritonserver"));
        command
            .arg(format!("--model-repository={}", repository.display()))
            .arg(format!("--backend-directory={}", triton.join("backends").display()))
            .args(["--allow-http=false", "--allow-metrics=false", "--grpc-address=127.0.0.1"])
            .arg(format!("--grpc-port={port}"))
            .env("LD_LIBRARY_PATH", libraries)
            .env("PYTHONPATH", packages)
            .env("PATH", path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(collector) = collector {
            let url = format!("opentelemetry,url={}/v1/traces", collector.http());
            let settings = ["mode=opentelemetry", "rate=1", "level=TIMESTAMPS", &url];
            command.args(settings.iter().flat_map(|setting| ["--trace-config", setting]));
        }
        let mut this = Self(command.spawn().context("Triton can't be run")?);
        let mut lines = BufReader::new(this.0.stderr.take().context("no stderr")?).lines().map_while(Result::ok);
        let mut said = Vec::new();
        for line in lines.by_ref() {
            if line.contains("Started GRPCInferenceService") {
                thread::spawn(move || lines.for_each(drop));
                return Ok(this);
            }
            said.push(line);
        }
        bail!("Triton ended: {}", said.join("\n"))
    }
}

impl Drop for Triton {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where Triton is installed. Says loudly what is skipped without it.
fn installed() -> Option<PathBuf> {
    let folder = env::var_os("SEGUE_TRITON").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SKIPPED: Triton: SEGUE_TRITON names no environment with nvidia-pytriton");
    }
    folder
}

fn repository() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    fs::create_dir_all(folder.path().join("bright/1"))?;
    fs::write(folder.path().join("bright/config.pbtxt"), CONFIG)?;
    fs::write(folder.path().join("bright/1/model.py"), MODEL)?;
    Ok(folder)
}

fn lab(ports: &[u16]) -> Result<Lab> {
    let lab = Lab::beside_the_default("[modes.far]\nmodel = \"far\"\ninstances = 2\nisolation = \"in-process\"")?;
    lab.add_plugin(&built("plugins/libkserve.so")?, "libkserve.so")?;
    let endpoints: Vec<_> = ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
    let class = |name: &str| format!("[[classes]]\nlabel = \"{name}\"\ncolour = [9, 9, 9]\n");
    let settings = format!("endpoints = {endpoints:?}\nmodel = \"bright\"\nhealth_interval_millis = 100");
    lab.model("far", "kserve", &format!("{}{}[settings]\n{settings}", class("dark"), class("bright")))?;
    Ok(lab)
}

async fn client(server: &Server) -> Result<Client> {
    let mut client = Client::connect(server.address()).await?;
    client.text(json!({"type": "mode", "mode": "far"})).await?;
    client.mode_is_ready().await?;
    Ok(client)
}

/// Dark at the left, bright at the right.
fn picture() -> Result<Vec<u8>> {
    jpeg(96, 64, |x, _| if x < 48 { [20; 3] } else { [230; 3] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it needs Triton: cargo xtask test triton"]
async fn one_trace_holds_the_spans_of_the_browser_of_segue_and_of_triton() -> Result<()> {
    let Some(installed) = installed() else { return Ok(()) };
    let Some(collector) = Collector::start()? else { return Ok(()) };
    let (repository, port) = (repository()?, free_port()?);
    let _triton = Triton::start(&installed, repository.path(), port, Some(&collector))?;
    let lab = lab(&[port])?;
    let server = lab.serve_with(&["--set", &format!("telemetry.otlp.endpoint={}", collector.http())])?;
    let mut client = client(&server).await?;
    let trace_id = [0x5E; 16];
    let mask = client.painted(1, &picture()?, trace_id).await?;
    let row = &mask.labels[32 * 96..33 * 96];
    ensure!(row[..44].iter().all(|&label| label == 0) && row[52..].iter().all(|&label| label == 1), "{row:?}");
    let trace_id = hex::encode(trace_id);
    let of_this = collector.wait_for("spans of the page, of Segue and of Triton", |spans| {
        let all: Vec<_> = spans.iter().filter(|span| span.trace_id == trace_id).cloned().collect();
        let has = |name: &str| all.iter().any(|span| span.name == name);
        (has("browser.paint") && has("plugin") && has("InferRequest")).then_some(all)
    })?;
    let named = |name: &str| of_this.iter().find(|span| span.name == name).context("no such span");
    let (ours, theirs) = (named("plugin")?, named("InferRequest")?);
    ensure!(theirs.parent_id == ours.id, "Triton's span is a child of {:?}: {theirs:?}", ours.name);
    Ok(())
}

#[tokio::test]
#[ignore = "it needs Triton: cargo xtask test triton"]
async fn one_of_two_tritons_is_killed_under_load_and_comes_back() -> Result<()> {
    let Some(installed) = installed() else { return Ok(()) };
    let (repository, ports) = (repository()?, [free_port()?, free_port()?]);
    let start = |port| Triton::start(&installed, repository.path(), port, None);
    let (mut first, _second) = (Some(start(ports[0])?), start(ports[1])?);
    let lab = lab(&ports)?;
    let server = lab.serve()?;
    let (mut one, mut other) = (client(&server).await?, client(&server).await?);
    let picture = picture()?;
    let (mut answered, mut lost) = (0, 0);
    for number in 1..=600 {
        one.frame(number, &picture).await?;
        other.frame(number, &picture).await?;
        if number == 200 {
            // With two frames on their way.
            first = None;
        }
        for client in [&mut one, &mut other] {
            match client.answer().await? {
                Event::Result(_) => answered += 1,
                _ => lost += 1,
            }
        }
    }
    ensure!(first.is_none() && lost <= 2 && answered + lost == 1200, "{answered} answered, {lost} lost");
    let _first = start(ports[0])?;
    server.log_until("gets frames again")?;
    one.frame(601, &picture).await?;
    one.result().await?;
    println!("{answered} answered, {lost} lost");
    Ok(())
}
