//! A client of `segue.v2`, written from the protocol alone.

use std::{
    io::Read,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{ClientRequestBuilder, Message},
};

use crate::server::PATIENCE;

/// Fields of a frame's header that a scenario may want to set.
#[derive(Clone, Copy, Debug)]
pub struct FrameFields {
    /// Byte 0.
    pub kind: u8,
    /// Byte 1.
    pub codec: u8,
    /// The client's counter.
    pub frame_id: u32,
    /// Microseconds.
    pub captured_at: u64,
    /// From capture to encoded.
    pub encode_micros: u32,
    /// From encoded to handed to the socket.
    pub send_delay_micros: u32,
    /// Asks that the frame's trace be kept.
    pub keep: bool,
    /// The frame's trace.
    pub trace_id: [u8; 16],
    /// The client's span of it.
    pub span_id: [u8; 8],
}

impl FrameFields {
    /// A JPEG frame.
    pub fn jpeg(frame_id: u32) -> Self {
        Self {
            kind: 1,
            codec: 1,
            frame_id,
            captured_at: 1_000_000 + u64::from(frame_id),
            encode_micros: 0,
            send_delay_micros: 0,
            keep: false,
            trace_id: [7; 16],
            span_id: [9; 8],
        }
    }

    /// The message with this payload.
    pub fn message(self, payload: &[u8]) -> Vec<u8> {
        let mut message = vec![self.kind, self.codec, u8::from(self.keep), 0];
        message.extend(self.frame_id.to_le_bytes());
        message.extend(self.captured_at.to_le_bytes());
        message.extend(self.encode_micros.to_le_bytes());
        message.extend(self.send_delay_micros.to_le_bytes());
        message.extend(self.trace_id);
        message.extend(self.span_id);
        message.extend(payload);
        message
    }
}

/// A result, decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// 1 = mask, 2 = picture, 3 = mask with confidence.
    pub encoding: u8,
    /// Index of the mode.
    pub mode: u8,
    /// The frame.
    pub frame_id: u32,
    /// Echoed.
    pub captured_at: u64,
    /// Width of the mask.
    pub width: u16,
    /// Height of the mask.
    pub height: u16,
    /// Of the configuration.
    pub generation: u32,
    /// queue, decode, preprocess, infer, postprocess, encode, server total, reserved.
    pub micros: [u32; 8],
    /// Class ids; empty for a picture.
    pub labels: Vec<u8>,
    /// Confidences; empty unless asked for.
    pub confidence: Vec<u8>,
    /// The payload as it came.
    pub payload: Vec<u8>,
}

impl Decoded {
    /// Reads a binary message of the server's.
    pub fn read(message: &[u8]) -> Result<Self> {
        ensure!(message.len() >= 64, "a result of {} bytes", message.len());
        ensure!(message[0] == 2, "kind {}", message[0]);
        ensure!(message[2] == 0, "flags {}", message[2]);
        let u32_at = |at: usize| u32::from_le_bytes([message[at], message[at + 1], message[at + 2], message[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let payload = message[64..].to_vec();
        let (width, height) = (u32_at(16) as u16, (u32_at(16) >> 16) as u16);
        let pixels = usize::from(width) * usize::from(height);
        let (labels, confidence) = match message[1] {
            1 => (decode_mask(&payload, pixels)?, Vec::new()),
            2 => (Vec::new(), Vec::new()),
            3 => {
                let len = u32::from_le_bytes(payload[..4].try_into()?) as usize;
                let confidence = inflate(&payload[4 + len..])?;
                ensure!(confidence.len() == pixels, "a confidence plane of {} bytes", confidence.len());
                (decode_mask(&payload[4..4 + len], pixels)?, confidence)
            }
            other => bail!("encoding {other}"),
        };
        Ok(Self {
            encoding: message[1],
            mode: message[3],
            frame_id: u32_at(4),
            captured_at: u64_at(8),
            width,
            height,
            generation: u32_at(20),
            micros: std::array::from_fn(|index| u32_at(24 + 4 * index)),
            labels,
            confidence,
            payload,
        })
    }

    /// What share of the mask is of class `id`.
    pub fn share(&self, id: u8) -> f64 {
        self.labels.iter().filter(|&&label| label == id).count() as f64 / self.labels.len() as f64
    }
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    flate2::read::DeflateDecoder::new(bytes).read_to_end(&mut out)?;
    Ok(out)
}

fn decode_mask(payload: &[u8], pixels: usize) -> Result<Vec<u8>> {
    let mut labels = Vec::with_capacity(pixels);
    let mut bytes = inflate(payload)?.into_iter();
    while let Some(mut byte) = bytes.next() {
        let (mut len, mut shift) = (usize::from(byte & 0x7F), 7);
        while byte & 0x80 != 0 {
            byte = bytes.next().context("a run length breaks off")?;
            len |= usize::from(byte & 0x7F) << shift;
            shift += 7;
        }
        let id = bytes.next().context("a run without its class")?;
        ensure!(labels.len() + len <= pixels, "runs of more than {pixels} pixels");
        labels.extend(std::iter::repeat_n(id, len));
    }
    ensure!(labels.len() == pixels, "runs of {} pixels, and the mask has {pixels}", labels.len());
    Ok(labels)
}

/// The client's clock.
fn clock_micros() -> Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?)
}

/// What the server sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A binary message.
    Result(Box<Decoded>),
    /// A text message.
    Text(Value),
    /// The end, with its close code.
    Closed(Option<u16>),
}

/// Opens a socket with this subprotocol, as a browser would from a page of `origin`.
pub(crate) async fn open(
    address: &str,
    subprotocol: Option<&str>,
    header: Option<(&str, &str)>,
) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>> {
    let mut request = ClientRequestBuilder::new(format!("ws://{address}/ws").parse()?);
    if let Some(subprotocol) = subprotocol {
        request = request.with_sub_protocol(subprotocol);
    }
    if let Some((name, value)) = header {
        request = request.with_header(name, value);
    }
    // As a browser does: or else a small message waits until the one before it is acknowledged.
    let is_without_delay = true;
    let connecting = tokio_tungstenite::connect_async_with_config(request, None, is_without_delay);
    Ok(timeout(PATIENCE, connecting).await??.0)
}

/// A connected client; the `hello` is already read.
pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The server's first message.
    pub hello: Value,
}

impl Client {
    /// Connects to the server at `address`.
    pub async fn connect(address: &str) -> Result<Self> {
        Self::connect_from(address, None).await
    }

    /// Connects as a browser would from a page of `origin`.
    pub async fn connect_from(address: &str, origin: Option<&str>) -> Result<Self> {
        Self::connect_saying(address, origin.map(|origin| ("origin", origin))).await
    }

    /// Connects as a client that has `token`.
    pub async fn connect_with(address: &str, token: &str) -> Result<Self> {
        Self::connect_saying(address, Some(("authorization", &format!("Bearer {token}")))).await
    }

    /// Connects as a proxy for the client at `forwarded_for`.
    pub async fn connect_behind(address: &str, forwarded_for: &str) -> Result<Self> {
        Self::connect_saying(address, Some(("x-forwarded-for", forwarded_for))).await
    }

    async fn connect_saying(address: &str, header: Option<(&str, &str)>) -> Result<Self> {
        let socket = open(address, Some("segue.v2"), header).await?;
        let mut client = Self { socket, hello: Value::Null };
        client.hello = match client.next().await? {
            Event::Text(hello) => hello,
            other => bail!("{other:?} in place of a hello"),
        };
        ensure!(client.hello["type"] == "hello", "{} in place of a hello", client.hello);
        Ok(client)
    }

    /// Sends a frame.
    pub async fn frame(&mut self, frame_id: u32, jpeg: &[u8]) -> Result<()> {
        self.binary(FrameFields::jpeg(frame_id).message(jpeg)).await
    }

    /// Sends a frame as the page does, with its times, waits for its result, and says that it was painted. The frame's trace
    /// is `trace_id`, and it is to be kept.
    pub async fn painted(&mut self, frame_id: u32, jpeg: &[u8], trace_id: [u8; 16]) -> Result<Decoded> {
        let captured_at = clock_micros()? - 2_500;
        let mut message = FrameFields { captured_at, ..FrameFields::jpeg(frame_id) }.message(jpeg);
        message[2] = 1;
        message[16..20].copy_from_slice(&2_000_u32.to_le_bytes());
        message[20..24].copy_from_slice(&500_u32.to_le_bytes());
        message[24..40].copy_from_slice(&trace_id);
        self.binary(message).await?;
        let result = self.result().await?;
        let at = clock_micros()?;
        self.text(json!({
            "type": "paint", "frame_id": frame_id, "encode_started_at": captured_at + 300,
            "received_at": at, "decode_started_at": at + 100, "decoded_at": at + 700, "painted_at": at + 5_000,
        }))
        .await?;
        Ok(result)
    }

    /// Sends any binary message.
    pub async fn binary(&mut self, message: Vec<u8>) -> Result<()> {
        Ok(timeout(PATIENCE, self.socket.send(Message::Binary(Bytes::from(message)))).await??)
    }

    /// Sends any text message.
    pub async fn text(&mut self, message: impl ToString) -> Result<()> {
        Ok(timeout(PATIENCE, self.socket.send(Message::Text(message.to_string().into()))).await??)
    }

    /// Sends bytes past the WebSocket.
    pub async fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        let MaybeTlsStream::Plain(stream) = self.socket.get_mut() else { bail!("the connection is not plain") };
        Ok(stream.write_all(bytes).await?)
    }

    /// The server's next message.
    pub async fn next(&mut self) -> Result<Event> {
        loop {
            return Ok(match timeout(PATIENCE, self.socket.next()).await? {
                Some(Ok(Message::Binary(bytes))) => Event::Result(Box::new(Decoded::read(&bytes)?)),
                Some(Ok(Message::Text(text))) => Event::Text(serde_json::from_str(&text)?),
                Some(Ok(Message::Close(frame))) => Event::Closed(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => Event::Closed(None),
            });
        }
    }

    /// The server's next result or `dropped`; other texts are passed over.
    pub async fn answer(&mut self) -> Result<Event> {
        loop {
            match self.next().await? {
                Event::Text(text) if text["type"] != "dropped" => {}
                event => return Ok(event),
            }
        }
    }

    /// The next result; anything but texts in between is an error.
    pub async fn result(&mut self) -> Result<Decoded> {
        match self.answer().await? {
            Event::Result(result) => Ok(*result),
            other => bail!("{other:?} in place of a result"),
        }
    }

    /// Waits until the mode that was asked for is ready.
    pub async fn mode_is_ready(&mut self) -> Result<()> {
        loop {
            let mode = self.text_of("mode").await?;
            ensure!(mode["state"] != "unavailable", "{mode}");
            if mode["state"] == "ready" {
                return Ok(());
            }
        }
    }

    /// The next text of `kind`; results in between are passed over.
    pub async fn text_of(&mut self, kind: &str) -> Result<Value> {
        loop {
            match self.next().await? {
                Event::Text(text) if text["type"] == kind => return Ok(text),
                Event::Closed(code) => bail!("closed with {code:?} before a {kind:?}"),
                _ => {}
            }
        }
    }
}
