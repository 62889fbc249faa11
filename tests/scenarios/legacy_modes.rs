//! Modes as a client of the legacy protocol sees them: chosen, loading, failing, and changed behind its back.

use std::fs;

use anyhow::{Result, ensure};
use segue_tests::{Lab, LegacyClient, Profiles, Server, built, free_port, gradient_jpeg, legacy_picture, segue};
use serde_json::{Value, json};

/// A lab with the mode `fast`, run by `brightness`, and `misbehaving` beside it.
fn lab() -> Result<Lab> {
    let lab = Lab::install(&built("libbrightness.so")?, "brightness", "threshold = 100")?;
    lab.add_plugin(&built("libmisbehaving.so")?, "libmisbehaving.so")?;
    Ok(lab)
}

fn change(mode: &str) -> Value {
    json!({"type": "change_mode", "model_mode": mode})
}

fn changed(mode: &str, labels: [&str; 2]) -> Value {
    json!({"type": "mode_changed", "model_mode": mode, "class_labels": labels})
}

const BRIGHTNESS: [&str; 2] = ["dark", "bright"];
const MISBEHAVING: [&str; 2] = ["nothing", "something"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mode_that_is_loading_is_told_of_once_it_is_ready_and_an_unavailable_one_with_its_reason() -> Result<()> {
    let lab = lab()?;
    let gate = lab.path("gate");
    lab.model("slow", "misbehaving", &format!("[settings]\nload_gate = {:?}", gate.to_string_lossy()))?;
    lab.model("broken", "misbehaving", "[settings]\nno_gate = 7")?;
    lab.profile(
        "[modes.slow]\nrank = 2\nmodel = \"slow\"\ninstances = 1\n[modes.broken]\nrank = 3\nmodel = \"broken\"\ninstances = 1",
    )?;
    let server = lab.serve()?;
    let mut client = LegacyClient::connect(server.address()).await?;
    assert_eq!(client.connected["available_models"], json!(["fast", "slow", "broken"]));
    let jpeg = gradient_jpeg(64, 48)?;
    client.text(change("slow")).await?;
    for timestamp in 0..10 {
        assert_eq!(client.segmented(timestamp, &jpeg).await?["metadata"]["model_mode"], "fast");
    }
    fs::write(&gate, "")?;
    assert_eq!(client.next().await?, changed("slow", MISBEHAVING));
    assert_eq!(client.segmented(11, &jpeg).await?["metadata"]["model_mode"], "slow");
    client.text(change("slow")).await?;
    assert_eq!(client.next().await?, changed("slow", MISBEHAVING), "whoever asks is answered");
    client.text(change("broken")).await?;
    let error = client.next_of("error").await?;
    assert_eq!((&error["code"], &error["recoverable"]), (&json!("MODE_CHANGE_FAILED"), &json!(true)));
    ensure!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{error}");
    client.text(change("Nonsense")).await?;
    let error = client.next_of("error").await?;
    assert_eq!(error["code"], "INVALID_MODE");
    ensure!(error["message"].as_str().is_some_and(|message| message.contains("fast, slow, broken")), "{error}");
    assert_eq!(client.segmented(12, &jpeg).await?["metadata"]["model_mode"], "slow", "the session keeps its mode");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_while_the_default_mode_loads_sees_its_video_and_then_its_classes() -> Result<()> {
    let lab = lab()?;
    let gate = lab.path("gate");
    lab.model("test", "misbehaving", &format!("[settings]\nload_gate = {:?}", gate.to_string_lossy()))?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut command = segue(&["serve", "--listen", &address]);
    command.args(lab.places());
    // It says where it listens once its default mode is ready, which is later.
    let starting = std::thread::spawn(move || Server::start_command(&mut command));
    let mut client = loop {
        match LegacyClient::connect(&address).await {
            Ok(client) => break client,
            Err(_not_yet) => tokio::task::yield_now().await,
        }
    };
    assert_eq!((&client.connected["status"], &client.connected["class_labels"]), (&json!("ready"), &json!([])));
    let health = ureq::Agent::from(ureq::Agent::config_builder().http_status_as_error(false).build());
    let mut health = health.get(format!("http://{address}/health")).call()?;
    assert_eq!(health.status(), 503);
    let health: Value = serde_json::from_str(&health.body_mut().read_to_string()?)?;
    assert_eq!((&health["status"], &health["active_connections"]), (&json!("loading"), &json!(1)));
    let jpeg = gradient_jpeg(64, 48)?;
    client.frame(0, &jpeg).await?;
    for timestamp in 1..5 {
        client.frame(timestamp, &jpeg).await?;
        let answer = client.next_of("segmentation").await?;
        assert_eq!((&answer["timestamp"], legacy_picture(&answer)?), (&json!(timestamp - 1), jpeg.clone()));
    }
    fs::write(&gate, "")?;
    let server = starting.join().map_err(|_panicked| anyhow::anyhow!("the start failed"))??;
    let (mut is_told, mut is_answered) = (false, false);
    while !is_told || !is_answered {
        match client.next().await? {
            message if message["type"] == "segmentation" => is_answered = message["timestamp"] == 4,
            message => {
                assert_eq!(message, changed("fast", MISBEHAVING));
                is_told = true;
            }
        }
    }
    client.segmented(5, &jpeg).await?;
    assert_eq!(server.get("/health")?.0, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mode_that_goes_takes_its_clients_to_the_default_one() -> Result<()> {
    let profiles = Profiles::copy()?;
    profiles.overlay("default", "[modes.mine]\nrank = 9\nmodel = \"selfie\"")?;
    let server = profiles.serve(&[])?;
    let mut client = LegacyClient::connect(server.address()).await?;
    client.text(change("mine")).await?;
    assert_eq!(client.text_of("mode_changed").await?["model_mode"], "mine");
    client.segmented(1, &gradient_jpeg(64, 48)?).await?;
    profiles.overlay("default", "")?;
    assert_eq!(client.next().await?, changed("fast", ["background", "person"]));
    assert_eq!(client.segmented(2, &gradient_jpeg(64, 48)?).await?["metadata"]["model_mode"], "fast");
    profiles.overlay("default", "[modes.fast]\nvariant = \"landscape\"")?;
    assert_eq!(client.next().await?, changed("fast", ["background", "person"]), "another model behind it");
    client.segmented(3, &gradient_jpeg(64, 48)?).await?;
    profiles.overlay("default", "[modes.fast]\nvariant = \"landscape\"\n[result]\nmax_width_px = 100")?;
    server.applied(4)?;
    let answer = client.segmented(4, &gradient_jpeg(200, 100)?).await?;
    let picture = legacy_picture(&answer)?;
    let frame_header = picture.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a baseline JPEG");
    assert_eq!(picture[frame_header + 5..frame_header + 9], [0, 50, 0, 100]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fallback_answers_while_a_mode_is_unavailable() -> Result<()> {
    let lab = lab()?;
    lab.model("weak", "misbehaving", "")?;
    lab.profile("[modes.weak]\nrank = 2\nmodel = \"weak\"\ninstances = 1\nfallback = \"fast\"")?;
    let server = lab.serve()?;
    let mut client = LegacyClient::connect(server.address()).await?;
    client.text(change("weak")).await?;
    assert_eq!(client.next().await?, changed("weak", MISBEHAVING));
    // It aborts until it is given up, and rests in between.
    let (aborts, good) = (gradient_jpeg(111, 48)?, gradient_jpeg(64, 48)?);
    let mut timestamp = 0;
    let told = loop {
        timestamp += 1;
        client.frame(timestamp, &aborts).await?;
        let mut message = client.next().await?;
        while message["type"] == "error" {
            message = client.next().await?;
        }
        if message["type"] == "mode_changed" {
            break message;
        }
        ensure!(message["timestamp"] == timestamp, "{message}");
    };
    assert_eq!(told, changed("fast", BRIGHTNESS));
    client.text_of("segmentation").await?;
    assert_eq!(client.segmented(1000, &good).await?["metadata"]["model_mode"], "fast");
    Ok(())
}

#[test]
fn health_tells_the_truth() -> Result<()> {
    let lab = lab()?;
    lab.model("broken", "misbehaving", "[settings]\nno_gate = 7")?;
    let settings = |default: &str, modes: &[&str]| -> Result<Server> {
        let modes = modes.iter().map(|mode| format!("[modes.{mode}]\nmodel = \"{mode}\"\ninstances = 1\n"));
        lab.profile(&format!("[server]\ndefault_mode = \"{default}\"\n{}", modes.collect::<String>()))?;
        let server = lab.serve()?;
        server.log_until("Mode is ready mode=\"fast\"")?;
        Ok(server)
    };
    let health = |server: &Server| -> Result<(u16, Value)> {
        let (status, body) = server.get("/health")?;
        let body: Value = serde_json::from_str(&body)?;
        ensure!(body["active_connections"] == 0 && body["available_models"].is_array(), "{body}");
        Ok((status, body["status"].clone()))
    };
    assert_eq!(health(&settings("fast", &["broken"])?)?, (200, json!("healthy")));
    assert_eq!(health(&settings("broken", &["broken"])?)?, (200, json!("degraded")));
    let server = settings("fast", &[])?;
    let mut answer = ureq::get(server.url("/")).header("accept", "application/json").call()?;
    let root: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
    assert_eq!((&root["name"], &root["status"]), (&json!("Segue"), &json!("healthy")));
    ensure!(root["version"].is_string(), "{root}");
    let mut page = ureq::get(server.url("/")).header("accept", "text/html,application/json").call()?;
    ensure!(page.body_mut().read_to_string()?.starts_with("<!doctype html>"), "a browser gets the page");
    Ok(())
}
