//! What `/metrics` says after real frames.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use segue_tests::{Client, Profiles, Server, gradient_jpeg};
use serde_json::json;

const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2";

/// The samples of a scrape.
struct Scrape(String);

impl Scrape {
    fn plain(server: &Server) -> Result<Self> {
        Ok(Self(server.metrics("text/plain")?.0))
    }

    fn value(&self, name: &str) -> Result<f64> {
        let value = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.with_context(|| format!("no {name} in\n{}", self.0))?.parse()?)
    }

    fn has(&self, start: &str) -> bool {
        self.0.lines().any(|line| line.starts_with(start))
    }
}

#[tokio::test]
async fn every_frame_is_told_by_mode_outcome_and_stage() -> Result<()> {
    let server = Server::start(&[])?;
    let mut client = Client::connect(server.address()).await?;
    let jpeg = gradient_jpeg(64, 64)?;
    for frame in 1..=3 {
        client.painted(frame, &jpeg, [frame as u8; 16]).await?;
    }
    client.frame(4, b"no picture").await?;
    client.text_of("dropped").await?;
    // What it answers after that was said after the paint was read.
    client.text(json!({"type": "stats"})).await?;
    client.text_of("stats").await?;
    let scrape = Scrape::plain(&server)?;
    let counts = [
        (r#"segue_frames_total{mode="fast",outcome="answered",reason=""}"#, 3.0),
        (r#"segue_frames_total{mode="fast",outcome="dropped",reason="undecodable"}"#, 1.0),
        (r#"segue_frames_total{mode="fast",outcome="dropped",reason="expired"}"#, 0.0),
        (r#"segue_frame_latency_seconds_count{mode="fast"}"#, 3.0),
        (r#"segue_frame_server_seconds_count{mode="fast"}"#, 3.0),
        (r#"segue_queue_age_seconds_count{mode="fast"}"#, 4.0),
        (r#"segue_frames_in_flight{mode="fast"}"#, 0.0),
        (r#"segue_frames_waiting{mode="fast"}"#, 0.0),
        (r#"segue_mode_state{mode="fast",state="ready"}"#, 1.0),
        (r#"segue_mode_state{mode="fast",state="loading"}"#, 0.0),
        (r#"segue_instance_restarts_total{mode="fast"}"#, 0.0),
        (r#"segue_backend_failures_total{mode="fast",cause="died"}"#, 0.0),
        (r#"segue_payload_bytes_total{direction="received"}"#, (3 * jpeg.len() + "no picture".len()) as f64),
        (r#"segue_spans_total{outcome="queue_full"}"#, 0.0),
        ("segue_frame_latency_target_seconds", 0.2),
        ("segue_sessions", 1.0),
        ("segue_models_draining", 0.0),
    ];
    for (name, value) in counts {
        assert_eq!(scrape.value(name)?, value, "{name}");
    }
    let told: Vec<_> = scrape.0.lines().filter(|line| line.starts_with("# HELP ")).collect();
    let twice = told
        .iter()
        .find(|help| told.iter().filter(|other| other.split(' ').nth(2) == help.split(' ').nth(2)).count() > 1);
    assert_eq!(twice, None, "a metric is told once");
    let stages = [
        "browser.capture",
        "browser.encode",
        "browser.send",
        "network.up",
        "server.receive",
        "server.queue",
        "server.decode",
        "plugin.preprocess",
        "plugin.infer",
        "plugin.postprocess",
        "plugin.other",
        "server.encode",
        "server.send",
        "network.down",
        "browser.receive",
        "browser.decode",
        "browser.paint",
    ];
    for stage in stages {
        let count = format!(r#"segue_stage_duration_seconds_count{{mode="fast",stage="{stage}"}}"#);
        assert_eq!(scrape.value(&count)?, 3.0, "{stage}");
    }
    let latency = scrape.value(r#"segue_frame_latency_seconds_sum{mode="fast"}"#)?;
    assert!(latency > 3.0 * 0.007, "capture to paint: {latency} s");
    assert!(scrape.has(r#"segue_mode_info{mode="fast",model="selfie/general",backend="selfie",build=""#));
    for memory in ["segue_resident_memory_bytes", r#"segue_worker_resident_memory_bytes{mode="fast"}"#] {
        let bytes = scrape.value(memory)?;
        assert!((1e6..1e10).contains(&bytes), "{memory} {bytes}");
    }
    let age = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() - scrape.value("segue_start_time_seconds")?;
    assert!((0.0..600.0).contains(&age), "started {age} s ago");
    assert!(scrape.has("segue_build_info{version=\""));
    Ok(())
}

#[tokio::test]
async fn exemplars_lead_from_a_bucket_to_a_trace() -> Result<()> {
    let server = Server::start(&[])?;
    let mut client = Client::connect(server.address()).await?;
    client.painted(1, &gradient_jpeg(64, 64)?, [0xAB; 16]).await?;
    client.text(json!({"type": "stats"})).await?;
    client.text_of("stats").await?;
    let (text, kind) = server.metrics(OPEN_METRICS)?;
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(text.ends_with("# EOF\n"));
    let exemplar = format!(" # {{trace_id=\"{}\"}} ", "ab".repeat(16));
    let leads_there = |start: &str, label: &str| {
        text.lines().any(|line| line.starts_with(start) && line.contains(label) && line.contains(&exemplar))
    };
    for (start, label) in [
        ("segue_frame_latency_seconds_bucket{", ""),
        ("segue_frame_server_seconds_bucket{", ""),
        ("segue_stage_duration_seconds_bucket{", "stage=\"plugin.infer\""),
        ("segue_stage_duration_seconds_bucket{", "stage=\"browser.paint\""),
    ] {
        assert!(leads_there(start, label), "no exemplar at {start} {label} in\n{text}");
    }
    let (plain, kind) = server.metrics("text/plain")?;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert!(!plain.contains("trace_id") && !plain.contains("# UNIT") && !plain.contains("# EOF"), "{plain}");
    Ok(())
}

#[tokio::test]
async fn a_mode_that_left_the_profile_is_in_no_gauge() -> Result<()> {
    let profiles = Profiles::copy()?;
    let usual = profiles.text("default")?;
    let brief = "\n[modes.brief]\nmodel = \"selfie\"\ninstances = 1\n";
    profiles.write("default", format!("{usual}{brief}"))?;
    let server = profiles.serve(&[])?;
    let mut client = Client::connect(server.address()).await?;
    client.text(json!({"type": "mode", "mode": "brief"})).await?;
    while client.text_of("mode").await?["state"] != "ready" {}
    client.frame(1, &gradient_jpeg(64, 64)?).await?;
    client.result().await?;
    let gauges = ["segue_mode_state", "segue_mode_info", "segue_instances", "segue_frames_in_flight"];
    let before = Scrape::plain(&server)?;
    for gauge in gauges {
        ensure!(before.has(&format!("{gauge}{{mode=\"brief\"")), "no {gauge} in\n{}", before.0);
    }
    profiles.write("default", &usual)?;
    server.applied(2)?;
    let mut after = Scrape::plain(&server)?;
    // Its last frame may still hold it for a moment.
    while after.value("segue_models_draining")? > 0.0 {
        after = Scrape::plain(&server)?;
    }
    for gauge in gauges {
        ensure!(!after.has(&format!("{gauge}{{mode=\"brief\"")), "{gauge} in\n{}", after.0);
    }
    assert_eq!(after.value(r#"segue_frames_total{mode="brief",outcome="answered",reason=""}"#)?, 1.0);
    Ok(())
}
