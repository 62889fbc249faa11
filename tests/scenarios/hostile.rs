//! Hostile input: each gets one clear answer, and a session beside it never notices.

use std::time::Duration;

use anyhow::{Result, bail};
use segue_tests::{Client, Event, FrameFields, LegacyClient, Server, gradient_jpeg};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::ClientRequestBuilder;

/// A hostile client, and another one that must not notice it.
struct Scene {
    _server: Server,
    hostile: Client,
    bystander: Client,
    jpeg: Vec<u8>,
    sent: u32,
}

impl Scene {
    async fn set() -> Result<Self> {
        let server = Server::start(&[])?;
        let hostile = Client::connect(server.address()).await?;
        let bystander = Client::connect(server.address()).await?;
        Ok(Self { _server: server, hostile, bystander, jpeg: gradient_jpeg(320, 240)?, sent: 0 })
    }

    /// The hostile client's frame is dropped with `reason`, its next one is answered.
    async fn expect_dropped(&mut self, message: Vec<u8>, reason: &str) -> Result<String> {
        self.hostile.binary(message).await?;
        let Event::Text(dropped) = self.hostile.answer().await? else { bail!("a result") };
        assert_eq!((&dropped["frame_id"], &dropped["reason"]), (&json!(666), &json!(reason)), "{dropped}");
        self.expect_both_live().await?;
        Ok(dropped["message"].as_str().unwrap_or_default().to_owned())
    }

    async fn expect_error(&mut self, code: &str) -> Result<Value> {
        let error = self.hostile.text_of("error").await?;
        assert_eq!((&error["code"], &error["recoverable"]), (&json!(code), &json!(true)), "{error}");
        self.expect_both_live().await?;
        Ok(error)
    }

    async fn expect_both_live(&mut self) -> Result<()> {
        self.sent += 1;
        self.hostile.frame(self.sent, &self.jpeg).await?;
        assert_eq!(self.hostile.result().await?.frame_id, self.sent);
        self.expect_bystander_lives().await
    }

    async fn expect_bystander_lives(&mut self) -> Result<()> {
        self.sent += 1;
        self.bystander.frame(self.sent, &self.jpeg).await?;
        assert_eq!(self.bystander.result().await?.frame_id, self.sent);
        Ok(())
    }
}

fn hostile_frame(payload: &[u8]) -> Vec<u8> {
    FrameFields::jpeg(666).message(payload)
}

#[tokio::test]
async fn a_truncated_jpeg_is_undecodable_wherever_it_is_cut() -> Result<()> {
    let mut scene = Scene::set().await?;
    let whole = scene.jpeg.clone();
    for len in [0, 1, 2, 20, whole.len() / 4, whole.len() / 2, whole.len() - 3] {
        let message = scene.expect_dropped(hostile_frame(&whole[..len]), "undecodable").await?;
        assert!(!message.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn garbage_in_the_middle_of_a_jpeg_harms_nobody() -> Result<()> {
    let mut scene = Scene::set().await?;
    for at in (20..scene.jpeg.len() - 20).step_by(211) {
        let mut spoilt = scene.jpeg.clone();
        for byte in &mut spoilt[at..at + 16] {
            *byte = byte.wrapping_mul(91).wrapping_add(17);
        }
        scene.hostile.binary(hostile_frame(&spoilt)).await?;
        // A spoilt picture may still be a picture; one answer is what counts.
        scene.hostile.answer().await?;
    }
    scene.expect_both_live().await
}

#[tokio::test]
async fn a_header_that_claims_65500_pixels_a_side_is_too_large_before_it_is_decoded() -> Result<()> {
    let mut scene = Scene::set().await?;
    let mut claims = scene.jpeg.clone();
    let start = claims.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a baseline JPEG has a frame header");
    claims[start + 5..start + 9].copy_from_slice(&[0xFF, 0xDC, 0xFF, 0xDC]);
    let message = scene.expect_dropped(hostile_frame(&claims), "too_large").await?;
    assert!(message.contains("65500x65500"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_picture_that_is_no_jpeg_is_undecodable() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.expect_dropped(hostile_frame(b"\x89PNG\r\n\x1a\n and more"), "undecodable").await?;
    let codec = FrameFields { codec: 7, ..FrameFields::jpeg(666) };
    let message = scene.expect_dropped(codec.message(&[1, 2, 3]), "undecodable").await?;
    assert!(message.contains("codec 7"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_frame_over_the_limit_is_too_large_and_the_session_lives() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.expect_dropped(hostile_frame(&vec![0xFF; 1_500_000]), "too_large").await?;
    Ok(())
}

#[tokio::test]
async fn messages_that_are_no_frames_get_an_error_each() -> Result<()> {
    let mut scene = Scene::set().await?;
    for message in [vec![], vec![1; 47], vec![2; 64], vec![0; 100], vec![255]] {
        scene.hostile.binary(message).await?;
        scene.expect_error("bad_message").await?;
    }
    Ok(())
}

#[tokio::test]
async fn text_garbage_gets_an_error_that_says_what_is_wrong() -> Result<()> {
    let mut scene = Scene::set().await?;
    let (deep, long) = ("[".repeat(100_000), format!("\"{}\"", "a".repeat(1_000_000)));
    for text in [
        "",
        "hello",
        "{}",
        r#"{"type":"mode"}"#,
        r#"{"type":"nonsense"}"#,
        r#"{"type":"clock","sent":"x"}"#,
        &deep,
        &long,
    ] {
        scene.hostile.text(text).await?;
        let error = scene.expect_error("bad_message").await?;
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains("segue.v2") && message.len() < 500, "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_message_of_10_mb_ends_the_session_with_its_reason() -> Result<()> {
    let mut scene = Scene::set().await?;
    // The server stops reading in the middle of it, so sending it may fail.
    let _ = scene.hostile.binary(hostile_frame(&vec![0; 10_000_000])).await;
    let error = scene.hostile.text_of("error").await?;
    assert_eq!((&error["code"], &error["recoverable"]), (&json!("message_too_large"), &json!(false)));
    assert_eq!(scene.hostile.next().await?, Event::Closed(Some(1009)));
    scene.expect_bystander_lives().await
}

#[tokio::test]
async fn a_client_that_never_reads_is_disconnected_and_holds_little_memory() -> Result<()> {
    let server = Server::start(&["--set", "limits.send_timeout_millis=500"])?;
    let mut bystander = Client::connect(server.address()).await?;
    let mut silent = Client::connect(server.address()).await?;
    let jpeg = gradient_jpeg(1280, 720)?;
    silent.text(json!({"type": "view", "picture": "side-by-side"})).await?;
    let before = resident_kib(server.id())?;
    // Sends until the server, whose answers nobody takes, has closed the connection.
    for frame_id in 0.. {
        if silent.frame(frame_id, &jpeg).await.is_err() {
            break;
        }
        if frame_id % 50 == 0 {
            bystander.frame(frame_id, &jpeg).await?;
            assert_eq!(bystander.result().await?.frame_id, frame_id);
        }
    }
    server.log_until("Client takes nothing and is disconnected")?;
    let grown = resident_kib(server.id())?.saturating_sub(before);
    assert!(grown < 64 * 1024, "the server grew by {grown} KiB");
    bystander.frame(1, &jpeg).await?;
    bystander.result().await?;
    Ok(())
}

#[tokio::test]
async fn a_client_that_never_reads_holds_no_instance() -> Result<()> {
    let server = Server::start(&["--set", "modes.fast.instances=1", "--set", "limits.send_timeout_millis=30000"])?;
    let mut bystander = Client::connect(server.address()).await?;
    let jpeg = gradient_jpeg(640, 480)?;
    let mut silent = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(server.address()).await?;
        client.text(json!({"type": "view", "picture": "side-by-side"})).await?;
        // Until its side of the connection is full: then the server is stuck with sending to it.
        let fill = async {
            for frame_id in 0.. {
                client.frame(frame_id, &jpeg).await?;
                client.text(json!({"type": "clock", "sent": frame_id})).await?;
            }
            anyhow::Ok(())
        };
        if tokio::time::timeout(Duration::from_secs(2), fill).await.is_ok() {
            bail!("the server reads on without being read from");
        }
        silent.push(client);
    }
    for frame_id in 0..20 {
        bystander.frame(frame_id, &jpeg).await?;
        assert_eq!(bystander.result().await?.frame_id, frame_id);
    }
    assert!(!server.log_has("Client takes nothing"), "the bystander had to wait until the silent ones were cut off");
    Ok(())
}

#[tokio::test]
async fn what_is_against_the_websocket_protocol_is_told() -> Result<()> {
    let mut scene = Scene::set().await?;
    // A client's frames must be masked; this one is not.
    scene.hostile.raw(&[0x81, 0x02, b'h', b'i']).await?;
    let error = scene.hostile.text_of("error").await?;
    assert_eq!((&error["code"], &error["recoverable"]), (&json!("bad_message"), &json!(false)));
    assert_eq!(scene.hostile.next().await?, Event::Closed(Some(1002)));
    scene.expect_bystander_lives().await
}

#[tokio::test]
async fn a_page_of_another_origin_may_not_open_a_session_unless_it_is_allowed() -> Result<()> {
    let server = Server::start(&["--set", "security.allowed_origins=[\"https://lab.example\"]"])?;
    let own = format!("http://{}", server.address());
    for (origin, is_let_in) in [
        (own.as_str(), true),
        ("https://lab.example", true),
        ("http://localhost:3000", true),
        ("http://evil.example", false),
        ("http://localhost.evil.example", false),
        ("null", false),
    ] {
        let client = Client::connect_from(server.address(), Some(origin)).await;
        assert_eq!(client.is_ok(), is_let_in, "{origin}");
        let client = LegacyClient::connect_from(server.address(), Some(origin)).await;
        assert_eq!(client.is_ok(), is_let_in, "{origin}, legacy protocol");
    }
    let server = Server::start(&["--set", "security.allowed_origins=[\"null\"]"])?;
    Client::connect_from(server.address(), Some("null")).await?;
    Ok(())
}

#[tokio::test]
async fn clients_that_leave_in_the_middle_of_a_frame_leave_nothing_behind() -> Result<()> {
    let server = Server::start(&["--set", "modes.fast.instances=1"])?;
    let jpeg = gradient_jpeg(1280, 720)?;
    const CLIENTS: usize = 30;
    for _ in 0..CLIENTS {
        let mut client = Client::connect(server.address()).await?;
        client.frame(1, &jpeg).await?;
        client.frame(2, &jpeg).await?;
    }
    for _ in 0..CLIENTS {
        server.log_until("Session ended")?;
    }
    let metrics = server.get("/metrics")?.1;
    assert!(metrics.lines().any(|line| line == "segue_sessions 0"), "{metrics}");
    let mut client = Client::connect(server.address()).await?;
    client.frame(1, &jpeg).await?;
    client.result().await?;
    Ok(())
}

fn resident_kib(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    Ok(line.split_whitespace().nth(1).unwrap_or_default().parse()?)
}

#[tokio::test]
async fn a_client_of_another_subprotocol_is_told_so() -> Result<()> {
    let server = Server::start(&[])?;
    let request = ClientRequestBuilder::new(format!("ws://{}/ws", server.address()).parse()?);
    let refused = tokio_tungstenite::connect_async(request.with_sub_protocol("segue.v9")).await;
    let said = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(said.contains("400"), "{said}");
    let (status, _) = server.get("/ws")?;
    assert!((400..500).contains(&status), "{status}");
    Ok(())
}

#[tokio::test]
async fn one_session_too_many_is_told_so() -> Result<()> {
    let server = Server::start(&["--set", "limits.max_sessions=1"])?;
    let mut first = Client::connect(server.address()).await?;
    let second = Client::connect(server.address()).await;
    let refusal = second.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refusal.contains("too_many_sessions"), "{refusal}");
    first.frame(1, &gradient_jpeg(64, 64)?).await?;
    first.result().await?;
    Ok(())
}
