//! What a benchmark runs against: a server of its own, and clients whose frames flow.

use std::{path::Path, process::Stdio, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{ClientRequestBuilder, Message},
};

use crate::{
    cli::Failure,
    model::Places,
    pipeline::JpegEncoder,
    session::protocol::{FRAME_HEADER_LEN_BYTES, RESULT_HEADER_LEN_BYTES, SUBPROTOCOL},
};

/// Loading the models of a profile takes seconds at most, once their weights are here.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// How long answers may take to come in once no more frames are sent.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// How much of what clients hear may wait for the benchmark.
pub(super) const WAITING: usize = 1 << 16;

/// A server process; killed when it is dropped.
pub(super) struct Server {
    /// Host and port.
    pub(super) address: String,
    /// Its number.
    pub(super) id: u32,
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
            Some(address) => {
                let id = process.id().unwrap_or_default();
                Ok(Self { address: address.trim().to_owned(), id, _process: process })
            }
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

impl std::ops::AddAssign for Frames {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.dropped += other.dropped;
    }
}

/// What happens to a client.
pub(super) enum Heard {
    /// It sent a frame.
    Sent(u32),
    /// It got a result.
    Result { frame_id: u32, mode_index: u8 },
    /// It got a text.
    Text(Value),
}

/// A client whose frames flow.
pub(super) struct Client {
    /// Host and port of the server.
    pub(super) address: String,
    /// The picture that it sends.
    pub(super) jpeg: Vec<u8>,
    /// From one frame to the next, as far as the server's limits allow.
    pub(super) pace: Duration,
    /// The mode that it asks for; the server's default mode when it does not.
    pub(super) mode: Option<String>,
}

impl Client {
    /// Sends frames until `stop` turns true, and tells `hear` of all that happens.
    pub(super) async fn run(
        self,
        mut stop: watch::Receiver<bool>,
        mut hear: impl FnMut(Heard),
    ) -> Result<Frames, Failure> {
        let url = format!("ws://{}/ws", self.address).parse().map_err(Failure::does_not_hold)?;
        let request = ClientRequestBuilder::new(url).with_sub_protocol(SUBPROTOCOL);
        let (mut socket, _) = connect_async(request).await.map_err(Failure::does_not_hold)?;
        if let Some(mode) = &self.mode {
            let wish = serde_json::json!({"type": "mode", "mode": mode}).to_string();
            socket.send(Message::Text(wish.into())).await.map_err(Failure::does_not_hold)?;
        }
        let mut frames = Frames::default();
        let mut ticks = interval(self.pace);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut deadline, mut max_in_flight) = (None, 0);
        while deadline.is_none() || frames.answered + frames.dropped < frames.sent {
            let message = tokio::select! {
                _ = ticks.tick(), if deadline.is_none() => {
                    if frames.sent - frames.answered - frames.dropped < max_in_flight {
                        hear(Heard::Sent(frames.sent as u32));
                        socket.send(frame(frames.sent, &self.jpeg)).await.map_err(Failure::does_not_hold)?;
                        frames.sent += 1;
                    }
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
                Some(Ok(Message::Binary(result))) if result.len() >= RESULT_HEADER_LEN_BYTES => {
                    frames.answered += 1;
                    let frame_id = u32::from_le_bytes([result[4], result[5], result[6], result[7]]);
                    hear(Heard::Result { frame_id, mode_index: result[3] });
                }
                Some(Ok(Message::Text(text))) => {
                    let text: Value = serde_json::from_str(&text).map_err(Failure::does_not_hold)?;
                    match text["type"].as_str() {
                        Some("dropped") => frames.dropped += 1,
                        Some("hello") => max_in_flight = text["limits"]["max_in_flight"].as_u64().unwrap_or(1),
                        Some("limits") => max_in_flight = text["max_in_flight"].as_u64().unwrap_or(1),
                        _ => {}
                    }
                    hear(Heard::Text(text));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Failure::does_not_hold(error)),
                None => return Err(Failure::does_not_hold("the server closed a session")),
            }
        }
        Ok(frames)
    }
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
    JpegEncoder::default().encode(&pixels, width.into(), 50, &mut jpeg).map_err(Failure::does_not_hold)?;
    Ok(jpeg)
}

/// The value below which `share` of the sorted `values` lie; 0 when there is none.
pub(super) fn quantile(values: &[f64], share: f64) -> f64 {
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.clamp(1, values.len().max(1)) - 1).copied().unwrap_or_default()
}
