//! A session as a well-behaved client sees it.

use std::{collections::HashMap, process::Command};

use anyhow::{Result, ensure};
use segue_tests::{Client, Decoded, Event, Server, clip_frames, gradient_jpeg, segue};
use serde_json::json;

/// One class each: how much two masks agree on class `id`.
fn overlap(a: &[u8], b: &[u8], id: u8) -> f64 {
    let both = a.iter().zip(b).filter(|&(&x, &y)| x == id && y == id).count();
    let either = a.iter().zip(b).filter(|&(&x, &y)| x == id || y == id).count();
    both as f64 / either.max(1) as f64
}

#[tokio::test]
async fn hello_tells_modes_limits_and_generation() -> Result<()> {
    let server = Server::start(&["--set", "capture.jpeg_quality=41"])?;
    let hello = Client::connect(server.address()).await?.hello;
    assert_eq!(hello["mode"], "fast");
    assert_eq!(hello["generation"], 1);
    assert_eq!(hello["limits"]["jpeg_quality"], 41);
    assert_eq!(hello["limits"]["max_in_flight"], 2);
    let fast = &hello["modes"][0];
    assert_eq!((&fast["index"], &fast["name"], &fast["state"]), (&json!(0), &json!("fast"), &json!("ready")));
    assert_eq!((&fast["backend"], &fast["labels"]), (&json!("selfie"), &json!(["background", "person"])));
    assert_eq!(fast["palette"][1].as_array().map(Vec::len), Some(3));
    Ok(())
}

#[tokio::test]
async fn every_frame_is_answered_once_and_echoes_its_clock() -> Result<()> {
    let server = Server::start(&[])?;
    let mut client = Client::connect(server.address()).await?;
    let jpeg = gradient_jpeg(320, 180)?;
    for frame_id in 0..50 {
        client.frame(frame_id, &jpeg).await?;
        let result = client.result().await?;
        assert_eq!((result.frame_id, result.captured_at), (frame_id, 1_000_000 + u64::from(frame_id)));
        assert_eq!((result.encoding, result.mode, result.generation), (1, 0, 1));
        assert_eq!((result.width, result.height), (320, 180));
        let [stages @ .., total, reserved] = result.micros;
        assert!(stages.iter().sum::<u32>() <= total, "{:?}", result.micros);
        assert!(stages[1] > 0 && stages[3] > 0, "decode and infer take time: {:?}", result.micros);
        assert_eq!(reserved, 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_newer_frame_supersedes_the_waiting_one_and_nothing_is_lost() -> Result<()> {
    let server = Server::start(&[])?;
    let mut client = Client::connect(server.address()).await?;
    let jpeg = gradient_jpeg(640, 360)?;
    const SENT: u32 = 200;
    for frame_id in 0..SENT {
        client.frame(frame_id, &jpeg).await?;
    }
    let mut answers = HashMap::new();
    let mut last_result = 0;
    for _ in 0..SENT {
        let (frame_id, outcome) = match client.answer().await? {
            Event::Result(result) => {
                last_result = last_result.max(result.frame_id);
                (result.frame_id, "result".to_owned())
            }
            Event::Text(text) => (text["frame_id"].as_u64().unwrap_or_default() as u32, text["reason"].to_string()),
            Event::Closed(code) => anyhow::bail!("closed with {code:?}"),
        };
        ensure!(answers.insert(frame_id, outcome).is_none(), "frame {frame_id} is answered twice");
    }
    let superseded = answers.values().filter(|outcome| *outcome == "\"superseded\"").count();
    let results = answers.values().filter(|outcome| *outcome == "result").count();
    assert_eq!(superseded + results, SENT as usize, "{answers:?}");
    assert!(superseded > 0, "200 frames at once are more than the server can do one by one");
    assert_eq!(last_result, SENT - 1, "the newest frame is never superseded");
    client.text(json!({"type": "stats"})).await?;
    let stats = client.text_of("stats").await?;
    assert_eq!((&stats["received"], &stats["answered"]), (&json!(SENT), &json!(results)));
    Ok(())
}

#[tokio::test]
async fn the_person_of_a_webcam_clip_is_found_and_matches_the_command_line() -> Result<()> {
    let Some(frames) = clip_frames("walk.mkv", 60, 4)? else { return Ok(()) };
    let server = Server::start(&[])?;
    let mut client = Client::connect(server.address()).await?;
    let folder = tempfile::tempdir()?;
    for (frame_id, jpeg) in (0..).zip(&frames) {
        client.frame(frame_id, jpeg).await?;
        let result = client.result().await?;
        let share = result.share(1);
        assert!((0.05..0.8).contains(&share), "frame {frame_id}: {share} of it is person");
        let (picture, mask) = (folder.path().join("frame.jpg"), folder.path().join("mask.png"));
        std::fs::write(&picture, jpeg)?;
        let status = segue(&["segment"]).arg(&picture).arg("-o").arg(&mask).status()?;
        assert!(status.success());
        let labels = indexed_png(&mask)?;
        assert!(overlap(&result.labels, &labels, 1) > 0.999, "frame {frame_id}: the masks differ");
    }
    Ok(())
}

fn indexed_png(path: &std::path::Path) -> Result<Vec<u8>> {
    let mut reader = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path)?)).read_info()?;
    let mut labels = vec![0; reader.output_buffer_size().unwrap_or_default()];
    reader.next_frame(&mut labels)?;
    Ok(labels)
}

#[tokio::test]
async fn a_mode_change_takes_effect_once_it_says_ready() -> Result<()> {
    let server = Server::start(&[])?;
    let mut client = Client::connect(server.address()).await?;
    client.text(json!({"type": "mode", "mode": "landscape"})).await?;
    let mut answer = client.text_of("mode").await?;
    if answer["state"] == "loading" {
        answer = client.text_of("mode").await?;
    }
    assert_eq!(
        (&answer["mode"], &answer["index"], &answer["state"]),
        (&json!("landscape"), &json!(4), &json!("ready"))
    );
    client.frame(1, &gradient_jpeg(160, 90)?).await?;
    assert_eq!(client.result().await?.mode, 4);
    client.text(json!({"type": "mode", "mode": "nonsense"})).await?;
    let error = client.text_of("error").await?;
    assert_eq!((&error["code"], &error["recoverable"]), (&json!("unknown_mode"), &json!(true)));
    assert!(error["message"].as_str().is_some_and(|message| message.contains("sota, landscape")), "{error}");
    client.frame(2, &gradient_jpeg(160, 90)?).await?;
    assert_eq!(client.result().await?.mode, 4, "the session keeps its mode");
    Ok(())
}

#[tokio::test]
async fn a_frame_sent_after_ready_is_answered_in_the_new_mode_however_busy_the_old_one_is() -> Result<()> {
    let server = Server::start(&["--set", "modes.fast.instances=1"])?;
    let address = server.address().to_owned();
    let jpeg = gradient_jpeg(640, 360)?;
    let (others, picture) = (address.clone(), jpeg.clone());
    let busy = tokio::spawn(async move {
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(Client::connect(&others).await?);
        }
        for frame_id in 0.. {
            for client in &mut clients {
                client.frame(frame_id, &picture).await?;
            }
            for client in &mut clients {
                client.result().await?;
            }
        }
        anyhow::Ok(())
    });
    let mut client = Client::connect(&address).await?;
    client.text(json!({"type": "mode", "mode": "landscape"})).await?;
    while client.text_of("mode").await?["state"] != "ready" {}
    for (round, (name, index)) in (0..).zip([("fast", 0), ("landscape", 4)].into_iter().cycle().take(20)) {
        client.frame(2 * round, &jpeg).await?;
        client.text(json!({"type": "mode", "mode": name})).await?;
        let (mut is_ready, mut answered) = (false, 0);
        while !is_ready || answered == 0 {
            match client.next().await? {
                Event::Text(text) if text["type"] == "mode" => is_ready = true,
                Event::Result(_) => answered += 1,
                Event::Text(text) => assert_eq!(text["type"], "modes", "{text}"),
                Event::Closed(code) => anyhow::bail!("closed with {code:?}"),
            }
        }
        client.frame(2 * round + 1, &jpeg).await?;
        assert_eq!(client.result().await?.mode, index, "round {round}");
    }
    busy.abort();
    Ok(())
}

#[tokio::test]
async fn a_soft_edge_comes_as_a_second_plane_and_leaves_the_mask_as_it_is() -> Result<()> {
    let server = Server::start(&[])?;
    let mut client = Client::connect(server.address()).await?;
    let jpeg = gradient_jpeg(333, 217)?;
    client.frame(1, &jpeg).await?;
    let hard = client.result().await?;
    client.text(json!({"type": "view", "soft_edge": true, "picture": null})).await?;
    client.frame(2, &jpeg).await?;
    let soft = client.result().await?;
    assert_eq!((hard.encoding, soft.encoding), (1, 3));
    assert_eq!(soft.labels, hard.labels);
    assert!(soft.confidence.iter().all(|&confidence| confidence >= 127), "the winner has at least half");
    Ok(())
}

#[tokio::test]
async fn a_picture_comes_as_a_jpeg_of_the_view() -> Result<()> {
    let server = Server::start(&[])?;
    let mut client = Client::connect(server.address()).await?;
    for (frame_id, view) in (0..).zip(["filled", "contour", "side-by-side", "blend"]) {
        client.text(json!({"type": "view", "soft_edge": false, "picture": view})).await?;
        client.frame(frame_id, &gradient_jpeg(64, 48)?).await?;
        let Decoded { encoding, payload, .. } = client.result().await?;
        assert_eq!((encoding, &payload[..2]), (2, &[0xFF, 0xD8][..]), "{view}");
    }
    Ok(())
}

#[tokio::test]
async fn clocks_are_compared() -> Result<()> {
    let server = Server::start(&[])?;
    let mut client = Client::connect(server.address()).await?;
    client.text(r#"{"type":"clock","sent":12345678901}"#).await?;
    let clock = client.text_of("clock").await?;
    assert_eq!(clock["sent"].to_string(), "12345678901", "echoed as it was sent");
    assert!(clock["received"].as_u64() <= clock["replied"].as_u64());
    Ok(())
}

#[tokio::test]
async fn sessions_do_not_starve_each_other() -> Result<()> {
    let server = Server::start(&["--set", "modes.fast.instances=1"])?;
    let mut greedy = Client::connect(server.address()).await?;
    let mut modest = Client::connect(server.address()).await?;
    let jpeg = gradient_jpeg(640, 360)?;
    for frame_id in 0..30 {
        for burst in 0..10 {
            greedy.frame(frame_id * 10 + burst, &jpeg).await?;
        }
        modest.frame(frame_id, &jpeg).await?;
        assert_eq!(modest.result().await?.frame_id, frame_id);
    }
    Ok(())
}

#[test]
fn the_readmes_program_says_its_version() -> Result<()> {
    let output = Command::new(segue_tests::program()).arg("--version").output()?;
    assert!(String::from_utf8(output.stdout)?.starts_with("segue "));
    Ok(())
}
