//! The flight recorder: where each frame's time went, asked over HTTP and by `segue trace`.

use std::{fs, time::Instant};

use anyhow::{Context, Result, ensure};
use segue_tests::{Client, FrameFields, Lab, Server, Viewer, built, gradient_jpeg, segue};
use serde_json::{Value, json};

const TOKEN: &str = "a-token-of-16-characters";

/// What the recorder says, once `is_there` holds of it.
async fn traces_when(server: &Server, query: &str, is_there: impl Fn(&Value) -> bool) -> Result<Value> {
    let start = Instant::now();
    loop {
        let (status, body) = server.get(&format!("/v1/traces{query}"))?;
        ensure!(status == 200, "{status}: {body}");
        let document: Value = serde_json::from_str(&body)?;
        if is_there(&document) {
            return Ok(document);
        }
        ensure!(start.elapsed().as_secs() < 30, "never there: {document:#}");
        tokio::task::yield_now().await;
    }
}

fn of(document: &Value) -> Result<&Vec<Value>> {
    document["traces"].as_array().context("no traces")
}

fn number(trace: &Value, field: &str) -> f64 {
    trace[field].as_f64().unwrap_or(f64::NAN)
}

fn stage_names(trace: &Value) -> Vec<&str> {
    trace["stages"].as_array().into_iter().flatten().filter_map(|stage| stage["stage"].as_str()).collect()
}

#[tokio::test]
async fn a_painted_frame_is_accounted_for_from_camera_to_screen() -> Result<()> {
    let server = Server::start(&[])?;
    let mut viewer = Viewer::connect(server.address(), 1).await?;
    for _ in 0..20 {
        viewer.watch(&gradient_jpeg(640, 360)?, false).await?;
    }
    let document = traces_when(&server, "?session=1", |document| {
        document["traces"]
            .as_array()
            .is_some_and(|traces| traces.iter().filter(|one| one["is_painted"] == true).count() == 20)
    });
    for trace in of(&document.await?)? {
        let total = number(trace, "total_micros");
        let (mut covered, mut until) = (0.0, 0.0);
        for stage in trace["stages"].as_array().into_iter().flatten() {
            let (start, took) = (number(stage, "start_micros"), number(stage, "duration_micros"));
            assert!(start >= until && took >= 0.0 && start + took <= total, "{stage} in {trace:#}");
            (covered, until) = (covered + took, start + took);
        }
        assert!(covered >= 0.95 * total, "{covered} of {total} us in {trace:#}");
        // The viewer's clock shows another time altogether.
        assert!(number(trace, "clock_error_micros") < 50_000.0, "{trace:#}");
        assert!(number(trace, "start_micros") <= number(&server_now(&server)?, "now_micros"));
        let names = stage_names(trace);
        assert_eq!((names.first(), names.last()), (Some(&"browser.capture"), Some(&"browser.paint")));
        assert_eq!((&trace["mode"], &trace["model"]), (&json!("fast"), &json!("selfie/general")));
        assert_eq!(trace["build"].as_str().map(str::len), Some(64));
        assert_eq!((&trace["frame_width_px"], &trace["mask_height_px"]), (&json!(640), &json!(360)));
        assert_eq!((&trace["in_flight"], &trace["jpeg_quality"]), (&json!(1), &json!(50)));
    }
    Ok(())
}

fn server_now(server: &Server) -> Result<Value> {
    Ok(serde_json::from_str(&server.get("/v1/traces?limit=1")?.1)?)
}

#[tokio::test]
async fn frames_without_a_result_have_traces_with_the_reason() -> Result<()> {
    let lab = Lab::install(&built("libmisbehaving.so")?, "misbehaving", "dawdle_millis = \"300\"")?;
    let server = lab.serve()?;
    let mut viewer = Viewer::connect(server.address(), 1).await?;
    // 1. The backend fails, and the picture is none.
    let (failed, _) = viewer.lose(&gradient_jpeg(102, 40)?, false).await?;
    let (undecodable, _) = viewer.lose(b"no picture", false).await?;
    // 2. Of three frames at once the second is superseded while the first runs.
    viewer.send(&gradient_jpeg(112, 40)?, false).await?;
    let superseded = viewer.send(&gradient_jpeg(64, 40)?, false).await?;
    viewer.send(&gradient_jpeg(64, 40)?, false).await?;
    let dropped = viewer.client.text_of("dropped").await?;
    assert_eq!(dropped["frame_id"], superseded.frame_id);
    // 3. The last ones are not waited for.
    drop(viewer);
    let document = traces_when(&server, "?session=1", |document| document["matched"] == 5).await?;
    let reason = |trace_id: &str| -> Result<&Value> {
        let trace = of(&document)?.iter().find(|trace| trace["trace_id"] == *trace_id);
        Ok(&trace.context("the trace is missing")?["reason"])
    };
    assert_eq!(reason(&failed.trace_id)?, "backend_failed");
    assert_eq!(reason(&undecodable.trace_id)?, "undecodable");
    assert_eq!(reason(&superseded.trace_id)?, "superseded");
    let abandoned = of(&document)?.iter().filter(|trace| trace["reason"] == "abandoned").count();
    assert!(abandoned >= 1, "{document:#}");
    let asked = server.get("/v1/traces?outcome=dropped&reason=superseded")?.1;
    assert_eq!(serde_json::from_str::<Value>(&asked)?["matched"], 1);
    Ok(())
}

#[tokio::test]
async fn the_recorder_holds_the_last_frames_and_follows_the_profile() -> Result<()> {
    let lab = Lab::beside_the_default("[telemetry.traces]\nframes_per_session = 30")?;
    let server = lab.serve()?;
    let mut client = Client::connect(server.address()).await?;
    let jpeg = gradient_jpeg(64, 36)?;
    for frame_id in 0..50 {
        client.frame(frame_id, &jpeg).await?;
        client.answer().await?;
    }
    let document = traces_when(&server, "?session=1&limit=100", |document| document["traces"][0]["frame_id"] == 49);
    assert_eq!(of(&document.await?)?.len(), 30);
    lab.profile(
        "[modes.lab]\nmodel = \"lab\"\ninstances = 1\n[telemetry.traces]\nframes_per_session = 16\nslow_millis = 1",
    )?;
    server.applied(2)?;
    for frame_id in 50..53 {
        client.frame(frame_id, &jpeg).await?;
        client.answer().await?;
    }
    let document = traces_when(&server, "?session=1&limit=100", |document| {
        document["sessions"][0]["frames"] == 16 && document["traces"][0]["frame_id"] == 52
    });
    let document = document.await?;
    assert_eq!((&document["slow_millis"], &document["generation"]), (&json!(1), &json!(2)));
    // Whoever looks at many frames sees the edit between them.
    let mark = &document["marks"][0];
    assert_eq!(
        (&mark["kind"], &mark["outcome"], &mark["generation"]),
        (&json!("reload"), &json!("applied"), &json!(2))
    );
    assert!(mark["text"].as_str().is_some_and(|text| text.contains("telemetry.traces.slow_millis = 1")), "{mark}");
    Ok(())
}

#[tokio::test]
async fn a_client_that_tells_nonsense_of_its_times_is_not_believed() -> Result<()> {
    let server = Server::start(&[])?;
    let mut client = Client::connect(server.address()).await?;
    let jpeg = gradient_jpeg(64, 36)?;
    let nonsense = [
        json!({"received_at": 1e300, "decoded_at": 2e300, "painted_at": 3e300}),
        json!({"received_at": 9e15, "decoded_at": 1, "painted_at": -5}),
        json!({"received_at": 2_000_000, "decoded_at": 2_000_001, "painted_at": 9e14}),
        json!({"received_at": 2_000_000, "decoded_at": 2_000_001, "painted_at": 2_000_002, "encode_started_at": -1e300, "decode_started_at": 1e300}),
    ];
    for (frame_id, mut paint) in (0..).zip(nonsense) {
        let times = [0, u64::MAX, u64::MAX / 2, 1_000_000];
        let fields = FrameFields {
            captured_at: times[frame_id as usize],
            encode_micros: u32::MAX,
            send_delay_micros: u32::MAX,
            ..FrameFields::jpeg(frame_id)
        };
        client.binary(fields.message(&jpeg)).await?;
        client.answer().await?;
        paint["type"] = "paint".into();
        paint["frame_id"] = frame_id.into();
        client.text(paint).await?;
        client
            .text(json!({"type": "paint", "frame_id": 77, "received_at": 1, "decoded_at": 2, "painted_at": 3}))
            .await?;
        client.text(json!({"type": "clock", "sent": -1e300})).await?;
    }
    let document = traces_when(&server, "?session=1", |document| document["matched"] == 4).await?;
    for trace in of(&document)? {
        let total = number(trace, "total_micros");
        for stage in trace["stages"].as_array().into_iter().flatten() {
            let (start, took) = (number(stage, "start_micros"), number(stage, "duration_micros"));
            assert!(start >= 0.0 && took >= 0.0 && start + took <= total, "{stage} in {trace:#}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_plugin_is_told_of_the_trace_that_its_call_is_a_part_of() -> Result<()> {
    let lab = Lab::install(&built("libmisbehaving.so")?, "misbehaving", "")?;
    for isolation in ["process", "in-process"] {
        let server = lab.serve_with(&["--set", &format!("modes.fast.isolation={isolation}")])?;
        let mut viewer = Viewer::connect(server.address(), 1).await?;
        let (sent, _) = viewer.lose(&gradient_jpeg(113, 40)?, true).await?;
        let path = format!("/v1/traces/{}", sent.trace_id);
        let trace: Value = serde_json::from_str(&server.get(&path)?.1)?;
        let message = trace["message"].as_str().unwrap_or_default();
        let start = format!("traceparent: Some(\"00-{}-", sent.trace_id);
        assert!(message.starts_with(&start) && message.ends_with("-01\")"), "{isolation}: {message}");
        assert!(!message.contains(&sent.span_id), "the call has a span of its own: {message}");
    }
    Ok(())
}

#[tokio::test]
async fn wrong_questions_are_told_what_would_be_right() -> Result<()> {
    let server = Server::start(&[])?;
    for (path, status, text) in [
        ("/v1/traces?slow=3", 400, "unknown field `slow`"),
        ("/v1/traces?limit=0", 400, "ask for 1 to 10000"),
        ("/v1/traces?slowest=1000000", 400, "ask for 1 to 10000"),
        ("/v1/traces?outcome=lost", 400, "answered or dropped"),
        ("/v1/traces?since=yesterday", 400, "since"),
        ("/v1/traces/xyz", 400, "32 hexadecimal digits"),
        ("/v1/traces/00000000000000000000000000000001", 404, "may have held it once"),
    ] {
        let (found, body) = server.get(path)?;
        assert!(found == status && body.contains(text), "{path}: {found} {body}");
    }
    let (status, body) = server.post_as("wrong", "/v1/admin/capture", "{\"seconds\": 1}")?;
    assert_eq!(status, 403, "pictures of people are for whoever holds the token: {body}");
    Ok(())
}

/// What `segue trace` says of `server`, and its exit code.
fn trace(server: &Server, arguments: &[&str]) -> Result<(String, Option<i32>)> {
    let mut command = segue(&["trace"]);
    let output = command.args(arguments).env("SEGUE_URL", server.url("")).env("SEGUE_ADMIN_TOKEN", TOKEN).output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((String::from_utf8(text)?, output.status.code()))
}

#[tokio::test]
async fn the_terminal_shows_what_is_slow_and_why() -> Result<()> {
    let lab = Lab::install(&built("libmisbehaving.so")?, "misbehaving", "dawdle_millis = \"80\"")?;
    let server = lab.serve()?;
    let (text, code) = trace(&server, &["--check"])?;
    assert!(code == Some(1) && text.contains("no frame came"), "{text}");
    let mut viewer = Viewer::connect(server.address(), 1).await?;
    for frame in 0..60 {
        let width = if frame % 20 == 19 { 112 } else { 64 };
        viewer.watch(&gradient_jpeg(width, 40)?, false).await?;
    }
    traces_when(&server, "?session=1", |document| {
        document["traces"][0]["is_painted"] == true && document["matched"] == 60
    })
    .await?;
    let (text, code) = trace(&server, &["--check"])?;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.starts_with("3 of 60 frames were slow or dropped, by the backend's network (plugin.infer)."),
        "{text}"
    );
    assert!(text.contains("3 x plugin.infer"), "{text}");
    let (text, code) = trace(&server, &["--slowest", "2"])?;
    assert_eq!((code, text.matches("  painted  ").count()), (Some(0), 2), "{text}");
    let (text, _) = trace(&server, &["--slowest", "1", "--json"])?;
    let slowest = &serde_json::from_str::<Value>(&text)?["traces"][0];
    let id = slowest["trace_id"].as_str().context("no id")?;
    let (text, _) = trace(&server, &[id])?;
    assert!(text.contains("plugin.infer") && text.contains(id), "{text}");
    let (text, code) = trace(&server, &["00000000000000000000000000000001"])?;
    assert!(code == Some(1) && text.contains("may have held it once"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incident_is_captured_into_one_file_and_read_without_the_server() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(&["--set", &format!("security.admin_token={TOKEN}")])?;
    let mut viewer = Viewer::connect(server.address(), 1).await?;
    let file = folder.path().join("incident.segue-capsule");
    let name = file.to_string_lossy().into_owned();
    let jpeg = gradient_jpeg(96, 54)?;
    let capture = {
        let (server, name) = (server.url(""), name.clone());
        tokio::task::spawn_blocking(move || {
            let arguments = ["trace", "capture", "--seconds", "1", "--frames", "-o", &name, "--url", &server];
            segue(&arguments).env("SEGUE_ADMIN_TOKEN", TOKEN).output()
        })
    };
    while !capture.is_finished() {
        viewer.watch(&jpeg, false).await?;
    }
    let output = capture.await??;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    drop(server);

    let open = |arguments: &[&str]| -> Result<(String, Option<i32>)> {
        let output = segue(&["trace", "open", &name]).args(arguments).output()?;
        Ok((String::from_utf8([output.stdout, output.stderr].concat())?, output.status.code()))
    };
    let (text, code) = open(&["--slowest", "1"])?;
    assert!(
        code == Some(0) && text.contains("profile default in generation 1") && text.contains("browser.paint"),
        "{text}"
    );
    let pictures = folder.path().join("pictures");
    let (text, code) = open(&["--pictures", &pictures.to_string_lossy()])?;
    assert_eq!(code, Some(0), "{text}");
    let first = fs::read_dir(&pictures)?.next().context("no picture")??;
    assert_eq!(fs::read(first.path())?, jpeg);

    let whole = fs::read(&file)?;
    fs::write(&file, &whole[..whole.len() / 2])?;
    let (text, code) = open(&[])?;
    assert!(code == Some(2) && text.contains("a part of one"), "{text}");
    Ok(())
}

#[tokio::test]
async fn the_log_tells_in_json_to_which_trace_a_line_belongs() -> Result<()> {
    let token = format!("security.admin_token={TOKEN}");
    let server = Server::start(&["--set", &token, "--set", "telemetry.log_format=json"])?;
    let (status, body) = server.post_as(TOKEN, "/v1/admin/plugins/selfie/reload", "")?;
    assert_eq!(status, 200, "{body}");
    let line: Value = serde_json::from_str(&server.log_until("Build swapped")?)?;
    let trace_id = line["span"]["trace_id"].as_str().context("no trace id")?.to_owned();
    assert_eq!((trace_id.len(), &line["span"]["name"]), (32, &json!("reload")));
    Ok(())
}
