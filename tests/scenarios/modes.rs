//! The life of the models behind modes: installed while others serve, shared, let go when idle, waited for.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use segue_tests::{Client, FileServer, Flow, Hosted, Lab, Live, Server, built, gradient_jpeg, segue};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A lab with the mode `fast`, run by `brightness`, which needs no weights, and `misbehaving` beside it.
fn lab() -> Result<Lab> {
    let lab = Lab::install(&built("libbrightness.so")?, "brightness", "threshold = 100")?;
    lab.add_plugin(&built("libmisbehaving.so")?, "libmisbehaving.so")?;
    fs::create_dir(lab.path("cache"))?;
    Ok(lab)
}

fn mode(server: &Server, name: &str) -> Result<Value> {
    let list: Value = serde_json::from_str(&server.get("/v1/modes")?.1)?;
    let modes = list["modes"].as_array().context("no modes")?;
    modes.iter().find(|mode| mode["name"] == name).cloned().with_context(|| format!("no {name}: {list}"))
}

/// The text `modes` in which `name` is in `state`.
async fn told(client: &mut Client, name: &str, state: &str) -> Result<Value> {
    loop {
        let text = client.text_of("modes").await?;
        let found = text["modes"].as_array().and_then(|modes| modes.iter().find(|mode| mode["name"] == name));
        if let Some(mode) = found.filter(|mode| mode["state"] == state) {
            return Ok(mode.clone());
        }
    }
}

fn workers(server: &Server) -> Result<usize> {
    let output = Command::new("pgrep").args(["-P", &server.id().to_string()]).output()?;
    Ok(String::from_utf8(output.stdout)?.lines().count())
}

/// Looks until it holds.
async fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..600 {
        if holds()? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("it never came to pass: {what}")
}

async fn workers_become(server: &Server, count: usize) -> Result<()> {
    until(&format!("{count} workers"), || Ok(workers(server)? == count)).await
}

async fn is_ready(server: &Server, name: &str) -> Result<()> {
    until(&format!("{name} is ready"), || Ok(mode(server, name)?["state"] == "ready")).await
}

/// Nobody but a newer frame took a frame's place, and there is one instance for two sessions.
fn flowed(flow: &Flow) -> Result<()> {
    let is_superseded = |dropped: &Value| dropped["reason"] == "superseded";
    ensure!(flow.answered > 0 && flow.dropped.iter().all(is_superseded), "{flow:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mode_without_weights_says_the_command_and_serves_once_that_was_run() -> Result<()> {
    let (lab, files) = (lab()?, FileServer::start()?);
    files.host("/net.bin", Hosted::plain(b"good"));
    let sha256 = hex::encode(Sha256::digest(b"good"));
    lab.model(
        "net",
        "misbehaving",
        &format!(
            "non_commercial = true\ndefault_variant = \"a\"\n[variants.a]\nfile = \"net.bin\"\nsha256 = \"{sha256}\"\n\
            [[sources]]\nurl = \"{}\"",
            files.url("/net.bin")
        ),
    )?;
    // Not even a mode that may fetch accepts a licence.
    lab.profile("[modes.sota]\nrank = 2\nmodel = \"net\"\ninstances = 1\nfetch = true")?;
    let server = lab.serve()?;
    let watching = Live::start(server.address(), gradient_jpeg(64, 50)?).await?;
    let mut client = Client::connect(server.address()).await?;
    let before = mode(&server, "sota")?;
    let command = "segue models pull net --accept-licence";
    assert_eq!((&before["state"], &before["command"]), (&json!("unavailable"), &json!(command)));
    ensure!(before["message"].as_str().is_some_and(|message| message.contains("net.bin is not here")), "{before}");
    assert_eq!(mode(&server, "fast")?["state"], "ready");
    client.text(json!({"type": "mode", "mode": "sota"})).await?;
    assert_eq!(client.text_of("mode").await?["state"], "unavailable");
    client.frame(1, &gradient_jpeg(64, 48)?).await?;
    assert_eq!(client.result().await?.mode, 0, "the session keeps its mode");
    assert_eq!(files.asked(), Vec::<String>::new());
    let pull = segue(&command.split(' ').skip(1).collect::<Vec<_>>())
        .args(&lab.places()[2..4])
        .args(&lab.places()[6..])
        .output()?;
    ensure!(pull.status.success(), "{}", String::from_utf8_lossy(&pull.stderr));
    let now = told(&mut client, "sota", "ready").await?;
    assert_eq!((&now["command"], &now["labels"][1]), (&json!(""), &json!("something")));
    client.text(json!({"type": "mode", "mode": "sota"})).await?;
    while client.text_of("mode").await?["state"] != "ready" {}
    client.frame(2, &gradient_jpeg(64, 48)?).await?;
    assert_eq!(json!(client.result().await?.mode), now["index"]);
    let flow = watching.finish().await?;
    ensure!(flow.modes.len() == 1, "{flow:?}");
    flowed(&flow)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modes_of_one_model_share_it_through_swaps() -> Result<()> {
    let lab = lab()?;
    // The same as `fast` in all that its model depends on.
    lab.profile("[modes.twin]\nrank = 2\nmodel = \"test\"\ninstances = 1\nfallback = \"fast\"")?;
    let server = lab.serve()?;
    let mut client = Client::connect(server.address()).await?;
    is_ready(&server, "fast").await?;
    is_ready(&server, "twin").await?;
    assert_eq!(workers(&server)?, 1);
    let watching = Live::start(server.address(), gradient_jpeg(64, 50)?).await?;
    client.text(json!({"type": "mode", "mode": "twin"})).await?;
    while client.text_of("mode").await?["state"] != "ready" {}
    for frame_id in 0..20 {
        client.frame(frame_id, &gradient_jpeg(64, 48)?).await?;
        assert_eq!(client.result().await?.mode, 1);
    }
    let build = [fs::read(built("libbrightness.so")?)?, b"another build".to_vec()].concat();
    fs::write(lab.path("plugins/libinstalled.so"), build)?;
    let before = (mode(&server, "fast")?["build"].clone(), mode(&server, "twin")?["build"].clone());
    let is_swapped = || Ok(mode(&server, "fast")?["build"] != before.0 && mode(&server, "twin")?["build"] != before.1);
    until("both are swapped", is_swapped).await?;
    workers_become(&server, 1).await?;
    client.frame(99, &gradient_jpeg(64, 48)?).await?;
    assert_eq!(json!(client.result().await?.mode), mode(&server, "twin")?["index"]);
    let flow = watching.finish().await?;
    flowed(&flow)?;
    // Other settings make it another model.
    lab.profile("[modes.twin]\nrank = 2\nmodel = \"test\"\ninstances = 1\nthreads = 0")?;
    server.applied(4)?;
    workers_become(&server, 2).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_nobody_uses_is_let_go_and_loaded_again_for_the_next_frame() -> Result<()> {
    let lab = lab()?;
    let gate = lab.path("gate");
    fs::write(&gate, "")?;
    lab.model("rare", "misbehaving", &format!("[settings]\nload_gate = {:?}", gate.to_string_lossy()))?;
    lab.profile("[modes.rare]\nrank = 2\nmodel = \"rare\"\ninstances = 2\nrelease_after_millis = 300")?;
    let server = lab.serve()?;
    let mut client = Client::connect(server.address()).await?;
    client.text(json!({"type": "mode", "mode": "rare"})).await?;
    while client.text_of("mode").await?["state"] != "ready" {}
    client.frame(1, &gradient_jpeg(64, 48)?).await?;
    let first = client.result().await?;
    server.log_until("Mode is idle, its model is let go")?;
    workers_become(&server, 1).await?;
    let asleep = mode(&server, "rare")?;
    assert_eq!((&asleep["state"], &asleep["labels"]), (&json!("ready"), &json!(["nothing", "something"])));
    ensure!(asleep["message"].as_str().is_some_and(|message| message.contains("next frame has it loaded")), "{asleep}");
    fs::remove_file(&gate)?;
    client.frame(2, &gradient_jpeg(64, 48)?).await?;
    told(&mut client, "rare", "loading").await?;
    fs::write(&gate, "")?;
    let again = client.result().await?;
    assert_eq!((again.mode, &again.labels), (first.mode, &first.labels));
    workers_become(&server, 3).await?;
    // Another choice finds it asleep, and a picture, too.
    server.log_until("Mode is idle, its model is let go")?;
    let mut other = Client::connect(server.address()).await?;
    other.text(json!({"type": "mode", "mode": "rare"})).await?;
    assert_eq!(other.text_of("mode").await?["state"], "loading");
    while other.text_of("mode").await?["state"] != "ready" {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_keeps_its_mode_until_the_one_it_chose_is_ready_however_long_that_takes() -> Result<()> {
    let lab = lab()?;
    let gate = lab.path("gate");
    lab.model("slow", "misbehaving", &format!("[settings]\nload_gate = {:?}", gate.to_string_lossy()))?;
    lab.model("broken", "misbehaving", "[settings]\nno_gate = 7")?;
    lab.profile(
        "[modes.slow]\nrank = 2\nmodel = \"slow\"\ninstances = 1\n[modes.broken]\nrank = 3\nmodel = \"broken\"\ninstances = 1",
    )?;
    let server = lab.serve()?;
    let others = Live::start(server.address(), gradient_jpeg(64, 50)?).await?;
    let mut client = Client::connect(server.address()).await?;
    let jpeg = gradient_jpeg(64, 48)?;
    client.text(json!({"type": "mode", "mode": "slow"})).await?;
    assert_eq!(client.text_of("mode").await?["state"], "loading");
    for frame_id in 0..10 {
        client.frame(frame_id, &jpeg).await?;
        assert_eq!(client.result().await?.mode, 0);
    }
    client.text(json!({"type": "mode", "mode": "broken"})).await?;
    while client.text_of("mode").await?["state"] != "unavailable" {}
    client.frame(10, &jpeg).await?;
    assert_eq!(client.result().await?.mode, 0);
    client.text(json!({"type": "mode", "mode": "slow"})).await?;
    assert_eq!(client.text_of("mode").await?["state"], "loading");
    fs::write(&gate, "")?;
    while client.text_of("mode").await?["state"] != "ready" {}
    client.frame(11, &jpeg).await?;
    assert_eq!(client.result().await?.mode, 1);
    let flow = others.finish().await?;
    ensure!(flow.modes.len() == 1, "{flow:?}");
    flowed(&flow)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_set_that_is_edited_names_the_next_frames_classes() -> Result<()> {
    let lab = Lab::beside_the_default("")?;
    let set = |second: &str| {
        let class = |label: &str| format!("{{ label = \"{label}\", colour = [1, 2, 3] }}");
        let text = format!("title = \"Light\"\nclasses = [{}, {}]\n", class("night"), class(second));
        fs::write(lab.path("models/labels/light.toml"), text)
    };
    set("day")?;
    let entry = fs::read_to_string(lab.path("models/selfie.toml"))?;
    let (entry, _) = entry.split_once("[[classes]]").context("no classes")?;
    fs::write(lab.path("models/selfie.toml"), format!("labels = \"light\"\n{entry}"))?;
    let server = lab.serve()?;
    is_ready(&server, "fast").await?;
    assert_eq!(mode(&server, "fast")?["labels"], json!(["night", "day"]));
    set("noon")?;
    until("the new labels", || Ok(mode(&server, "fast")?["labels"] == json!(["night", "noon"]))).await
}
