//! A real OpenTelemetry collector, `rotel`: it takes spans by OTLP, and its log tells what it took.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::server::{PATIENCE, root};

/// A span as the collector took it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TakenSpan {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub id: String,
    /// Empty at the top of a tree.
    pub parent_id: String,
    /// Its name.
    pub name: String,
    /// As in `SERVER`.
    pub kind: String,
    /// The instrumentation scope's name.
    pub scope: String,
    /// Nanoseconds since the epoch.
    pub start_nanos: u64,
    /// Nanoseconds since the epoch.
    pub end_nanos: u64,
    /// As in `ERROR`; empty when unset.
    pub status: String,
    /// What the status says beside that.
    pub message: String,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// Those of the resource that it is of.
    pub resource: BTreeMap<String, String>,
}

impl TakenSpan {
    /// An attribute's value; empty when there is none.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// The collector's program: `SEGUE_COLLECTOR`, or the one that `cargo xtask test` has installed.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("SEGUE_COLLECTOR").map(PathBuf::from);
    let installed = || {
        let libraries = root().join("target/tools/rotel/lib").read_dir().ok()?;
        libraries
            .flatten()
            .map(|python| python.path().join("site-packages/rotel/rotel-agent"))
            .find(|path| path.exists())
    };
    named.or_else(installed)
}

/// A running collector; killed when it is dropped.
pub struct Collector {
    process: Child,
    http_port: u16,
    grpc_port: u16,
    taken: Arc<Taken>,
}

#[derive(Default)]
struct Taken {
    spans: Mutex<Vec<TakenSpan>>,
    more: Condvar,
}

impl Collector {
    /// Starts one on free ports. `None` when it is not installed, which is said loudly.
    pub fn start() -> Result<Option<Self>> {
        let (http, grpc) = (free_port()?, free_port()?);
        Self::start_at(http, grpc)
    }

    /// Starts one on these ports.
    pub fn start_at(http_port: u16, grpc_port: u16) -> Result<Option<Self>> {
        let Some(program) = program() else {
            eprintln!("SKIPPED: there is no OpenTelemetry collector; `cargo xtask test rust` installs one");
            return Ok(None);
        };
        let mut process = Command::new(program)
            .args(["start", "--exporter", "blackhole", "--batch-timeout", "20ms"])
            .args(["--debug-log", "traces", "--debug-log-verbosity", "detailed"])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http_port}")])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc_port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("the collector can't be run")?;
        let taken = Arc::<Taken>::default();
        let (output, reader) = (process.stdout.take().context("no stdout")?, Arc::clone(&taken));
        thread::spawn(move || reader.read(output));
        let mut collector = Self { process, http_port, grpc_port, taken };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", http_port)).is_err() {
            if let Some(status) = collector.process.try_wait()? {
                bail!("the collector ended with {status}");
            }
            anyhow::ensure!(Instant::now() < deadline, "the collector does not listen");
            thread::yield_now();
        }
        Ok(Some(collector))
    }

    /// Where it takes OTLP over HTTP.
    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.http_port)
    }

    /// Where it takes OTLP over gRPC.
    pub fn grpc(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc_port)
    }

    /// Ports for HTTP and gRPC.
    pub fn ports(&self) -> (u16, u16) {
        (self.http_port, self.grpc_port)
    }

    /// What it took so far.
    pub fn spans(&self) -> Vec<TakenSpan> {
        self.taken.lock().clone()
    }

    /// Waits until `wanted` finds in all that it took what it looks for.
    pub fn wait_for<T>(&self, what: &str, mut wanted: impl FnMut(&[TakenSpan]) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut spans = self.taken.lock();
        loop {
            if let Some(found) = wanted(&spans) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let names: Vec<_> = spans.iter().map(|span| (&span.trace_id, &span.name)).take(100).collect();
            anyhow::ensure!(!left.is_zero(), "the collector took no {what}, but {} spans: {names:?}", spans.len());
            spans = self.taken.more.wait_timeout(spans, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the trace `trace_id`, with a span of each of these names; all of its spans.
    pub fn trace(&self, trace_id: &str, names: &[&str]) -> Result<Vec<TakenSpan>> {
        self.wait_for(&format!("trace {trace_id} with {names:?}"), |spans| {
            let of_trace: Vec<_> = spans.iter().filter(|span| span.trace_id == trace_id).cloned().collect();
            let has = |name: &&str| of_trace.iter().any(|span| span.name == *name);
            (!of_trace.is_empty() && names.iter().all(has)).then_some(of_trace)
        })
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that was free just now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Taken {
    fn lock(&self) -> MutexGuard<'_, Vec<TakenSpan>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the log to its end. What the collector wrote in one go counts all at once, so that nobody sees half of it.
    fn read(&self, output: ChildStdout) {
        let mut output = BufReader::with_capacity(1 << 20, output);
        let (mut parser, mut line, mut whole) = (Parser::default(), String::new(), Vec::new());
        while output.read_line(&mut line).is_ok_and(|len_bytes| len_bytes > 0) {
            whole.extend(parser.read(line.trim_end_matches('\n')));
            if output.buffer().is_empty() {
                whole.extend(parser.span.take());
                self.lock().append(&mut whole);
                self.more.notify_all();
            }
            line.clear();
        }
    }
}

/// Reads the log line by line.
#[derive(Default)]
struct Parser {
    resource: BTreeMap<String, String>,
    scope: String,
    span: Option<TakenSpan>,
}

impl Parser {
    /// Reads a line. When it begins something new, the span before that is whole.
    fn read(&mut self, line: &str) -> Option<TakenSpan> {
        if line.starts_with("ResourceSpans #") {
            self.resource.clear();
            return self.span.take();
        }
        if let Some(scope) = line.strip_prefix("InstrumentationScope ") {
            self.scope = scope.split(' ').next().unwrap_or(scope).to_owned();
        } else if line.starts_with("ScopeSpans #") {
            return self.span.take();
        } else if line.starts_with("Span #") {
            let next = TakenSpan { resource: self.resource.clone(), scope: self.scope.clone(), ..Default::default() };
            return self.span.replace(next);
        } else if let Some((name, value)) = line.strip_prefix("     -> ").and_then(|pair| pair.split_once(": ")) {
            let value = value.split_once('(').and_then(|(_type, value)| value.strip_suffix(')')).unwrap_or(value);
            let attributes = self.span.as_mut().map_or(&mut self.resource, |span| &mut span.attributes);
            attributes.insert(name.to_owned(), value.to_owned());
        } else if let (Some(span), Some((name, value))) = (&mut self.span, line.split_once(':')) {
            let value = value.trim();
            match name.trim() {
                "Trace ID" => span.trace_id = value.to_owned(),
                "Parent ID" => span.parent_id = value.to_owned(),
                "ID" => span.id = value.to_owned(),
                "Name" => span.name = value.to_owned(),
                "Kind" => span.kind = value.trim_start_matches("SPAN_KIND_").to_owned(),
                "Start time" => span.start_nanos = value.parse().unwrap_or(0),
                "End time" => span.end_nanos = value.parse().unwrap_or(0),
                "Status code" => span.status = value.trim_start_matches("STATUS_CODE_").to_owned(),
                "Status message" => span.message = value.to_owned(),
                _other => {}
            }
        }
        None
    }
}
