//! Start and end of the server, and what it does when something is missing.

use std::{collections::BTreeSet, fs, process::Output};

use anyhow::{Result, ensure};
use segue_tests::{Client, Event, Server, gradient_jpeg, segue};
use serde_json::json;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn sigterm_finishes_frames_in_flight_and_exits_with_0() -> Result<()> {
    for signal in ["TERM", "INT"] {
        let server = Server::start(&[])?;
        let mut client = Client::connect(server.address()).await?;
        let jpeg = gradient_jpeg(1280, 720)?;
        client.frame(1, &jpeg).await?;
        client.frame(2, &jpeg).await?;
        // The answer to this comes once both frames were received.
        client.text(json!({"type": "clock", "sent": 1})).await?;
        let mut answered = Vec::new();
        let mut told_to_stop = false;
        loop {
            match client.next().await? {
                Event::Result(result) => answered.push(result.frame_id),
                Event::Text(text) if text["type"] == "dropped" => {
                    answered.push(text["frame_id"].as_u64().unwrap_or_default() as u32);
                }
                Event::Text(_) if !told_to_stop => {
                    told_to_stop = true;
                    server.signal(signal)?;
                }
                Event::Text(_) => {}
                Event::Closed(code) => {
                    assert_eq!(code, Some(1001), "the client is told that the server goes away");
                    break;
                }
            }
        }
        answered.sort_unstable();
        assert_eq!(answered, [1, 2]);
        assert_eq!(server.wait()?.code(), Some(0));
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_that_goes_on_through_sigterm_gets_an_answer_for_all_that_was_sent_before() -> Result<()> {
    let server = Server::start(&[])?;
    let mut client = Client::connect(server.address()).await?;
    let jpeg = gradient_jpeg(640, 360)?;
    let mut answers = BTreeSet::new();
    let mut frame_id = 0;
    loop {
        if frame_id == 20 {
            server.signal("TERM")?;
        }
        // Once the server has closed, sending fails; its last words are still there to be read.
        let _ = client.frame(frame_id, &jpeg).await;
        frame_id += 1;
        let answered = match client.answer().await? {
            Event::Result(result) => result.frame_id,
            Event::Text(dropped) => dropped["frame_id"].as_u64().unwrap_or_default() as u32,
            Event::Closed(code) => {
                assert_eq!(code, Some(1001));
                break;
            }
        };
        ensure!(answers.insert(answered), "frame {answered} is answered twice");
    }
    assert!((0..20).all(|sent| answers.contains(&sent)), "{answers:?}");
    assert_eq!(server.wait()?.code(), Some(0));
    Ok(())
}

#[test]
fn a_server_whose_default_mode_serves_is_ready() -> Result<()> {
    let server = Server::start(&[])?;
    assert_eq!(server.get("/healthz")?.0, 200);
    assert_eq!(server.get("/readyz")?.0, 200);
    Ok(())
}

/// A `PATH` without any package client.
fn without_clients(command: &mut std::process::Command) -> Result<tempfile::TempDir> {
    let empty = tempfile::tempdir()?;
    command.env("PATH", empty.path()).env("SEGUE_CACHE", empty.path().join("cache"));
    Ok(empty)
}

#[tokio::test]
async fn without_weights_and_network_the_server_lives_and_says_what_to_do() -> Result<()> {
    let mut command = segue(&["serve", "--listen", "127.0.0.1:0"]);
    let _folder = without_clients(&mut command)?;
    let server = Server::start_command(&mut command)?;
    assert_eq!(server.get("/healthz")?.0, 200);
    let (status, reason) = server.get("/readyz")?;
    assert_eq!(status, 503);
    assert!(
        reason.contains("`npm` is not installed") && reason.contains("segue models pull selfie --from FILE"),
        "{reason}"
    );
    let mut client = Client::connect(server.address()).await?;
    assert_eq!(client.hello["modes"][0]["state"], "unavailable");
    client.frame(5, &gradient_jpeg(64, 64)?).await?;
    let dropped = client.text_of("dropped").await?;
    assert_eq!((&dropped["frame_id"], &dropped["reason"]), (&json!(5), &json!("backend_failed")));
    client.text(json!({"type": "mode", "mode": "landscape"})).await?;
    let mut answer = client.text_of("mode").await?;
    while answer["state"] == "loading" {
        answer = client.text_of("mode").await?;
    }
    assert_eq!(answer["state"], "unavailable");
    Ok(())
}

#[test]
fn an_address_that_is_taken_is_said_with_the_mend() -> Result<()> {
    let server = Server::start(&[])?;
    let output = segue(&["serve", "--listen", server.address()]).output()?;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("--listen"), "{}", said(&output));
    Ok(())
}

#[test]
fn a_plugin_that_is_not_there_makes_its_modes_unavailable() -> Result<()> {
    let empty = tempfile::tempdir()?;
    let folder = empty.path().to_str().unwrap_or_default();
    let server = Server::start(&["--plugins", folder])?;
    let (status, reason) = server.get("/readyz")?;
    assert_eq!(status, 503);
    assert!(reason.contains("no plugin in") && reason.contains("\"selfie\""), "{reason}");
    Ok(())
}

#[test]
fn weights_that_were_changed_are_never_loaded() -> Result<()> {
    let mut command = segue(&["segment", "Cargo.toml", "-o", "none.png"]);
    let folder = without_clients(&mut command)?;
    let cached = folder.path().join("cache/models/selfie");
    fs::create_dir_all(&cached)?;
    fs::write(cached.join("selfie_segmentation.tflite"), b"not these")?;
    let output = command.output()?;
    ensure!(output.status.code() == Some(1), "{}", said(&output));
    assert!(said(&output).contains("nothing gave its weights"), "{}", said(&output));
    Ok(())
}
