//! A real Prometheus beside a real server: `examples/observability` as an operator uses it. `cargo xtask test prometheus`
//! installs what it needs.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use segue_tests::{Client, Profiles, Server, gradient_jpeg};
use serde_json::Value;
use tempfile::TempDir;

/// How long Prometheus may take for anything.
const PATIENCE: Duration = Duration::from_secs(90);

fn examples() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/observability"))
}

/// Prometheus, as `prometheus.yml` says but oftener, with `server` as its target; ended when it is dropped.
struct Prometheus {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Prometheus {
    fn start(server: &Server) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut config = fs::read_to_string(examples().join("prometheus.yml"))?;
        for (shipped, here) in [("127.0.0.1:8080", server.address()), ("_interval: 5s", "_interval: 1s")] {
            ensure!(config.contains(shipped), "no {shipped} in prometheus.yml");
            config = config.replace(shipped, here);
        }
        fs::write(folder.path().join("prometheus.yml"), config)?;
        fs::copy(examples().join("alerts.yml"), folder.path().join("alerts.yml"))?;
        let address = free_address()?;
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--enable-feature=exemplar-storage", "--log.level=warn"])
            .stdin(Stdio::null())
            .spawn()
            .context("prometheus can't be run; `cargo xtask test prometheus` installs it")?;
        let prometheus = Self { child, address, _folder: folder };
        let start = Instant::now();
        while ureq::get(prometheus.url("/-/ready")).call().is_err() {
            ensure!(start.elapsed() < PATIENCE, "Prometheus does not start");
            std::thread::yield_now();
        }
        Ok(prometheus)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it answers at `path` to these fields of a form.
    fn ask(&self, path: &str, form: &[(&str, &str)]) -> Result<Value> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = match form {
            [] => agent.get(self.url(path)).call()?,
            form => agent.post(self.url(path)).send_form(form.iter().copied())?,
        };
        let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
        ensure!(answer["status"] == "success", "{path} {form:?}: {answer}");
        Ok(answer["data"].clone())
    }

    /// Whether the query finds a number. A query that is wrong is an error.
    fn finds(&self, query: &str) -> Result<bool> {
        let found = self.ask("/api/v1/query", &[("query", query)])?;
        let is_number = |sample: &Value| sample["value"][1].as_str().is_some_and(|value| value != "NaN");
        Ok(found["result"].as_array().into_iter().flatten().any(is_number))
    }

    /// All rules that it loaded.
    fn rules(&self) -> Result<Vec<Value>> {
        let groups = self.ask("/api/v1/rules", &[])?["groups"].as_array().cloned().unwrap_or_default();
        Ok(groups.iter().filter_map(|group| group["rules"].as_array()).flatten().cloned().collect())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// The queries of each panel of the dashboard, and those of its variables, as Grafana asks them.
fn dashboard() -> Result<Vec<(String, String)>> {
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(examples().join("grafana/segue.json"))?)?;
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().context("a dashboard without panels")? {
        let title = panel["title"].as_str().context("a panel without a title")?;
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().with_context(|| format!("{title} asks nothing"))?;
            let query = query.replace("$__rate_interval", "1m").replace("$__range", "1m").replace("$mode", ".*");
            ensure!(!query.contains('$'), "{title} has a variable that nobody fills in: {query}");
            queries.push((title.to_owned(), query));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().into_iter().flatten() {
        let Some(definition) = variable["definition"].as_str() else { continue };
        let inner = definition.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (metric, label) = inner.and_then(|inner| inner.split_once(", ")).context("no values of a label")?;
        queries.push((definition.to_owned(), format!("count by ({label}) ({metric})")));
    }
    Ok(queries)
}

/// Frames of a client that tells its times, of one that sends no pictures, and one that asks for a trace.
async fn send_frames(client: &mut Client, jpeg: &[u8], next: &mut u32) -> Result<()> {
    for _ in 0..10 {
        *next += 1;
        client.painted(*next, jpeg, u128::from(*next).to_be_bytes()).await?;
    }
    *next += 1;
    client.frame(*next, b"no picture").await?;
    client.text_of("dropped").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Prometheus: cargo xtask test prometheus"]
async fn dashboard_and_alerts_find_what_they_ask_for() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = profiles.serve(&[])?;
    let prometheus = Prometheus::start(&server)?;
    let mut client = Client::connect(server.address()).await?;
    let (jpeg, mut next) = (gradient_jpeg(64, 64)?, 0);
    let mut missing = dashboard()?;
    ensure!(missing.len() > 30, "only {} queries in the dashboard", missing.len());
    let start = Instant::now();
    while !missing.is_empty() {
        if start.elapsed() > PATIENCE {
            bail!("these panels stay empty: {missing:#?}");
        }
        send_frames(&mut client, &jpeg, &mut next).await?;
        let mut still = Vec::new();
        for (title, query) in missing {
            if !prometheus.finds(&query).with_context(|| title.clone())? {
                still.push((title, query));
            }
        }
        missing = still;
    }

    let shipped = fs::read_to_string(examples().join("alerts.yml"))?;
    let mut rules = prometheus.rules()?;
    while rules.iter().any(|rule| rule["health"] == "unknown") {
        rules = prometheus.rules()?;
    }
    assert_eq!(rules.len(), shipped.matches("- alert: ").count());
    for rule in &rules {
        let name = &rule["name"];
        assert_eq!((&rule["health"], &rule["state"]), (&"ok".into(), &"inactive".into()), "{name}: {rule}");
        let query = rule["query"].as_str().with_context(|| format!("{name} asks nothing"))?;
        prometheus.finds(query).with_context(|| name.to_string())?;
        for note in ["summary", "description"] {
            ensure!(rule["annotations"][note].as_str().is_some_and(|text| text.len() > 20), "{name} has no {note}");
        }
    }

    let hour = Duration::from_secs(3600).as_secs_f64();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64();
    let (from, until) = ((now - hour).to_string(), (now + hour).to_string());
    let form = [("query", "segue_frame_latency_seconds_bucket"), ("start", from.as_str()), ("end", until.as_str())];
    let exemplars = prometheus.ask("/api/v1/query_exemplars", &form)?;
    let trace_id = exemplars[0]["exemplars"][0]["labels"]["trace_id"].as_str().context("no exemplar came")?;
    let trace_id = u128::from_str_radix(trace_id, 16)?;
    ensure!((1..=u128::from(next)).contains(&trace_id), "an exemplar of a trace that nobody sent: {trace_id:x}");

    profiles.write("default", "extends = \"base\"\n[capture]\njpeg_quality = 140\n")?;
    let is_noticed = |rules: Vec<Value>| {
        rules.iter().any(|rule| rule["name"] == "SegueReloadRejected" && rule["state"] == "pending")
    };
    let start = Instant::now();
    while !is_noticed(prometheus.rules()?) {
        ensure!(start.elapsed() < PATIENCE, "a rejected edit wakes nobody");
        send_frames(&mut client, &jpeg, &mut next).await?;
    }
    Ok(())
}

#[test]
#[ignore = "needs Prometheus: cargo xtask test prometheus"]
fn promtool_has_no_objection_to_the_metrics() -> Result<()> {
    let server = Server::start(&[])?;
    let text = tempfile::NamedTempFile::new()?;
    fs::write(text.path(), server.metrics("text/plain")?.0)?;
    check_metrics(text.path())
}

fn check_metrics(path: &Path) -> Result<()> {
    let output = Command::new("promtool").args(["check", "metrics"]).stdin(fs::File::open(path)?).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "promtool: {} {said}", output.status);
    Ok(())
}
