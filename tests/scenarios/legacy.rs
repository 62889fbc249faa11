//! The legacy protocol, as an unmodified client of the system before this one sees it.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use segue_tests::{
    Client, Lab, LegacyClient, Profiles, Server, built, clip_frames, gradient_jpeg, legacy_frame, legacy_picture,
    test_data,
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// The keys of an object, in the order of the alphabet.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

/// The mode `fast`, run by `misbehaving`; `settings` are lines of TOML.
fn misbehaving(settings: &str) -> Result<Lab> {
    Lab::install(&built("libmisbehaving.so")?, "misbehaving", settings)
}

fn base64(bytes: &[u8]) -> Value {
    json!(BASE64_STANDARD.encode(bytes))
}

/// How many frames were dropped for `reason`, or answered when it is empty.
fn frames_of(server: &Server, reason: &str) -> Result<u64> {
    let outcome = if reason.is_empty() { "answered" } else { "dropped" };
    let name = format!("segue_frames_total{{mode=\"fast\",outcome=\"{outcome}\",reason=\"{reason}\"}}");
    Ok(server.metric(&name).unwrap_or_default())
}

/// Waits until so many frames are counted for each reason: an answered one is, once its socket has taken the answer.
fn counted(server: &Server, expected: &[(&str, u64)]) -> Result<()> {
    let now =
        || expected.iter().map(|&(reason, _)| Ok((reason, frames_of(server, reason)?))).collect::<Result<Vec<_>>>();
    for _ in 0..1000 {
        if now()? == expected {
            return Ok(());
        }
    }
    bail!("{:?} in place of {expected:?}", now()?)
}

#[tokio::test]
async fn a_whole_conversation() -> Result<()> {
    let server = Server::start(&[])?;
    let mut client = LegacyClient::connect(server.address()).await?;
    let modes = json!(["fast", "balanced", "accurate", "sota", "landscape"]);
    let connected = json!({
        "type": "connected", "status": "ready", "available_models": modes, "class_labels": ["background", "person"],
        "current_model": "fast",
    });
    assert_eq!(client.connected, connected);
    let health: Value = serde_json::from_str(&server.get("/health")?.1)?;
    assert_eq!(health, json!({"status": "healthy", "available_models": modes, "active_connections": 1}));
    client.text(json!({"type": "get_stats"})).await?;
    let none = json!({
        "type": "stats", "avg_inference_ms": 0.0, "min_inference_ms": 0.0, "max_inference_ms": 0.0, "avg_fps": 0.0,
    });
    assert_eq!(client.next().await?, none);
    for timestamp in 0..5 {
        let answer = client.segmented(1_760_000_000_000 + timestamp, &gradient_jpeg(320, 180)?).await?;
        assert_eq!(keys(&answer), ["data", "metadata", "timestamp", "type"]);
        let metadata = &answer["metadata"];
        assert_eq!(
            keys(metadata),
            ["avg_inference_ms", "detected_classes", "fps", "inference_time_ms", "model_mode", "total_time_ms"]
        );
        assert_eq!(metadata["model_mode"], "fast");
        let times = ["inference_time_ms", "total_time_ms", "avg_inference_ms"].map(|key| metadata[key].as_f64());
        ensure!(times.iter().all(|time| time.is_some_and(|time| time > 0.0)) && times[0] <= times[1], "{metadata}");
        assert_eq!(legacy_picture(&answer)?[..2], [0xFF, 0xD8]);
    }
    client.text(json!({"type": "get_stats"})).await?;
    let stats = client.next_of("stats").await?;
    let [min, avg, max] = ["min", "avg", "max"].map(|which| stats[format!("{which}_inference_ms")].as_f64());
    ensure!(min > Some(0.0) && min <= avg && avg <= max && stats["avg_fps"].as_f64() > Some(0.0), "{stats}");
    client.text(json!({"type": "change_mode", "model_mode": "landscape"})).await?;
    let changed = client.text_of("mode_changed").await?;
    assert_eq!(
        changed,
        json!({"type": "mode_changed", "model_mode": "landscape", "class_labels": ["background", "person"]})
    );
    assert_eq!(client.segmented(9, &gradient_jpeg(320, 180)?).await?["metadata"]["model_mode"], "landscape");
    client.text(json!({"type": "update_viz", "settings": {"visualization_mode": "contour"}})).await?;
    let settings = json!({"overlay_opacity": 0.6, "visualization_mode": "contour", "class_filter": null});
    assert_eq!(client.next().await?, json!({"type": "viz_updated", "settings": settings}));
    Ok(())
}

#[tokio::test]
async fn a_person_is_a_person() -> Result<()> {
    let Some(frames) = clip_frames("walk.mkv", 25, 3)? else { return Ok(()) };
    let data = test_data("labels of DeepLab").context("there are frames, and no data")?;
    let lab = Lab::beside_the_default("")?;
    lab.add_plugin(&built("plugins/libdeeplab.so")?, "libdeeplab.so")?;
    let weights = data.join("weights/deeplabv3-mobilenet-v2-voc/deeplabv3_mnv2_voc.f16.safetensors");
    fs::copy(weights, lab.path("models/own.safetensors"))?;
    let entry = "labels = \"voc\"\ndefault_variant = \"own\"\n[settings]\narchitecture = \"mobilenet-v2\"\nsquare = true\n\
                 [variants.own]\nfile = \"own.safetensors\"\n";
    lab.model("own", "deeplab", entry)?;
    lab.profile("[modes.own]\nmodel = \"own\"\nthreads = 2\n")?;
    let server = lab.serve()?;
    let mut client = LegacyClient::connect(server.address()).await?;
    for (mode, classes) in [("fast", 2), ("own", 21)] {
        client.text(json!({"type": "change_mode", "model_mode": mode})).await?;
        let changed = client.next_of("mode_changed").await?;
        let labels = changed["class_labels"].as_array().context("no labels")?;
        assert_eq!((&changed["model_mode"], labels.len()), (&json!(mode), classes));
        for (timestamp, frame) in (0..).zip(&frames) {
            let detected = client.segmented(timestamp, frame).await?["metadata"]["detected_classes"].clone();
            let detected = detected.as_array().context("no classes")?;
            ensure!(detected.contains(&json!("person")), "{mode}: {detected:?}");
            ensure!(detected.iter().all(|class| labels[1..].contains(class)), "{mode}: {detected:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_timestamp_is_echoed_as_it_came() -> Result<()> {
    let server = Server::start(&[])?;
    let mut client = LegacyClient::connect(server.address()).await?;
    let data = base64(&gradient_jpeg(64, 48)?);
    for timestamp in
        ["1760000000000.123", "1e3", "-0", "12345678901234567890123", "0.10000000000000000001", "\"noon\"", "null"]
    {
        client.text(format!(r#"{{"timestamp" : {timestamp} ,"type":"frame","data":{data}}}"#)).await?;
        let answer = client.next_text().await?;
        ensure!(answer.contains(&format!(r#""timestamp":{timestamp},"#)), "{timestamp}: {}", &answer[..200]);
    }
    client.text(json!({"type": "frame", "data": data})).await?;
    assert_eq!(client.next_of("segmentation").await?["timestamp"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_picture_may_come_as_a_data_url_or_as_base64_with_spaces_and_without_padding() -> Result<()> {
    let server = Server::start(&[])?;
    let mut client = LegacyClient::connect(server.address()).await?;
    let encoded = BASE64_STANDARD.encode(gradient_jpeg(64, 48)?);
    let lines: Vec<_> = encoded.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line)).collect();
    let same = client.segmented(0, &gradient_jpeg(64, 48)?).await?;
    for data in [
        format!("data:image/jpeg;base64,{encoded}"),
        format!(" data:image/jpeg;base64, {encoded}\n"),
        lines.join("\r\n"),
        encoded.trim_end_matches('=').to_owned(),
    ] {
        client.text(json!({"type": "frame", "data": data, "timestamp": 1})).await?;
        assert_eq!(client.next_of("segmentation").await?["data"], same["data"]);
    }
    // Slashes may be escaped, and letters, too.
    let escaped = encoded.replace('/', "\\/").replace('A', "\\u0041");
    client.text(format!(r#"{{"type":"frame","data":"{escaped}","timestamp":2}}"#)).await?;
    assert_eq!(client.next_of("segmentation").await?["data"], same["data"]);
    Ok(())
}

#[tokio::test]
async fn each_malformed_message_gets_an_error_and_the_session_lives() -> Result<()> {
    let server = Server::start(&[])?;
    let mut client = LegacyClient::connect(server.address()).await?;
    let jpeg = gradient_jpeg(64, 48)?;
    let viz = |settings: Value| json!({"type": "update_viz", "settings": settings}).to_string();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases = [
        ("INVALID_MESSAGE", String::new()),
        ("INVALID_MESSAGE", "hello".into()),
        ("INVALID_MESSAGE", "{}".into()),
        ("INVALID_MESSAGE", "[]".into()),
        ("INVALID_MESSAGE", deep.clone()),
        ("INVALID_MESSAGE", format!(r#"{{"type":{deep}}}"#)),
        ("INVALID_MESSAGE", r#"{"type":7}"#.into()),
        ("INVALID_MESSAGE", r#"{"type":"nonsense"}"#.into()),
        ("INVALID_MESSAGE", format!(r#"{{"type":"{}"}}"#, "x".repeat(1_000_000))),
        ("INVALID_MODE", r#"{"type":"change_mode"}"#.into()),
        ("INVALID_MODE", r#"{"type":"change_mode","model_mode":7}"#.into()),
        ("INVALID_MODE", r#"{"type":"change_mode","model_mode":"nonsense"}"#.into()),
        ("VIZ_UPDATE_FAILED", r#"{"type":"update_viz"}"#.into()),
        ("VIZ_UPDATE_FAILED", viz(json!("filled"))),
        ("VIZ_UPDATE_FAILED", viz(json!({"visualization_mode": "nonsense"}))),
        ("VIZ_UPDATE_FAILED", viz(json!({"overlay_opacity": 60}))),
        ("VIZ_UPDATE_FAILED", viz(json!({"overlay_opacity": -0.1}))),
        ("VIZ_UPDATE_FAILED", viz(json!({"class_filter": "person"}))),
        ("VIZ_UPDATE_FAILED", viz(json!({"class_filter": [true]}))),
        ("VIZ_UPDATE_FAILED", viz(json!({"class_filter": vec![1; 513], "visualization_mode": "blend"}))),
    ];
    for (timestamp, (code, message)) in (0..).zip(cases) {
        let shown = message.chars().take(100).collect::<String>();
        client.text(message).await?;
        let error = client.next_of("error").await.context(shown.clone())?;
        assert_eq!((&error["code"], &error["recoverable"]), (&json!(code), &json!(true)), "{shown}: {error}");
        ensure!(error["message"].as_str().is_some_and(|said| said.len() > 10 && said.len() < 500), "{error}");
        client.segmented(timestamp, &jpeg).await?;
    }
    client.send(Message::Binary(jpeg.clone().into())).await?;
    assert_eq!(client.next_of("error").await?["code"], "INVALID_MESSAGE");
    client.text(viz(json!({}))).await?;
    let settings = client.next_of("viz_updated").await?["settings"].clone();
    assert_eq!(settings["visualization_mode"], "filled", "what was refused changed nothing");
    counted(&server, &[("", 20), ("undecodable", 0)])
}

#[tokio::test]
async fn each_malformed_frame_gets_an_error_and_its_segmentation() -> Result<()> {
    let server = Server::start(&["--set", "limits.max_frame_len_bytes=20000"])?;
    let mut client = LegacyClient::connect(server.address()).await?;
    let jpeg = gradient_jpeg(64, 48)?;
    let cases = [
        (json!({"type": "frame"}), "data must be a string"),
        (json!({"type": "frame", "data": 7}), "data must be a string"),
        (json!({"type": "frame", "data": "&&&&"}), "no base64"),
        (json!({"type": "frame", "data": "data:image/jpeg,abcd"}), "not in base64"),
        (json!({"type": "frame", "data": ""}), "it is empty"),
        (json!({"type": "frame", "data": base64(b"no picture")}), "no JPEG"),
        (json!({"type": "frame", "data": base64(&jpeg[..jpeg.len() / 2])}), "cut short"),
        (json!({"type": "frame", "data": base64(&[0xFF; 20_001])}), "at most 20000"),
        (json!({"type": "frame", "data": base64(&jpeg), "timestamp": "x".repeat(63)}), "timestamp is longer than 64"),
    ];
    let blank = legacy_picture(&fault(&mut client, &cases[0], 1).await?)?;
    assert_eq!(blank[..2], [0xFF, 0xD8], "a picture even where there was none before");
    let last = client.segmented(2, &jpeg).await?["data"].clone();
    for case in &cases {
        assert_eq!(fault(&mut client, case, 3).await?["data"], last, "the picture that was drawn last");
    }
    assert_eq!(client.segmented(4, &jpeg).await?["data"], last);
    counted(&server, &[("undecodable", 9), ("too_large", 1), ("", 2)])?;
    let traces: Value = serde_json::from_str(&server.get("/v1/traces?outcome=dropped")?.1)?;
    assert_eq!(traces["matched"], 10, "each has its trace");
    Ok(())
}

/// Sends a frame that is at fault; its segmentation, once the error was told.
async fn fault(client: &mut LegacyClient, (frame, said): &(Value, &str), timestamp: u64) -> Result<Value> {
    let mut frame = frame.clone();
    let has_timestamp = frame["timestamp"] != Value::Null;
    if !has_timestamp {
        frame["timestamp"] = json!(timestamp);
    }
    client.text(&frame).await?;
    let error = client.next_of("error").await?;
    assert_eq!((&error["code"], &error["recoverable"]), (&json!("INFERENCE_FAILED"), &json!(true)));
    ensure!(error["message"].as_str().is_some_and(|message| message.contains(said)), "{error}, without {said:?}");
    let answer = client.next_of("segmentation").await?;
    assert_eq!(answer["timestamp"], if has_timestamp { Value::Null } else { json!(timestamp) });
    Ok(answer)
}

#[tokio::test]
async fn what_the_backend_fails_on_is_shown_as_it_is_and_told_once() -> Result<()> {
    let lab = misbehaving("")?;
    let server = lab.serve()?;
    let mut client = LegacyClient::connect(server.address()).await?;
    let (good, bad) = (gradient_jpeg(64, 48)?, gradient_jpeg(102, 48)?);
    for round in 0..2 {
        client.frame(1, &bad).await?;
        let error = client.next_of("error").await?;
        assert_eq!((&error["code"], &error["recoverable"]), (&json!("INFERENCE_FAILED"), &json!(true)));
        ensure!(error["message"].as_str().is_some_and(|said| said.contains("not to its taste")), "{error}");
        let answer = client.next_of("segmentation").await?;
        assert_eq!((&answer["timestamp"], &answer["data"]), (&json!(1), &base64(&bad)), "round {round}");
        assert_eq!(answer["metadata"]["detected_classes"], json!([]));
        // A dialog for every frame would leave nobody time to choose another mode.
        for _ in 0..5 {
            assert_eq!(client.segmented(2, &bad).await?["data"], base64(&bad));
        }
        assert_eq!(
            client.segmented(3, &good).await?["metadata"]["detected_classes"],
            json!(["nothing", "something"][1..])
        );
    }
    counted(&server, &[("backend_failed", 12), ("", 2)])
}

#[tokio::test]
async fn two_in_flight_never_stall_whatever_goes_wrong() -> Result<()> {
    let lab = misbehaving("")?;
    let server = lab.serve()?;
    let mut client = LegacyClient::connect(server.address()).await?;
    let (good, fails, panics, lies) =
        (gradient_jpeg(64, 48)?, gradient_jpeg(102, 48)?, gradient_jpeg(101, 48)?, gradient_jpeg(103, 48)?);
    let frames: Vec<Value> = (0..500)
        .map(|timestamp| match timestamp % 10 {
            1 => legacy_frame(timestamp, &fails),
            3 => legacy_frame(timestamp, &panics),
            4 => legacy_frame(timestamp, &lies),
            6 => legacy_frame(timestamp, b"no picture"),
            7 => json!({"type": "frame", "data": "&", "timestamp": timestamp}),
            _ => legacy_frame(timestamp, &good),
        })
        .collect();
    let flow = client.stream(&frames).await?;
    assert_eq!(flow.answers.len(), 500);
    ensure!(flow.others.iter().all(|other| other["code"] == "INFERENCE_FAILED"), "{:?}", flow.others);
    // A frame that is at fault may also give way to the next one, before anybody looks at it.
    let superseded = frames_of(&server, "superseded")?;
    let at_fault = frames_of(&server, "undecodable")? + frames_of(&server, "backend_failed")?;
    ensure!(at_fault > 100, "{at_fault} frames at fault");
    counted(&server, &[("", 500 - at_fault - superseded)])
}

#[tokio::test]
async fn frames_that_give_way_show_the_last_picture_and_those_that_expire_themselves() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let gate = folder.path().join("gate");
    let lab = misbehaving(&format!("gate = {:?}", gate.to_string_lossy()))?;
    lab.profile("")?;
    let server = lab.serve()?;
    let mut client = LegacyClient::connect(server.address()).await?;
    let (waits, other) = (gradient_jpeg(104, 48)?, gradient_jpeg(64, 48)?);
    client.frame(1, &waits).await?;
    server.log_until("Waits at the gate")?;
    lab.profile("[limits]\nmax_age_millis = 1")?;
    server.applied(2)?;
    // Nothing was drawn yet: the frame itself is all there is to show.
    client.frame(2, &other).await?;
    client.frame(3, &waits).await?;
    let superseded = client.next_of("segmentation").await?;
    assert_eq!((&superseded["timestamp"], &superseded["data"]), (&json!(2), &base64(&other)));
    // So many questions and answers take longer than a millisecond.
    for _ in 0..200 {
        client.text(json!({"type": "get_stats"})).await?;
        client.next_of("stats").await?;
    }
    lab.profile("")?;
    server.applied(3)?;
    fs::write(&gate, "")?;
    let drawn = client.next_of("segmentation").await?;
    assert_eq!(drawn["timestamp"], 1);
    let expired = client.next_of("segmentation").await?;
    assert_eq!((&expired["timestamp"], &expired["data"]), (&json!(3), &base64(&waits)));
    fs::remove_file(&gate)?;
    client.frame(4, &waits).await?;
    server.log_until("Waits at the gate")?;
    client.frame(5, &other).await?;
    client.frame(6, &other).await?;
    let superseded = client.next_of("segmentation").await?;
    assert_eq!((&superseded["timestamp"], &superseded["data"]), (&json!(5), &drawn["data"]));
    fs::write(&gate, "")?;
    for timestamp in [4, 6] {
        assert_eq!(client.next_of("segmentation").await?["timestamp"], timestamp);
    }
    counted(&server, &[("superseded", 2), ("expired", 1), ("", 3)])
}

#[tokio::test]
async fn one_in_flight_is_what_a_profile_may_allow() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = profiles.serve(&["--set", "capture.max_in_flight=1"])?;
    let mut client = LegacyClient::connect(server.address()).await?;
    let jpeg = gradient_jpeg(1280, 720)?;
    let frames: Vec<Value> = (0..40).map(|timestamp| legacy_frame(timestamp, &jpeg)).collect();
    let flow = client.stream(&frames).await?;
    assert_eq!((flow.answers.len(), flow.others.len()), (40, 0));
    let dropped = frames_of(&server, "rate_limited")? + frames_of(&server, "superseded")?;
    counted(&server, &[("", 40 - dropped)])
}

#[tokio::test]
async fn a_server_that_stops_answers_what_came() -> Result<()> {
    let server = Server::start(&[])?;
    let mut client = LegacyClient::connect(server.address()).await?;
    client.frame(1, &gradient_jpeg(640, 360)?).await?;
    server.signal("TERM")?;
    assert_eq!(client.next_of("segmentation").await?["timestamp"], 1);
    let end = client.next().await.err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(end.contains("1001"), "{end}");
    ensure!(server.wait()?.success(), "it did not stop cleanly");
    Ok(())
}

#[tokio::test]
async fn a_frame_of_the_largest_size_fits_into_a_text_and_one_far_larger_ends_the_session() -> Result<()> {
    let server = Server::start(&["--set", "limits.max_frame_len_bytes=6000000"])?;
    let mut client = LegacyClient::connect(server.address()).await?;
    // Bytes behind a JPEG's end are no part of the picture.
    let mut jpeg = gradient_jpeg(64, 48)?;
    jpeg.resize(6_000_000, 0);
    client.segmented(1, &jpeg).await?;
    jpeg.resize(11_000_000, 0);
    client.frame(2, &jpeg).await?;
    assert_eq!(client.next_of("error").await?["code"], "INFERENCE_FAILED");
    client.next_of("segmentation").await?;
    jpeg.resize(13_000_000, 0);
    // The server stops reading in the middle of it, so sending it may fail.
    let _ = client.frame(3, &jpeg).await;
    let error = client.next_of("error").await?;
    assert_eq!((&error["code"], &error["recoverable"]), (&json!("INVALID_MESSAGE"), &json!(false)));
    let mut other = LegacyClient::connect(server.address()).await?;
    other.segmented(1, &gradient_jpeg(64, 48)?).await?;
    Ok(())
}

#[tokio::test]
async fn a_client_that_never_reads_is_disconnected_and_harms_nobody() -> Result<()> {
    let server = Server::start(&["--set", "limits.send_timeout_millis=500"])?;
    let mut bystander = Client::connect(server.address()).await?;
    let mut silent = LegacyClient::connect(server.address()).await?;
    let jpeg = gradient_jpeg(1280, 720)?;
    for timestamp in 0.. {
        if silent.frame(timestamp, &jpeg).await.is_err() {
            break;
        }
        if timestamp % 20 == 0 {
            bystander.frame(timestamp as u32, &jpeg).await?;
            bystander.result().await?;
        }
    }
    server.log_until("Client takes nothing and is disconnected")?;
    bystander.frame(1, &jpeg).await?;
    bystander.result().await?;
    Ok(())
}

#[tokio::test]
async fn one_session_too_many_is_told_in_its_own_words() -> Result<()> {
    let server = Server::start(&["--set", "limits.max_sessions=1"])?;
    let _first = LegacyClient::connect(server.address()).await?;
    let refusal = LegacyClient::connect(server.address()).await.err().map(|error| error.to_string());
    ensure!(refusal.as_ref().is_some_and(|text| text.contains("TOO_MANY_SESSIONS")), "{refusal:?}");
    Ok(())
}
