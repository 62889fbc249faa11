//! A client of the legacy protocol, as the system before this one had it: JSON texts, pictures in base64.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use crate::{client::open, server::PATIENCE};

/// Frames that are sent and not answered, at most: what that client keeps to.
const MAX_IN_FLIGHT: usize = 2;

/// A connected client; the `connected` is already read.
pub struct LegacyClient {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The server's first message.
    pub connected: Value,
}

/// What the stream of such a client brought.
#[derive(Debug, Default)]
pub struct LegacyFlow {
    /// The `segmentation` of each frame, in the order in which they came.
    pub answers: Vec<Value>,
    /// All other messages.
    pub others: Vec<Value>,
}

/// The text of a frame.
pub fn legacy_frame(timestamp: u64, jpeg: &[u8]) -> Value {
    json!({"type": "frame", "data": BASE64_STANDARD.encode(jpeg), "timestamp": timestamp})
}

/// The bytes of the picture in a `segmentation`.
pub fn legacy_picture(segmentation: &Value) -> Result<Vec<u8>> {
    Ok(BASE64_STANDARD.decode(segmentation["data"].as_str().context("no picture")?)?)
}

impl LegacyClient {
    /// Connects to the server at `address`.
    pub async fn connect(address: &str) -> Result<Self> {
        Self::connect_from(address, None).await
    }

    /// Connects as a browser would from a page of `origin`.
    pub async fn connect_from(address: &str, origin: Option<&str>) -> Result<Self> {
        let socket = open(address, None, origin.map(|origin| ("origin", origin))).await?;
        let mut client = Self { socket, connected: Value::Null };
        client.connected = client.next().await?;
        ensure!(client.connected["type"] == "connected", "{} in place of a connected", client.connected);
        Ok(client)
    }

    /// Sends any message.
    pub async fn send(&mut self, message: Message) -> Result<()> {
        Ok(timeout(PATIENCE, self.socket.send(message)).await??)
    }

    /// Sends any text message.
    pub async fn text(&mut self, message: impl ToString) -> Result<()> {
        self.send(Message::Text(message.to_string().into())).await
    }

    /// Sends a frame.
    pub async fn frame(&mut self, timestamp: u64, jpeg: &[u8]) -> Result<()> {
        self.text(legacy_frame(timestamp, jpeg)).await
    }

    /// The server's next message, as it came.
    pub async fn next_text(&mut self) -> Result<String> {
        loop {
            return match timeout(PATIENCE, self.socket.next()).await.context("nothing comes")? {
                Some(Ok(Message::Text(text))) => Ok(text.to_string()),
                Some(Ok(Message::Close(frame))) => {
                    bail!("closed with {:?}", frame.map(|frame| u16::from(frame.code)))
                }
                Some(Ok(Message::Binary(_))) => bail!("a binary message"),
                Some(Ok(_)) => continue,
                Some(Err(error)) => Err(error.into()),
                None => bail!("the connection is gone"),
            };
        }
    }

    /// The server's next message.
    pub async fn next(&mut self) -> Result<Value> {
        Ok(serde_json::from_str(&self.next_text().await?)?)
    }

    /// The next message, which must be of `kind`.
    pub async fn next_of(&mut self, kind: &str) -> Result<Value> {
        let message = self.next().await?;
        ensure!(message["type"] == kind, "{message} in place of a {kind}");
        Ok(message)
    }

    /// The next message of `kind`; others in between are passed over.
    pub async fn text_of(&mut self, kind: &str) -> Result<Value> {
        loop {
            let message = self.next().await?;
            if message["type"] == kind {
                return Ok(message);
            }
        }
    }

    /// Sends a frame, and waits for its answer, which must be the next message.
    pub async fn segmented(&mut self, timestamp: u64, jpeg: &[u8]) -> Result<Value> {
        self.frame(timestamp, jpeg).await?;
        let answer = self.next_of("segmentation").await?;
        ensure!(answer["timestamp"] == timestamp, "{} is no answer to {timestamp}", answer["timestamp"]);
        Ok(answer)
    }

    /// Sends `frames`, whose timestamps are their places, as that client does: two are in flight, and only a `segmentation`
    /// answers one. Each must have exactly one.
    pub async fn stream(&mut self, frames: &[Value]) -> Result<LegacyFlow> {
        let mut flow = LegacyFlow::default();
        let (mut sent, mut in_flight) = (0, HashMap::new());
        while flow.answers.len() < frames.len() {
            while in_flight.len() < MAX_IN_FLIGHT && sent < frames.len() {
                self.text(&frames[sent]).await?;
                in_flight.insert(sent as u64, ());
                sent += 1;
            }
            let message = self.next().await?;
            if message["type"] == "segmentation" {
                let timestamp = message["timestamp"].as_u64().context("no timestamp")?;
                in_flight.remove(&timestamp).with_context(|| format!("{timestamp} is answered twice"))?;
                flow.answers.push(message);
            } else {
                flow.others.push(message);
            }
        }
        Ok(flow)
    }
}
