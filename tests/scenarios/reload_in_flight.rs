//! A reload while a frame is being segmented, or a model is being loaded: a gate holds it there as long as that takes.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use segue_tests::{Client, Event, Profiles, Server, gradient_jpeg, program};
use serde_json::{Value, json};

/// Frames of this width wait at the gate.
const WAITS_AT_WIDTH: u16 = 104;

/// A server whose only mode has a gate.
struct Scene {
    profiles: Profiles,
    server: Server,
    client: Client,
    held: Vec<u8>,
    free: Vec<u8>,
}

impl Scene {
    async fn set() -> Result<Self> {
        let profiles = Profiles::copy()?;
        let (plugins, models) = (profiles.outside().join("plugins"), profiles.outside().join("models"));
        fs::create_dir(&plugins)?;
        fs::create_dir(&models)?;
        let built = program().parent().context("the program lies in no directory")?.join("libmisbehaving.so");
        fs::copy(built, plugins.join("libmisbehaving.so"))?;
        let model = "backend = \"misbehaving\"\ntitle = \"Test\"\nlicence = \"MIT\"\n";
        fs::write(models.join("gated.toml"), model)?;
        let base = profiles.text("base")?;
        let (before, rest) = base.split_once("[modes.fast]").context("no mode in base.toml")?;
        let (_, after) = rest.split_once("# What the server accepts.").context("no limits in base.toml")?;
        let gate = profiles.outside().join("gate");
        let mode = format!("[modes.fast]\nmodel = \"gated\"\ninstances = 1\nsettings.gate = {gate:?}\n");
        profiles.write("base", [before, &mode, after].concat())?;
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let server = profiles.serve(&["--plugins", &text(plugins), "--models", &text(models)])?;
        let client = Client::connect(server.address()).await?;
        let (held, free) = (gradient_jpeg(WAITS_AT_WIDTH, 50)?, gradient_jpeg(64, 50)?);
        Ok(Self { profiles, server, client, held, free })
    }

    /// Sends a frame, and waits until it stands at the gate.
    async fn hold(&mut self, frame_id: u32) -> Result<()> {
        self.client.frame(frame_id, &self.held).await?;
        self.server.log_until("Waits at the gate").map(drop)
    }

    fn gate(&self) -> PathBuf {
        self.profiles.outside().join("gate")
    }

    fn open_gate(&self) -> Result<()> {
        Ok(fs::write(self.gate(), "")?)
    }

    fn close_gate(&self) -> Result<()> {
        Ok(fs::remove_file(self.gate())?)
    }
}

#[tokio::test]
async fn a_frame_in_flight_is_answered_under_the_configuration_that_it_came_under() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.hold(1).await?;
    scene.profiles.overlay("default", "[capture]\njpeg_quality = 33\n[result]\nmax_width_px = 52")?;
    assert_eq!(scene.client.text_of("limits").await?["generation"], 2, "the client is told at once");
    scene.open_gate()?;
    let result = scene.client.result().await?;
    assert_eq!((result.frame_id, result.generation, result.width), (1, 1, 104));
    scene.client.frame(2, &scene.held).await?;
    let result = scene.client.result().await?;
    assert_eq!((result.frame_id, result.generation, result.width), (2, 2, 52));
    Ok(())
}

#[tokio::test]
async fn fewer_frames_in_flight_are_asked_of_what_was_sent_after_the_client_knew() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.hold(1).await?;
    scene.profiles.overlay("default", "[capture]\nmax_in_flight = 1")?;
    scene.server.applied(2)?;
    // The client has not read of it yet: this one was on its way.
    scene.client.frame(2, &scene.free).await?;
    assert_eq!(scene.client.text_of("limits").await?["max_in_flight"], 1);
    // The answer to this comes once that frame was received.
    scene.client.text(json!({"type": "clock", "sent": 1})).await?;
    scene.client.text_of("clock").await?;
    scene.open_gate()?;
    assert_eq!(scene.client.result().await?.frame_id, 1);
    assert_eq!(scene.client.result().await?.frame_id, 2);
    // From now on it knows better.
    scene.close_gate()?;
    scene.hold(3).await?;
    for frame_id in 4..10 {
        scene.client.frame(frame_id, &scene.free).await?;
        let Event::Text(dropped) = scene.client.answer().await? else { anyhow::bail!("frame {frame_id} was let in") };
        assert_eq!((&dropped["frame_id"], &dropped["reason"]), (&json!(frame_id), &json!("rate_limited")));
    }
    scene.open_gate()?;
    assert_eq!(scene.client.result().await?.frame_id, 3);
    scene.client.frame(10, &scene.free).await?;
    assert_eq!(scene.client.result().await?.frame_id, 10);
    Ok(())
}

#[tokio::test]
async fn a_model_that_is_replaced_ends_what_it_has_begun_and_is_let_go_then() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.hold(1).await?;
    scene.profiles.overlay("default", "[modes.fast.settings]\nanother = \"setting\"")?;
    scene.server.applied(2)?;
    let mut other = Client::connect(scene.server.address()).await?;
    other.frame(1, &scene.free).await?;
    let result = other.result().await?;
    assert_eq!((result.generation, result.mode), (2, 1), "the new model serves while the old one is busy");
    assert!(!scene.server.log_has("Model is drained"), "the old model still has a frame");
    scene.open_gate()?;
    let result = scene.client.result().await?;
    assert_eq!((result.frame_id, result.generation, result.mode), (1, 1, 0));
    scene.server.log_until("Model is drained and let go")?;
    scene.client.frame(2, &scene.free).await?;
    let result = scene.client.result().await?;
    assert_eq!((result.frame_id, result.generation, result.mode), (2, 2, 1));
    Ok(())
}

#[tokio::test]
async fn a_frame_in_flight_survives_the_end_of_its_mode() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.profiles.overlay("default", "[modes.other]\nmodel = \"gated\"\ninstances = 1")?;
    scene.server.applied(2)?;
    scene.hold(1).await?;
    let base = scene.profiles.text("base")?;
    let (before, rest) = base.split_once("[modes.fast]").context("no mode in base.toml")?;
    let (_, after) = rest.split_once("\n\n").context("nothing after the mode")?;
    let base = [before, "[modes.other]\nmodel = \"gated\"\ninstances = 1\n\n", after].concat();
    scene.profiles.write("base", base.replace("default_mode = \"fast\"", "default_mode = \"other\""))?;
    let mode = scene.client.text_of("mode").await?;
    assert_eq!((&mode["mode"], &mode["state"]), (&json!("other"), &json!("ready")));
    scene.open_gate()?;
    let result = scene.client.result().await?;
    assert_eq!((result.frame_id, result.generation, result.mode), (1, 2, 0));
    scene.client.frame(2, &scene.free).await?;
    let result = scene.client.result().await?;
    assert_eq!((result.frame_id, result.generation, result.mode), (2, 3, 1));
    scene.server.log_until("Model is drained and let go").map(drop)
}

#[tokio::test]
async fn a_newer_edit_supersedes_one_whose_model_is_still_loading() -> Result<()> {
    let mut scene = Scene::set().await?;
    let slow = format!("[modes.slow]\nmodel = \"gated\"\nsettings.load_gate = {:?}\n", scene.gate());
    scene.profiles.overlay("default", &slow)?;
    scene.server.log_until("Waits at the load_gate")?;
    // Nobody notices yet.
    scene.client.frame(1, &scene.free).await?;
    assert_eq!(scene.client.result().await?.generation, 1);
    scene.profiles.overlay("default", "[capture]\njpeg_quality = 33")?;
    let limits = scene.client.text_of("limits").await?;
    assert_eq!((&limits["generation"], &limits["jpeg_quality"]), (&json!(2), &json!(33)));
    scene.server.applied(2)?;
    let reloads = scene.server.reloads()?;
    let outcomes: Vec<_> = reloads["reloads"].as_array().into_iter().flatten().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, ["applied", "superseded", "applied"], "{reloads}");
    assert_eq!(reloads["standing"], Value::Null);
    // What was loaded for nobody is let go.
    scene.open_gate()?;
    scene.server.log_until("Model is drained and let go")?;
    let modes: Value = serde_json::from_str(&scene.server.get("/v1/modes")?.1)?;
    assert_eq!(modes["modes"].as_array().map(Vec::len), Some(1));
    Ok(())
}
