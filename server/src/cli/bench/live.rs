//! What a benchmark runs against: a server of its own, and clients whose frames flow.

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
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

/// From one look for a server that went away to the next.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// How often a client compares clocks, as the page does.
const CLOCK_INTERVAL: Duration = Duration::from_millis(500);

/// How much of what clients hear may wait for the benchmark.
pub(super) const WAITING: usize = 1 << 16;

/// The address of a server's socket, and the token that it wants.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) socket: String,
    pub(super) token: Option<String>,
}

/// A server process; killed when it is dropped.
pub(super) struct Server {
    address: String,
    /// Its number.
    pub(super) id: u32,
    _process: Child,
}

impl Server {
    /// Its socket.
    pub(super) fn target(&self) -> Target {
        Target { socket: format!("ws://{}/ws", self.address), token: None }
    }

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
    /// In flight when their session ended.
    pub(super) lost: u64,
}

impl Frames {
    fn in_flight(&self) -> u64 {
        self.sent - self.answered - self.dropped - self.lost
    }
}

impl std::ops::AddAssign for Frames {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.dropped += other.dropped;
        self.lost += other.lost;
    }
}

/// What happens to a client.
pub(super) enum Heard {
    /// It sent a frame.
    Sent { frame_id: u32, len_bytes: usize },
    /// It had a frame to send, and as many as are allowed were on their way.
    NoRoom,
    /// It got a result.
    Result(Answer),
    /// It got a text.
    Text(Value),
    /// It lost the server, and found it again after so long.
    Back(Duration),
}

/// What a result says of itself.
pub(super) struct Answer {
    pub(super) frame_id: u32,
    pub(super) mode_index: u8,
    /// Queue, decode, preprocess, infer, postprocess, encode, server total.
    pub(super) stage_micros: [u32; 7],
    pub(super) len_bytes: usize,
}

impl Answer {
    fn read(message: &[u8]) -> Option<Self> {
        let header = message.first_chunk::<RESULT_HEADER_LEN_BYTES>()?;
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        Some(Self {
            frame_id: word(4),
            mode_index: header[3],
            stage_micros: std::array::from_fn(|stage| word(24 + 4 * stage)),
            len_bytes: message.len(),
        })
    }
}

/// A client whose frames flow.
pub(super) struct Client {
    /// Where to.
    pub(super) target: Target,
    /// The pictures that it sends, again and again.
    pub(super) pictures: Arc<[Vec<u8>]>,
    /// From one frame to the next, as far as the server's limits allow; zero: the next when the last is answered.
    pub(super) pace: Duration,
    /// The mode that it asks for; the server's default mode when it does not.
    pub(super) mode: Option<String>,
    /// It sends no more at once than the server's limits allow.
    pub(super) keeps_limits: bool,
    /// It looks for a server that went away until it is back.
    pub(super) comes_back: bool,
}

impl Client {
    /// As the page is one.
    pub(super) fn polite(target: Target, pictures: Arc<[Vec<u8>]>, pace: Duration, mode: Option<String>) -> Self {
        Self { target, pictures, pace, mode, keeps_limits: true, comes_back: false }
    }

    /// Sends frames until `stop` turns true, and tells `hear` of all that happens.
    pub(super) async fn run(
        self,
        mut stop: watch::Receiver<bool>,
        mut hear: impl FnMut(Heard),
    ) -> Result<Frames, Failure> {
        let mut socket = self.begin().await?;
        let mut frames = Frames::default();
        loop {
            let ended = self.stream(&mut socket, &mut frames, &mut stop, &mut hear).await;
            match ended {
                Ok(()) => return Ok(frames),
                Err(failure) if !self.comes_back => return Err(failure),
                Err(_gone) => frames.lost += frames.in_flight(),
            }
            let gone = Instant::now();
            socket = loop {
                match self.begin().await {
                    Ok(socket) => break socket,
                    Err(_still_gone) if *stop.borrow() => return Ok(frames),
                    Err(_still_gone) => sleep(RETRY_INTERVAL).await,
                }
            };
            hear(Heard::Back(gone.elapsed()));
        }
    }

    async fn begin(&self) -> Result<Socket, Failure> {
        let mut socket = connect(&self.target).await?;
        if let Some(mode) = &self.mode {
            say(&mut socket, &json!({"type": "mode", "mode": mode})).await?;
        }
        Ok(socket)
    }

    /// A session, until `stop` turns true and the last frames are answered.
    async fn stream(
        &self,
        socket: &mut Socket,
        frames: &mut Frames,
        stop: &mut watch::Receiver<bool>,
        hear: &mut impl FnMut(Heard),
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let mut ticks = (!self.pace.is_zero()).then(|| every(self.pace));
        let mut clock = every(CLOCK_INTERVAL);
        let (mut deadline, mut max_in_flight, mut refusal) = (None, 0, None);
        while deadline.is_none() || frames.in_flight() > 0 {
            // Without a pace a second one would only take the place of the first, as long as that waits.
            let most = match (self.keeps_limits, ticks.is_some()) {
                (false, true) => u64::MAX,
                (_, true) => max_in_flight,
                (_, false) => max_in_flight.min(1),
            };
            let has_room = frames.in_flight() < most;
            let message = tokio::select! {
                () = next(&mut ticks), if deadline.is_none() && (has_room || ticks.is_some()) => {
                    if !has_room {
                        hear(Heard::NoRoom);
                        continue;
                    }
                    let picture = &self.pictures[frames.sent as usize % self.pictures.len()];
                    let frame = frame(frames.sent, picture);
                    hear(Heard::Sent { frame_id: frames.sent as u32, len_bytes: frame.len() });
                    socket.send(frame).await.map_err(Failure::does_not_hold)?;
                    frames.sent += 1;
                    continue;
                }
                _ = clock.tick(), if deadline.is_none() => {
                    let sent = started.elapsed().as_micros() as u64;
                    say(socket, &json!({"type": "clock", "sent": sent})).await?;
                    continue;
                }
                () = stopped(stop), if deadline.is_none() => {
                    deadline = Some(Instant::now() + LAST_ANSWERS);
                    continue;
                }
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break,
                message = socket.next() => message,
            };
            match message {
                Some(Ok(Message::Binary(result))) => {
                    let answer =
                        Answer::read(&result).ok_or_else(|| Failure::does_not_hold("a result without a header"))?;
                    frames.answered += 1;
                    hear(Heard::Result(answer));
                }
                Some(Ok(Message::Text(text))) => {
                    let mut text: Value = serde_json::from_str(&text).map_err(Failure::does_not_hold)?;
                    match text["type"].as_str() {
                        Some("dropped") => frames.dropped += 1,
                        Some("hello") => max_in_flight = text["limits"]["max_in_flight"].as_u64().unwrap_or(1),
                        // It closes the session next, or goes on.
                        Some("error") => refusal = text["message"].as_str().map(|why| format!(": {why}")),
                        Some("limits") => max_in_flight = text["max_in_flight"].as_u64().unwrap_or(1),
                        Some("clock") => {
                            let took = started.elapsed().as_micros() as u64 - text["sent"].as_u64().unwrap_or_default();
                            text["round_trip_micros"] = took.into();
                        }
                        _ => {}
                    }
                    hear(Heard::Text(text));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Failure::does_not_hold(error)),
                None => {
                    let refusal = refusal.unwrap_or_default();
                    return Err(Failure::does_not_hold(format!("the server closed a session{refusal}")));
                }
            }
        }
        Ok(())
    }
}

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(super) async fn connect(target: &Target) -> Result<Socket, Failure> {
    let address = &target.socket;
    let unreachable = |error: &dyn std::fmt::Display| {
        Failure::does_not_hold(format!("{address}: {error}; is a server running there? Name it with --url"))
    };
    let mut request = ClientRequestBuilder::new(address.parse().map_err(|error| unreachable(&error))?);
    if let Some(token) = &target.token {
        request = request.with_header("authorization", format!("Bearer {token}"));
    }
    let (socket, _) =
        connect_async(request.with_sub_protocol(SUBPROTOCOL)).await.map_err(|error| unreachable(&error))?;
    Ok(socket)
}

async fn say(socket: &mut Socket, text: &Value) -> Result<(), Failure> {
    socket.send(Message::Text(text.to_string().into())).await.map_err(Failure::does_not_hold)
}

/// The first message of a server.
pub(super) async fn hello(target: &Target) -> Result<Value, Failure> {
    let (mut socket, hello) = greeted(target).await?;
    // The server is not told why we leave.
    let _ = socket.close(None).await;
    Ok(hello)
}

/// A session, and the server's first message in it.
pub(super) async fn greeted(target: &Target) -> Result<(Socket, Value), Failure> {
    let mut socket = connect(target).await?;
    let hello = timeout(START_PATIENCE, socket.next()).await.ok().flatten();
    let Some(Ok(Message::Text(hello))) = hello else {
        return Err(Failure::does_not_hold(format!("{} does not say hello", target.socket)));
    };
    let hello: Value = serde_json::from_str(&hello).map_err(Failure::does_not_hold)?;
    match hello["type"].as_str() {
        Some("hello") => Ok((socket, hello)),
        _ => Err(Failure::does_not_hold(hello["message"].as_str().unwrap_or("the server refuses the session"))),
    }
}

/// Waits for a message, whatever it says; false when the session is over.
pub(super) async fn answered(socket: &mut Socket) -> bool {
    matches!(socket.next().await, Some(Ok(_)))
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// When the next frame is due; at once when there is no pace.
async fn next(ticks: &mut Option<Interval>) {
    if let Some(ticks) = ticks {
        ticks.tick().await;
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // That the sender is gone means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

pub(super) fn frame(number: u64, jpeg: &[u8]) -> Message {
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
