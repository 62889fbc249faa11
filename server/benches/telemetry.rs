//! What it costs a frame to be recorded, in one run with what is next to nothing.
//!
//! A frame here is what the server does for each one: a trace begins, eight stages end, the trace ends in the flight
//! recorder and in the metrics. The ways to do that take turns, so that whatever else the machine does falls on all alike.

use std::{
    hint::black_box,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use segue::{
    config::TelemetrySettings,
    telemetry::{
        ClientTimes, FrameTrace, MetricsFormat, Now, Outcome, PaintTimes, SessionRecorder, Stage, Telemetry, TraceStart,
    },
};
use serde_json::json;

const FRAMES: usize = 50_000;
const WARM_UP: usize = 5_000;

/// So many frames in a row; then another way has its turn.
const TURN: usize = 500;

/// How long the collector may take for what was recorded in a turn.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most that recording a frame may take at p50, in microseconds.
const MOST_MICROS: f64 = 2.0;

/// The stages whose ends are noted, as the server notes them.
const STAGES: [Stage; 8] = [
    Stage::Receive,
    Stage::Queue,
    Stage::Decode,
    Stage::Preprocess,
    Stage::Infer,
    Stage::Postprocess,
    Stage::Encode,
    Stage::Send,
];

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match compare(std::env::args().any(|argument| argument == "--json")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("telemetry: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A way to treat a frame, and what that took, in nanoseconds.
struct Way {
    name: &'static str,
    what: &'static str,
    frame: Box<dyn FnMut(u32)>,
    nanos: Vec<f64>,
}

impl Way {
    fn new(name: &'static str, what: &'static str, frame: impl FnMut(u32) + 'static) -> Self {
        Self { name, what, frame: Box::new(frame), nanos: Vec::with_capacity(FRAMES) }
    }

    fn quantiles(&mut self) -> [f64; 2] {
        self.nanos.sort_by(f64::total_cmp);
        [0.5, 0.99].map(|share| self.nanos[(self.nanos.len() as f64 * share) as usize])
    }
}

fn compare(is_json: bool) -> Result<(), Failure> {
    let mode: Arc<str> = "fast".into();
    let collector = collector()?;
    let quiet = Telemetry::start(&settings(0.0, "")?);
    let exported = Telemetry::start(&settings(1.0, &format!("http://{collector}"))?);
    let silent = Telemetry::start(&settings(1.0, "http://127.0.0.1:1")?);
    let recorded = |telemetry: &Arc<Telemetry>, session| {
        let (recorder, mode) = (telemetry.session(session), Arc::clone(&mode));
        move |frame| record(&recorder, &mode, frame)
    };
    let painted = {
        let (recorder, mode) = (quiet.session(2), Arc::clone(&mode));
        move |frame| record_painted(&recorder, &mode, frame)
    };
    let mut ways = [
        Way::new("nothing", "a frame that nobody records", |frame| {
            black_box(frame);
        }),
        Way::new("floor", "ten looks at the clock, as a trace takes them", |_frame| {
            for _ in 0..10 {
                black_box(Instant::now());
            }
        }),
        Way::new("recorded", "flight recorder and metrics", recorded(&quiet, 1)),
        Way::new("painted", "recorded, and its client tells of the paint", painted),
        Way::new("exported", "every frame is kept and handed to the exporter", recorded(&exported, 1)),
        Way::new("silent", "exported, to a port at which nobody listens", recorded(&silent, 1)),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for turn in 0..(WARM_UP + FRAMES) / TURN {
        // None of them always comes after the same other one.
        ways.rotate_left(1);
        for way in &mut ways {
            for frame in turn * TURN..(turn + 1) * TURN {
                let start = Instant::now();
                (way.frame)(frame as u32);
                let nanos = start.elapsed().as_nanos() as f64;
                if frame >= WARM_UP {
                    way.nanos.push(nanos);
                }
            }
        }
        // So many frames in a row are more than a server sees in a second; they are sent before the next come.
        runtime.block_on(exported.flush(PATIENCE));
    }
    let now = Now { modes: Vec::new(), slow_micros: 0 };
    let metrics = exported.metrics.text(now, MetricsFormat::Plain);
    for outcome in ["queue_full", "over_budget", "not_exported"] {
        if !metrics.contains(&format!("segue_spans_total{{outcome=\"{outcome}\"}} 0\n")) {
            return Err(format!("spans were lost that were to be exported:\n{metrics}").into());
        }
    }
    report(&mut ways, is_json)
}

fn report(ways: &mut [Way], is_json: bool) -> Result<(), Failure> {
    let mut figures: Vec<_> = ways.iter_mut().map(|way| (way.name, way.what, way.quantiles())).collect();
    figures.sort_by(|(.., [one, _]), (.., [two, _])| one.total_cmp(two));
    let of = |name: &str| figures.iter().find(|(other, ..)| *other == name).map(|&(.., quantiles)| quantiles);
    let [floor_p50, floor_p99] = of("floor").ok_or("no floor")?;
    if is_json {
        let rows = figures.iter().map(|&(name, _, [p50, p99])| {
            let row = json!({
                "nanos": {"p50": p50, "p99": p99},
                "times_floor": {"p50": p50 / floor_p50, "p99": p99 / floor_p99},
            });
            (name.to_owned(), row)
        });
        println!("{}", serde_json::Value::Object(rows.collect()));
    } else {
        println!("{FRAMES} frames each, nanoseconds of the caller's thread; the floor is ten looks at the clock");
        for (name, what, [p50, p99]) in &figures {
            let ratio = p50 / floor_p50;
            println!("{name:9} p50 {p50:6.0}  p99 {p99:6.0}  {ratio:5.1} x floor   {what}");
        }
    }
    let [p50, _] = of("recorded").ok_or("nothing was recorded")?;
    if p50 > 1e3 * MOST_MICROS {
        return Err(format!("recording a frame takes {p50:.0} ns, and at most {MOST_MICROS} us are right").into());
    }
    Ok(())
}

/// A frame from its receipt to its answer.
fn record(recorder: &Arc<SessionRecorder>, mode: &Arc<str>, frame_id: u32) {
    let start = TraceStart { trace_id: trace_id(frame_id), frame_id, mode: Arc::clone(mode), ..TraceStart::default() };
    finish(FrameTrace::start(recorder, start));
}

/// The same, of a client that tells its times.
fn record_painted(recorder: &Arc<SessionRecorder>, mode: &Arc<str>, frame_id: u32) {
    // A clock of its own, which may stand still.
    let captured_at = 1_000_000 + u64::from(frame_id);
    let client = ClientTimes { captured_at, encoded_at: captured_at + 10, sent_at: captured_at + 20 };
    recorder.came(client.sent_at);
    let trace_id = trace_id(frame_id);
    let start = TraceStart { trace_id, frame_id, mode: Arc::clone(mode), client, ..TraceStart::default() };
    finish(FrameTrace::start(recorder, start));
    let received_at = captured_at + 30;
    let paint = PaintTimes { received_at, decoded_at: received_at, painted_at: received_at, ..PaintTimes::default() };
    recorder.paint(frame_id, &paint);
}

/// Making one up is the client's work.
fn trace_id(frame_id: u32) -> [u8; 16] {
    (u128::from(frame_id) | 1 << 100).to_be_bytes()
}

fn finish(mut trace: FrameTrace) {
    let mut before = Stage::Receive;
    for stage in STAGES {
        trace.end(stage, before);
        before = stage;
    }
    trace.finish(Outcome::Answered, "");
}

fn settings(sample_ratio: f64, endpoint: &str) -> Result<TelemetrySettings, Failure> {
    Ok(serde_json::from_value(json!({
        "log": "off",
        "log_format": "text",
        "traces": {
            "frames_per_session": 600,
            "slow_millis": 200,
            "keep": ["slow", "failed", "dropped", "asked"],
            "sample_ratio": sample_ratio,
            "max_spans_per_second": 100_000_000,
        },
        "otlp": {"endpoint": endpoint},
    }))?)
}

/// A collector that takes everything and looks at nothing; its address.
fn collector() -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is no fault.
            let _ = take_all(&stream);
        }
    });
    Ok(address)
}

fn take_all(stream: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut len_bytes = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len_bytes = value.trim().parse().unwrap_or(0);
        }
        if line == "\r\n" {
            std::io::copy(&mut (&mut reader).take(len_bytes), &mut std::io::sink())?;
            let mut stream = stream;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")?;
        }
    }
}
