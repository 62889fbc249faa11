//! A store of traces that people use, Phoenix, shows where a frame's time went. It takes hundreds of MB, so it runs in
//! the second tier: `cargo xtask test trace-store`.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use segue_tests::{Server, Viewer, free_port, gradient_jpeg, segue};
use serde_json::{Value, json};

/// A store needs long to start where the disk is slow.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running store; killed when it is dropped.
struct Store {
    process: Child,
    port: u16,
    grpc_port: u16,
}

impl Store {
    fn start(folder: &Path) -> Result<Option<Self>> {
        let Some(program) = std::env::var_os("SEGUE_TRACE_STORE") else {
            eprintln!(
                "SKIPPED: SEGUE_TRACE_STORE names no store of traces; `cargo xtask test trace-store` installs one"
            );
            return Ok(None);
        };
        let (port, grpc_port) = (free_port()?, free_port()?);
        let process = Command::new(program)
            .arg("serve")
            .env("PHOENIX_WORKING_DIR", folder)
            .env("PHOENIX_HOST", "127.0.0.1")
            .env("PHOENIX_PORT", port.to_string())
            .env("PHOENIX_GRPC_PORT", grpc_port.to_string())
            .env("PHOENIX_TELEMETRY_ENABLED", "false")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("the store can't be run")?;
        let mut store = Self { process, port, grpc_port };
        let deadline = Instant::now() + PATIENCE;
        while ureq::get(store.url("/healthz")).call().is_err() {
            if let Some(status) = store.process.try_wait()? {
                bail!("the store ended with {status}");
            }
            ensure!(Instant::now() < deadline, "the store did not start within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(100));
        }
        Ok(Some(store))
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The spans of a trace, once the one that is called `last` is there.
    fn trace(&self, trace_id: &str, last: &str) -> Result<Vec<Value>> {
        let spans = "spans(first: 100) { edges { node { name spanId parentId startTime endTime attributes } } }";
        let trace = format!("trace(traceId: \"{trace_id}\") {{ {spans} }}");
        let query = json!({"query": format!("{{ projects {{ edges {{ node {{ name {trace} }} }} }} }}")});
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = ureq::post(self.url("/graphql")).send_json(&query)?.body_mut().read_to_string()?;
            let answer: Value = serde_json::from_str(&answer)?;
            let edges = answer["data"]["projects"]["edges"][0]["node"]["trace"]["spans"]["edges"].as_array();
            let spans: Vec<_> = edges.into_iter().flatten().map(|edge| edge["node"].clone()).collect();
            if spans.iter().any(|span| span["name"] == last) {
                return Ok(spans);
            }
            ensure!(Instant::now() < deadline, "the store has no {last} of {trace_id}: {answer}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_traces_shows_where_a_frames_time_went() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(store) = Store::start(folder.path())? else { return Ok(()) };
    let grpc = format!("http://127.0.0.1:{}", store.grpc_port);
    for (number, (protocol, endpoint)) in (1..).zip([("http", store.url("")), ("grpc", grpc)]) {
        let mut command = segue(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(["--set", &format!("telemetry.otlp.endpoint={endpoint}")]);
        command.args(["--set", &format!("telemetry.otlp.protocol={protocol}")]);
        let server = Server::start_command(&mut command)?;
        let mut viewer = Viewer::connect(server.address(), number).await?;
        let sent = viewer.watch(&gradient_jpeg(640, 360)?, true).await?;
        let spans = store.trace(&sent.trace_id, "browser.paint")?;
        let names: BTreeSet<_> = spans.iter().filter_map(|span| span["name"].as_str()).collect();
        for name in [
            "frame",
            "browser.capture",
            "browser.encode",
            "browser.send",
            "network.up",
            "segment",
            "server.receive",
            "server.queue",
            "server.decode",
            "plugin",
            "plugin.preprocess",
            "plugin.infer",
            "plugin.postprocess",
            "server.encode",
            "server.send",
            "network.down",
            "browser.decode",
            "browser.paint",
        ] {
            ensure!(names.contains(name), "{protocol}: the store shows no {name}, but {names:?}");
        }
        let ids: BTreeSet<_> = spans.iter().filter_map(|span| span["spanId"].as_str()).collect();
        for span in &spans {
            let parent = span["parentId"].as_str();
            ensure!(parent.map_or(span["name"] == "frame", |parent| ids.contains(parent)), "{span} hangs on nothing");
        }
        let frame = spans.iter().find(|span| span["name"] == "frame").context("no frame")?;
        let attributes: Value = serde_json::from_str(frame["attributes"].as_str().context("no attributes")?)?;
        assert_eq!((&attributes["segue"]["mode"], &attributes["segue"]["kept"]), (&json!("fast"), &json!("asked")));
    }
    Ok(())
}
