//! The log: lines on stderr as text or as JSON, and the spans of the control plane, whose trace ids the lines carry.

use std::{
    io::IsTerminal,
    sync::{Arc, OnceLock},
};

use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanProcessor},
};
use tracing::Span;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::filter_fn, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

use super::Telemetry;
use crate::config::LogFormat;

/// Target of the control plane's spans: what is done for operators, never what is done for a frame.
pub const CONTROL: &str = "segue::control";

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

/// What of the log can be changed: the form of its lines, and which there are.
struct Log {
    writer: NonBlocking,
    lines: reload::Handle<Lines, Registry>,
    filter: reload::Handle<EnvFilter, Registry>,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// The server's telemetry, once there is a server: control-plane spans are exported by it.
static SPANS_GO_TO: OnceLock<Arc<Telemetry>> = OnceLock::new();

/// So many lines wait to be written. Whoever logs waits for nobody, be the disk busy or the pipe full: further lines are lost,
/// and counted.
const MOST_LINES: usize = 10_000;

/// Starts the log on stderr. `directives` is what `telemetry.log` says; `RUST_LOG` wins over it. What waits is written
/// when the guard is dropped.
pub fn start_log(directives: &str, format: LogFormat) -> Result<WorkerGuard, String> {
    let builder = NonBlockingBuilder::default().buffered_lines_limit(MOST_LINES).thread_name("log");
    let (writer, guard) = builder.finish(std::io::stderr());
    let (lines, lines_handle) = reload::Layer::new(lines(writer.clone(), format));
    let (filter, filter_handle) = reload::Layer::new(filter(directives)?);
    let provider = SdkTracerProvider::builder().with_span_processor(ToExporter).build();
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("segue"));
    let spans = spans.with_filter(filter_fn(|metadata| metadata.target() == CONTROL));
    // A second start, in a test, changes nothing.
    if tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).try_init().is_ok() {
        let _ = LOG.set(Log { writer, lines: lines_handle, filter: filter_handle });
    }
    Ok(guard)
}

/// Lines that were lost since nobody took them.
pub(super) fn lost_lines() -> usize {
    LOG.get().map_or(0, |log| log.writer.error_counter().dropped_lines())
}

/// Starts the log of a worker process: JSON on stderr, which the server reads and hands to its own log.
pub fn start_worker_log() {
    let directives = std::env::var("SEGUE_WORKER_LOG").unwrap_or_default();
    let lines = fmt::layer().json().without_time().with_writer(std::io::stderr);
    let filter = EnvFilter::try_new(directives).unwrap_or_default();
    // There is none yet in this process.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}

/// Changes which lines the log has, and their form.
pub(super) fn change_log(directives: &str, format: LogFormat) -> Result<(), String> {
    let Some(log) = LOG.get() else { return Ok(()) };
    if std::env::var_os("RUST_LOG").is_some() {
        tracing::warn!("RUST_LOG is set and wins over telemetry.log");
    }
    log.filter.reload(filter(directives)?).map_err(|error| error.to_string())?;
    log.lines.reload(lines(log.writer.clone(), format)).map_err(|error| error.to_string())
}

/// From now on `telemetry` exports the control plane's spans.
pub(super) fn export_spans_by(telemetry: &Arc<Telemetry>) {
    // Of several servers in one process, in a test, the first has them.
    let _ = SPANS_GO_TO.set(Arc::clone(telemetry));
}

/// Has the log's lines within `span` carry its trace id. The span has to have a field `trace_id`.
pub fn with_trace_id(span: Span) -> Span {
    let context = span.context();
    let context = context.span().span_context().clone();
    if context.is_valid() {
        span.record("trace_id", tracing::field::display(context.trace_id()));
    }
    span
}

fn lines(writer: NonBlocking, format: LogFormat) -> Lines {
    let to_stderr = fmt::layer().with_writer(writer).with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => to_stderr.boxed(),
        LogFormat::Json => to_stderr.json().flatten_event(true).with_span_list(false).boxed(),
    }
}

fn filter(directives: &str) -> Result<EnvFilter, String> {
    let from_environment = std::env::var("RUST_LOG");
    let directives = from_environment.as_deref().unwrap_or(directives);
    EnvFilter::builder().with_regex(false).parse(directives).map_err(|error| format!("telemetry.log: {error}"))
}

/// Hands the control plane's spans to the exporter.
#[derive(Debug)]
struct ToExporter;

impl SpanProcessor for ToExporter {
    fn on_start(&self, _span: &mut opentelemetry_sdk::trace::Span, _context: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if let Some(telemetry) = SPANS_GO_TO.get() {
            telemetry.exporter.send_span(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: std::time::Duration) -> OTelSdkResult {
        Ok(())
    }

    fn set_resource(&mut self, _resource: &Resource) {}
}
