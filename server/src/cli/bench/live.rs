//! What a benchmark runs against: a server of its own, and clients whose frames flow.

use std::{path::Path, process::Stdio, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{ClientRequestBuilder, Message},
};

use crate::{
    cli::Failure,
    model::Places,
    session::protocol::{FRAME_HEADER_LEN_BYTES, SUBPROTOCOL},
};

/// Loading the models of a profile takes seconds at most, once their weights are here.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// How long answers may take to come in once no more frames are sent.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// A server process; killed when it is dropped.
pub(super) struct Server {
    /// Host and port.
    pub(super) address: String,
    _process: Child,
}

impl Server {
    /// Starts this program as a server of the profile `name` in `profiles`, on the models and plugins of `places`.
    pub(super) async fn start(
        profiles: &Path,
        name: &str,
        places: &Places,
        overrides: &[String],
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::does_not_hold)?;
        let mut process = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--profile", name, "--profiles"])
            .arg(profiles)
            .arg("--plugins")
            .arg(&places.plugins)
            .arg("--models")
            .arg(&places.models)
            .arg("--cache")
            .arg(&places.cache)
            .args(overrides.iter().flat_map(|pair| ["--set", pair]))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(Failure::does_not_hold)?;
        let stdout = process.stdout.take().ok_or_else(|| Failure::does_not_hold("the server has no output"))?;
        let first_line = timeout(START_PATIENCE, BufReader::new(stdout).lines().next_line()).await;
        let line = first_line.ok().and_then(Result::ok).flatten().unwrap_or_default();
        match line.strip_prefix("Segue is ready at http://") {
            Some(address) => Ok(Self { address: address.trim().to_owned(), _process: process }),
            None => Err(Failure::does_not_hold(format!("the server did not start: {line}; `segue check` says why"))),
        }
    }
}

/// What became of a client's frames.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frames {
    pub(super) sent: u64,
    pub(super) answered: u64,
    pub(super) dropped: u64,
}

/// New limits, as a client received them.
pub(super) struct LimitsReceived {
    pub(super) at: Instant,
    pub(super) limits: Value,
}

/// Sends `jpeg` at `pace`, as far as the server's limits allow, until `stop` turns true; tells of each `limits`.
pub(super) async fn stream(
    address: String,
    jpeg: Vec<u8>,
    pace: Duration,
    limits: mpsc::Sender<LimitsReceived>,
    mut stop: watch::Receiver<bool>,
) -> Result<Frames, Failure> {
    let url = format!("ws://{address}/ws").parse().map_err(Failure::does_not_hold)?;
    let request = ClientRequestBuilder::new(url).with_sub_protocol(SUBPROTOCOL);
    let (mut socket, _) = connect_async(request).await.map_err(Failure::does_not_hold)?;
    let mut frames = Frames::default();
    let mut ticks = interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut deadline, mut max_in_flight) = (None, 0);
    while deadline.is_none() || frames.answered + frames.dropped < frames.sent {
        let message = tokio::select! {
            _ = ticks.tick(), if deadline.is_none() => {
                if frames.sent - frames.answered - frames.dropped >= max_in_flight {
                    continue;
                }
                socket.send(frame(frames.sent, &jpeg)).await.map_err(Failure::does_not_hold)?;
                frames.sent += 1;
                continue;
            }
            () = stopped(&mut stop), if deadline.is_none() => {
                deadline = Some(Instant::now() + LAST_ANSWERS);
                continue;
            }
            () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break,
            message = socket.next() => message,
        };
        match message {
            Some(Ok(Message::Binary(_))) => frames.answered += 1,
            Some(Ok(Message::Text(text))) => {
                let text: Value = serde_json::from_str(&text).map_err(Failure::does_not_hold)?;
                match text["type"].as_str() {
                    Some("dropped") => frames.dropped += 1,
                    Some("hello") => max_in_flight = text["limits"]["max_in_flight"].as_u64().unwrap_or(1),
                    Some("limits") => {
                        max_in_flight = text["max_in_flight"].as_u64().unwrap_or(1);
                        // Nobody reads on once the benchmark ends.
                        drop(limits.send(LimitsReceived { at: Instant::now(), limits: text }).await);
                    }
                    _ => {}
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(Failure::does_not_hold(error)),
            None => return Err(Failure::does_not_hold("the server closed a session")),
        }
    }
    Ok(frames)
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // That the sender is gone means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn frame(number: u64, jpeg: &[u8]) -> Message {
    let mut message = vec![0; FRAME_HEADER_LEN_BYTES];
    message[..2].copy_from_slice(&[1, 1]);
    message[4..8].copy_from_slice(&(number as u32).to_le_bytes());
    message.extend(jpeg);
    Message::Binary(message.into())
}

/// A made-up picture of `width` times `height`.
pub(super) fn test_picture(width: u16, height: u16) -> Result<Vec<u8>, Failure> {
    let pixel = |x: u16, y: u16| [(x % 256) as u8, (y % 256) as u8, ((x ^ y) % 256) as u8];
    let pixels: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
    let mut jpeg = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 50);
    encoder.encode(&pixels, width, height, jpeg_encoder::ColorType::Rgb).map_err(Failure::does_not_hold)?;
    Ok(jpeg)
}
