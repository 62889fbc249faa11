//! Frames worth keeping arrive at an OpenTelemetry collector, whole, and no others do.

use std::{collections::BTreeSet, time::Instant};

use anyhow::{Context, Result, ensure};
use segue_tests::{Collector, Lab, Profiles, Server, TakenSpan, Viewer, built, gradient_jpeg, segue};

/// The stages of a frame that was painted, as far as every frame has them.
const STAGES: [&str; 13] = [
    "browser.capture",
    "browser.encode",
    "browser.send",
    "network.up",
    "server.receive",
    "server.queue",
    "server.decode",
    "plugin.infer",
    "server.encode",
    "server.send",
    "network.down",
    "browser.decode",
    "browser.paint",
];

/// Names and values.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// A server whose spans do not wait long for others to go with.
fn serve(arguments: &[&str], environment: Variables<'_>) -> Result<Server> {
    let mut command = segue(&["serve", "--listen", "127.0.0.1:0", "--set", "capture.min_frame_interval_millis=0"]);
    command.args(arguments).env("OTEL_BSP_SCHEDULE_DELAY", "50").envs(environment.iter().copied());
    Server::start_command(&mut command)
}

/// A lab whose mode `fast` dawdles and fails by the width of the frame.
fn misbehaving_lab() -> Result<Lab> {
    Lab::install(&built("libmisbehaving.so")?, "misbehaving", "dawdle_millis = \"550\"")
}

fn serve_lab(lab: &Lab, settings: &[&str]) -> Result<Server> {
    let mut arguments = lab.places();
    arguments.extend(settings.iter().flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]));
    serve(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &[])
}

/// How many spans there were with this outcome.
fn spans(server: &Server, outcome: &str) -> u64 {
    server.metric(&format!("segue_spans_total{{outcome=\"{outcome}\"}}")).unwrap_or(0)
}

/// The top of a frame's trace, which has to be one tree that accounts for the frame's time.
fn top(spans: &[TakenSpan]) -> Result<&TakenSpan> {
    let mut tops = spans.iter().filter(|span| span.parent_id.is_empty());
    let (top, other) = (tops.next().context("a trace without a top")?, tops.next());
    ensure!(other.is_none(), "two tops: {} and {:?}", top.name, other);
    let ids: BTreeSet<_> = spans.iter().map(|span| span.id.as_str()).collect();
    ensure!(ids.len() == spans.len(), "{} ids of {} spans", ids.len(), spans.len());
    for span in spans {
        ensure!(span.parent_id.is_empty() || ids.contains(span.parent_id.as_str()), "{} has no parent", span.name);
        ensure!(span.start_nanos <= span.end_nanos, "{} ends before it begins", span.name);
        let is_within = top.start_nanos <= span.start_nanos && span.end_nanos <= top.end_nanos;
        ensure!(is_within, "{} is not within {}: {span:?}, {top:?}", span.name, top.name);
    }
    Ok(top)
}

/// What share of `top` its stages account for.
fn covered(top: &TakenSpan, spans: &[TakenSpan]) -> f64 {
    let mut stages: Vec<_> = spans.iter().filter(|span| span.name.contains('.')).collect();
    stages.sort_by_key(|span| span.start_nanos);
    let (mut until, mut covered) = (top.start_nanos, 0);
    for stage in stages {
        covered += stage.end_nanos.saturating_sub(stage.start_nanos.max(until));
        until = until.max(stage.end_nanos);
    }
    covered as f64 / (top.end_nanos - top.start_nanos).max(1) as f64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_was_asked_for_arrives_as_one_tree_from_camera_to_paint_by_http_and_by_grpc() -> Result<()> {
    let Some(collector) = Collector::start()? else { return Ok(()) };
    for (number, (protocol, endpoint)) in (1..).zip([("http", collector.http()), ("grpc", collector.grpc())]) {
        let endpoint = format!("telemetry.otlp.endpoint={endpoint}");
        let server = serve(&["--set", &endpoint, "--set", &format!("telemetry.otlp.protocol={protocol}")], &[])?;
        let mut viewer = Viewer::connect(server.address(), number).await?;
        for _ in 0..5 {
            let sent = viewer.watch(&gradient_jpeg(640, 360)?, true).await?;
            let spans = collector.trace(&sent.trace_id, &STAGES)?;
            let frame = top(&spans)?;
            assert_eq!((frame.name.as_str(), &frame.id, frame.kind.as_str()), ("frame", &sent.span_id, "CLIENT"));
            let share = covered(frame, &spans);
            ensure!(share >= 0.95, "stages account for {share} of the frame: {spans:#?}");
            let scopes: BTreeSet<_> = spans.iter().map(|span| span.scope.as_str()).collect();
            assert_eq!(scopes, BTreeSet::from(["segue.browser", "segue.network", "segue.plugin", "segue.server"]));
            assert_eq!(frame.attribute("segue.kept"), "asked");
            assert_eq!(frame.attribute("segue.mode"), "fast");
            assert_eq!(frame.attribute("segue.outcome"), "answered");
            assert_eq!(frame.attribute("segue.frame_id"), sent.frame_id.to_string());
            assert_eq!(frame.attribute("segue.frame_width_px"), "640");
            assert_eq!(frame.resource.get("service.name").map(String::as_str), Some("segue"));
            ensure!(frame.resource.contains_key("service.version"), "{:?}", frame.resource);
        }
        let not_asked = viewer.watch(&gradient_jpeg(640, 360)?, false).await?;
        let asked = viewer.watch(&gradient_jpeg(640, 360)?, true).await?;
        collector.trace(&asked.trace_id, &STAGES)?;
        ensure!(!collector.spans().iter().any(|span| span.trace_id == not_asked.trace_id), "nobody asked for it");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_posted_picture_continues_the_trace_of_its_caller() -> Result<()> {
    let Some(collector) = Collector::start()? else { return Ok(()) };
    let server = serve(&["--set", &format!("telemetry.otlp.endpoint={}", collector.http())], &[])?;
    let (trace_id, caller) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0c1902d7");
    let post = |flags: &str, trace_id: &str| -> Result<()> {
        let request = ureq::post(server.url("/v1/segment")).header("content-type", "image/jpeg");
        let request = request.header("traceparent", format!("00-{trace_id}-{caller}-{flags}"));
        request.send(&gradient_jpeg(640, 360)?[..])?;
        Ok(())
    };
    let unsampled = "5bf92f3577b34da6a3ce929d0e0e4736";
    post("00", unsampled)?;
    post("01", trace_id)?;
    let spans = collector.trace(trace_id, &["segment", "server.decode", "plugin.postprocess", "server.encode"])?;
    let ids: BTreeSet<_> = spans.iter().map(|span| span.id.as_str()).collect();
    let strangers: Vec<_> = spans.iter().filter(|span| !ids.contains(span.parent_id.as_str())).collect();
    assert_eq!(strangers.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["segment"]);
    assert_eq!((strangers[0].parent_id.as_str(), strangers[0].kind.as_str()), (caller, "SERVER"));
    let share = covered(strangers[0], &spans);
    ensure!(share >= 0.95, "stages account for {share} of the picture: {spans:#?}");
    ensure!(!collector.spans().iter().any(|span| span.trace_id == unsampled), "its caller does not record it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_frames_exactly_the_five_slow_ones_arrive() -> Result<()> {
    let Some(collector) = Collector::start()? else { return Ok(()) };
    let lab = misbehaving_lab()?;
    let endpoint = format!("telemetry.otlp.endpoint={}", collector.http());
    let server = serve_lab(&lab, &[&endpoint, "telemetry.traces.keep=[\"slow\"]", "telemetry.traces.slow_millis=500"])?;
    let mut viewer = Viewer::connect(server.address(), 1).await?;
    let (quick, slow) = (gradient_jpeg(64, 50)?, gradient_jpeg(112, 50)?);
    let mut expected = BTreeSet::new();
    for number in 0..1000 {
        if number % 200 == 100 {
            expected.insert(viewer.watch(&slow, false).await?.trace_id);
        } else {
            viewer.watch(&quick, number % 7 == 0).await?;
        }
    }
    let last = expected.last().context("none")?;
    collector.trace(last, &STAGES)?;
    // What was handed over before the server ends is sent before that.
    server.signal("TERM")?;
    server.wait()?;
    let spans = collector.spans();
    let frames: Vec<_> = spans.iter().filter(|span| span.name == "frame").collect();
    let arrived: BTreeSet<_> = frames.iter().map(|span| span.trace_id.clone()).collect();
    assert_eq!(arrived, expected);
    ensure!(frames.iter().all(|frame| frame.attribute("segue.kept") == "slow"), "{frames:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_failed_or_were_dropped_arrive_with_the_reason() -> Result<()> {
    let Some(collector) = Collector::start()? else { return Ok(()) };
    let lab = misbehaving_lab()?;
    let endpoint = format!("telemetry.otlp.endpoint={}", collector.grpc());
    let server = serve_lab(&lab, &[&endpoint, "telemetry.otlp.protocol=grpc", "capture.max_in_flight=4"])?;
    let mut viewer = Viewer::connect(server.address(), 1).await?;
    // The first of all: nobody knows how the clocks compare.
    let (failed, reason) = viewer.lose(&gradient_jpeg(102, 50)?, false).await?;
    assert_eq!(reason, "backend_failed");
    let spans = collector.trace(&failed.trace_id, &["frame", "segment", "server.decode"])?;
    let frame = top(&spans)?;
    assert_eq!((frame.attribute("segue.kept"), frame.attribute("segue.reason")), ("failed", "backend_failed"));
    assert_eq!(frame.status, "ERROR");
    ensure!(frame.message.contains("not to its taste"), "{frame:?}");

    // While one dawdles, of those behind it only the newest waits.
    viewer.send(&gradient_jpeg(112, 50)?, false).await?;
    let jpeg = gradient_jpeg(64, 50)?;
    let (mut waiting, mut superseded) = (viewer.send(&jpeg, false).await?, Vec::new());
    for _ in 0..2 {
        superseded.push(std::mem::replace(&mut waiting, viewer.send(&jpeg, false).await?));
    }
    for sent in &superseded {
        let spans = collector.trace(&sent.trace_id, &["frame", "segment", "server.queue"])?;
        let frame = top(&spans)?;
        assert_eq!((frame.attribute("segue.kept"), frame.attribute("segue.reason")), ("dropped", "superseded"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_frames_arrive_when_all_are_sampled_but_never_more_than_the_budget() -> Result<()> {
    let Some(collector) = Collector::start()? else { return Ok(()) };
    let lab = misbehaving_lab()?;
    let endpoint = format!("telemetry.otlp.endpoint={}", collector.http());
    let jpeg = gradient_jpeg(64, 50)?;
    let all = ["telemetry.traces.sample_ratio=1.0", "telemetry.traces.max_spans_per_second=1000000"];
    let server = serve_lab(&lab, &[&endpoint, all[0], all[1]])?;
    let mut viewer = Viewer::connect(server.address(), 1).await?;
    let mut sent = BTreeSet::new();
    for _ in 0..200 {
        sent.insert(viewer.watch(&jpeg, false).await?.trace_id);
    }
    collector.wait_for("two hundred frames", |spans| {
        let frames = spans.iter().filter(|span| span.name == "frame").map(|span| &span.trace_id);
        (frames.filter(|id| sent.contains(*id)).count() == sent.len()).then_some(())
    })?;
    // A batch counts once it is answered for.
    while spans(&server, "exported") < collector.spans().len() as u64 {
        tokio::task::yield_now().await;
    }
    assert_eq!(spans(&server, "exported"), collector.spans().len() as u64);
    assert_eq!((spans(&server, "over_budget"), spans(&server, "queue_full")), (0, 0));
    drop((viewer, server));

    let server = serve_lab(&lab, &[&endpoint, all[0], "telemetry.traces.max_spans_per_second=300"])?;
    let mut viewer = Viewer::connect(server.address(), 2).await?;
    let start = Instant::now();
    let before = collector.spans().len();
    for _ in 0..200 {
        viewer.watch(&jpeg, false).await?;
    }
    drop(viewer);
    let in_all = || spans(&server, "exported") + spans(&server, "over_budget");
    while in_all() < 200 * STAGES.len() as u64 || spans(&server, "exported") == 0 {
        tokio::task::yield_now().await;
    }
    let seconds = start.elapsed().as_secs() + 1;
    let exported = spans(&server, "exported");
    ensure!(exported > 0 && exported <= 300 * seconds, "{exported} spans in {seconds} s");
    // Those of the server's start are among them.
    ensure!(collector.spans().len() - before <= 300 * seconds as usize, "more came than were sent");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_environment_says_counts_where_the_profile_is_silent() -> Result<()> {
    let Some(collector) = Collector::start()? else { return Ok(()) };
    let (http, grpc) = (collector.http(), collector.grpc());
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=lab,service.version=9");
    let cases: [(&str, Variables<'_>, &[&str]); 5] = [
        ("by-http", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &http), attributes], &[]),
        ("by-grpc", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &grpc), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], &[]),
        ("zipped", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &http), ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")], &[]),
        ("sampled", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &http), ("OTEL_TRACES_SAMPLER", "always_on")], &[]),
        (
            "by-profile",
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
            &["--set", &format!("telemetry.otlp.endpoint={http}"), "--set", "telemetry.otlp.protocol=http"],
        ),
    ];
    for (number, (name, environment, arguments)) in (1..).zip(cases) {
        let server = serve(arguments, &[environment, &[("OTEL_SERVICE_NAME", name)]].concat())?;
        let mut viewer = Viewer::connect(server.address(), number).await?;
        let sent = viewer.watch(&gradient_jpeg(64, 48)?, name != "sampled").await?;
        let spans = collector.trace(&sent.trace_id, &STAGES).context(name)?;
        let resource = &top(&spans)?.resource;
        assert_eq!(resource["service.name"], name);
        if name == "by-http" {
            assert_eq!((&*resource["deployment.environment.name"], &*resource["service.version"]), ("lab", "9"));
        }
    }
    let off = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*http), ("OTEL_SDK_DISABLED", "true"), ("OTEL_SERVICE_NAME", "off")];
    let server = serve(&[], &off)?;
    let mut viewer = Viewer::connect(server.address(), 99).await?;
    viewer.watch(&gradient_jpeg(64, 48)?, true).await?;
    server.signal("TERM")?;
    server.wait()?;
    ensure!(!collector.spans().iter().any(|span| span.resource["service.name"] == "off"), "it was switched off");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_to_and_what_is_exported_follows_the_profile_of_a_running_server() -> Result<()> {
    let (Some(first), Some(second)) = (Collector::start()?, Collector::start()?) else { return Ok(()) };
    let profiles = Profiles::copy()?;
    let directory = profiles.directory().to_string_lossy().into_owned();
    let server = serve(&["--profiles", &directory], &[])?;
    let mut viewer = Viewer::connect(server.address(), 1).await?;
    let jpeg = gradient_jpeg(64, 48)?;
    let nowhere = viewer.watch(&jpeg, true).await?;

    profiles.overlay("default", &format!("[telemetry.otlp]\nendpoint = \"{}\"", first.http()))?;
    server.applied(2)?;
    let to_first = viewer.watch(&jpeg, true).await?;
    first.trace(&to_first.trace_id, &STAGES)?;

    let otlp = format!("[telemetry.otlp]\nendpoint = \"{}\"\nprotocol = \"grpc\"", second.grpc());
    profiles.overlay("default", &otlp)?;
    server.applied(3)?;
    let to_second = viewer.watch(&jpeg, true).await?;
    second.trace(&to_second.trace_id, &STAGES)?;

    profiles.overlay("default", &format!("{otlp}\n[telemetry.traces]\nkeep = []\nsample_ratio = 0.0"))?;
    server.applied(4)?;
    let not_kept = viewer.watch(&jpeg, true).await?;

    profiles.overlay("default", &format!("{otlp}\n[telemetry.traces]\nkeep = []\nsample_ratio = 1.0"))?;
    server.applied(5)?;
    let sampled = viewer.watch(&jpeg, false).await?;
    let spans = second.trace(&sampled.trace_id, &STAGES)?;
    assert_eq!(top(&spans)?.attribute("segue.kept"), "sampled");

    let has = |collector: &Collector, id: &str| collector.spans().iter().any(|span| span.trace_id == id);
    ensure!(!has(&first, &nowhere.trace_id) && !has(&second, &nowhere.trace_id), "there was no collector then");
    ensure!(!has(&first, &to_second.trace_id) && !has(&second, &to_first.trace_id), "they went to both");
    ensure!(!has(&second, &not_kept.trace_id), "asking was switched off");
    Ok(())
}
