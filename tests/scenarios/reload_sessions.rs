//! A new configuration reaches every session, and a frame ends under the one under which it came.

use std::fs;

use anyhow::{Context, Result, ensure};
use segue_tests::{Client, Event, FrameFields, Live, Profiles, gradient_jpeg};
use serde_json::{Value, json};

/// Which mode, by name, has which index in a list of modes.
fn index_of(modes: &Value, name: &str) -> Result<u64> {
    let modes = modes.as_array().context("no list of modes")?;
    let mode = modes.iter().find(|mode| mode["name"] == name).with_context(|| format!("no mode {name}"))?;
    mode["index"].as_u64().context("a mode without its index")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_limits_reach_every_session() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = profiles.serve(&[])?;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Client::connect(server.address()).await?);
    }
    profiles.overlay("default", "[capture]\njpeg_quality = 41\nmax_dimension_px = 320")?;
    for client in &mut clients {
        let limits = client.text_of("limits").await?;
        let expected = json!({
            "type": "limits", "generation": 2, "profile": "default", "jpeg_quality": 41, "max_dimension_px": 320, "max_in_flight": 2,
            "min_frame_interval_millis": 33,
        });
        assert_eq!(limits, expected);
    }
    profiles.overlay("default", "[capture]\njpeg_quality = 41\nmax_dimension_px = 320\nadaptive.enabled = true")?;
    let limits = clients[0].text_of("limits").await?;
    let bounds = json!({"min_jpeg_quality": 30, "min_dimension_px": 320, "target_latency_millis": 200});
    assert_eq!((&limits["generation"], &limits["adaptive"]), (&json!(3), &bounds));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_business_of_clients_is_applied_without_a_word() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = profiles.serve(&[])?;
    let mut client = Client::connect(server.address()).await?;
    profiles.overlay("default", "[result]\nmax_width_px = 100\nmax_height_px = 100")?;
    server.applied(2)?;
    client.frame(1, &gradient_jpeg(200, 100)?).await?;
    loop {
        match client.next().await? {
            // The other mode may have become ready just now.
            Event::Text(text) if text["type"] == "modes" => {}
            Event::Result(result) => {
                assert_eq!((result.width, result.height, result.generation), (100, 50, 2));
                break;
            }
            other => anyhow::bail!("{other:?} in place of a result"),
        }
    }
    profiles.overlay("default", "[result]\nformat = \"picture\"")?;
    server.applied(3)?;
    client.frame(2, &gradient_jpeg(200, 100)?).await?;
    assert_eq!(client.result().await?.encoding, 2, "a client that said nothing follows the profile");
    client.text(json!({"type": "view", "soft_edge": false, "picture": null})).await?;
    client.frame(3, &gradient_jpeg(200, 100)?).await?;
    assert_eq!(client.result().await?.encoding, 1, "a client that chose gets what it chose");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_the_server_apply_to_the_next_frame_of_a_session_that_has_begun() -> Result<()> {
    let profiles = Profiles::copy()?;
    profiles.overlay("default", "[limits]\nmax_frame_len_bytes = 1024")?;
    let server = profiles.serve(&[])?;
    let mut client = Client::connect(server.address()).await?;
    let jpeg = gradient_jpeg(640, 360)?;
    ensure!(jpeg.len() > 3 * 1024, "the picture is too small for this");
    client.frame(1, &jpeg).await?;
    assert_eq!(client.text_of("dropped").await?["reason"], "too_large");
    profiles.overlay("default", "")?;
    server.applied(2)?;
    client.frame(2, &jpeg).await?;
    assert_eq!(client.result().await?.frame_id, 2);
    profiles.overlay("default", "[limits]\nmax_frame_pixels = 1000")?;
    server.applied(3)?;
    client.frame(3, &jpeg).await?;
    assert_eq!(client.text_of("dropped").await?["reason"], "too_large");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lower_limit_in_flight_loses_no_frame_that_was_on_its_way() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = profiles.serve(&["--set", "capture.min_frame_interval_millis=0"])?;
    let mut live = Live::start(server.address(), gradient_jpeg(1280, 720)?).await?;
    for edit in 1..=20 {
        let max_in_flight = 2 - edit % 2;
        profiles.overlay("default", &format!("[capture]\nmax_in_flight = {max_in_flight}"))?;
        assert_eq!(live.text_of("limits").await?["max_in_flight"], max_in_flight);
        // Another edit right after it must not take the forgiveness away.
        profiles.overlay("default", &format!("[capture]\nmax_in_flight = {max_in_flight}\njpeg_quality = {edit}"))?;
        live.text_of("limits").await?;
    }
    let flow = live.finish().await?;
    ensure!(flow.dropped.is_empty() && flow.answered == flow.sent, "{:?} of {}", flow.dropped, flow.sent);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_keep_to_one_frame_in_flight_is_held_to_it() -> Result<()> {
    let profiles = Profiles::copy()?;
    profiles.overlay("default", "[capture]\nmax_in_flight = 1")?;
    let server = profiles.serve(&[])?;
    let mut client = Client::connect(server.address()).await?;
    let jpeg = gradient_jpeg(1920, 1080)?;
    let burst: Vec<_> = (1..=20).map(|frame_id| FrameFields::jpeg(frame_id).message(&jpeg)).collect();
    for message in burst {
        client.binary(message).await?;
    }
    let (mut answered, mut limited) = (0, 0);
    while answered + limited < 20 {
        match client.answer().await? {
            Event::Result(_) => answered += 1,
            Event::Text(dropped) if dropped["reason"] == "rate_limited" => limited += 1,
            other => anyhow::bail!("{other:?}"),
        }
    }
    ensure!(answered > 0 && limited > 0, "{answered} answered, {limited} limited");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mode_that_is_added_serves_at_once_and_one_that_is_taken_away_is_left() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = profiles.serve(&[])?;
    let mut client = Client::connect(server.address()).await?;
    profiles.overlay("default", "[modes.mine]\nrank = 9\nmodel = \"selfie\"")?;
    // The list may also come since a mode of the start became ready just now.
    let mut modes = client.text_of("modes").await?;
    while index_of(&modes["modes"], "mine").is_err() {
        modes = client.text_of("modes").await?;
    }
    let mine = index_of(&modes["modes"], "mine")?;
    assert_eq!(modes["modes"][5]["state"], "ready", "it is loaded before anybody is told of it: {modes}");
    client.text(json!({"type": "mode", "mode": "mine"})).await?;
    assert_eq!(client.text_of("mode").await?["state"], "ready");
    client.frame(1, &gradient_jpeg(64, 48)?).await?;
    assert_eq!(u64::from(client.result().await?.mode), mine);
    profiles.overlay("default", "")?;
    let mode = client.text_of("mode").await?;
    assert_eq!((&mode["mode"], &mode["state"]), (&json!("fast"), &json!("ready")));
    ensure!(mode["message"].as_str().is_some_and(|message| message.contains("\"mine\" is gone")), "{mode}");
    client.frame(2, &gradient_jpeg(64, 48)?).await?;
    assert_eq!(u64::from(client.result().await?.mode), mode["index"].as_u64().unwrap_or(99));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_model_behind_a_mode_has_another_index_and_no_frame_is_lost() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = profiles.serve(&["--set", "capture.min_frame_interval_millis=0"])?;
    let mut live = Live::start(server.address(), gradient_jpeg(640, 360)?).await?;
    let mut indices = vec![index_of(&live.hello["modes"], "fast")?];
    for edit in 0..10 {
        let variant = ["landscape", "general"][edit % 2];
        profiles.overlay("default", &format!("[modes.fast]\nvariant = \"{variant}\""))?;
        let before = indices.last().copied();
        let mut now = before;
        while now == before {
            now = Some(index_of(&live.text_of("modes").await?["modes"], "fast")?);
        }
        indices.extend(now);
        live.answers_under(edit as u32 + 2).await?;
    }
    let flow = live.finish().await?;
    ensure!(flow.dropped.is_empty() && flow.answered == flow.sent, "{:?} of {}", flow.dropped, flow.sent);
    let answered: Vec<_> = flow.modes.iter().map(|&index| u64::from(index)).collect();
    assert_eq!(answered, indices, "each model answers under an index of its own");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_default_mode_is_for_new_sessions() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = profiles.serve(&[])?;
    let mut old = Client::connect(server.address()).await?;
    profiles.overlay("default", "[server]\ndefault_mode = \"landscape\"")?;
    server.applied(2)?;
    let new = Client::connect(server.address()).await?;
    assert_eq!((&new.hello["mode"], &new.hello["generation"]), (&json!("landscape"), &json!(2)));
    old.frame(1, &gradient_jpeg(64, 48)?).await?;
    assert_eq!(u64::from(old.result().await?.mode), index_of(&new.hello["modes"], "fast")?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_come_in_and_what_is_logged_follow_at_once() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = profiles.serve(&[])?;
    let _inside = Client::connect(server.address()).await?;
    profiles
        .overlay("default", "[limits]\nmax_sessions = 1\n[security]\nallowed_origins = [\"https://lab.example\"]")?;
    server.applied(2)?;
    ensure!(Client::connect(server.address()).await.is_err(), "a second session was let in");
    profiles
        .overlay("default", "[security]\nallowed_origins = [\"https://lab.example\"]\n[telemetry]\nlog = \"debug\"")?;
    server.applied(3)?;
    let mut second = Client::connect_from(server.address(), Some("https://lab.example")).await?;
    second.text("nonsense").await?;
    server.log_until("Message refused")?;
    profiles.overlay("default", "")?;
    server.applied(4)?;
    ensure!(
        Client::connect_from(server.address(), Some("https://lab.example")).await.is_err(),
        "the origin stays allowed"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_replaced_as_a_whole_is_followed() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = profiles.serve(&["--set", "reload.poll_interval_millis=600000"])?;
    let mut client = Client::connect(server.address()).await?;
    let (directory, next) = (profiles.directory(), profiles.outside().join("next"));
    for edit in 41..44 {
        fs::create_dir(&next)?;
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            fs::copy(entry.path(), next.join(entry.file_name()))?;
        }
        // The same content first: the watch has to move to the new directory all the same.
        fs::rename(&directory, profiles.outside().join(format!("old{edit}")))?;
        fs::rename(&next, &directory)?;
        profiles.overlay("default", &format!("[capture]\njpeg_quality = {edit}"))?;
        assert_eq!(client.text_of("limits").await?["jpeg_quality"], edit);
    }
    Ok(())
}
