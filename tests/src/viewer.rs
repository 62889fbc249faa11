//! Someone who watches: a client that tells the times of each of its frames, up to the screen, as the page does.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::{Client, Event, FrameFields};

/// What its clock shows at first; no other clock shows that.
const CLOCK_START_MICROS: u64 = 77_000_000;

/// A client with a clock of its own.
pub struct Viewer {
    /// What it speaks through.
    pub client: Client,
    start: Instant,
    /// Tells its traces from those of others.
    number: u8,
    next_frame: u32,
}

/// A frame that it sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its number.
    pub frame_id: u32,
    /// Its trace, 32 hex digits.
    pub trace_id: String,
    /// The span of its client, 16 hex digits.
    pub span_id: String,
    encode_started_at: u64,
}

impl Viewer {
    /// Connects. `number` is another for each viewer of a scenario.
    pub async fn connect(address: &str, number: u8) -> Result<Self> {
        Ok(Self { client: Client::connect(address).await?, start: Instant::now(), number, next_frame: 1 })
    }

    fn now(&self) -> u64 {
        CLOCK_START_MICROS + self.start.elapsed().as_micros() as u64
    }

    /// Sends a frame; `keep` asks that its trace be kept.
    pub async fn send(&mut self, jpeg: &[u8], keep: bool) -> Result<Sent> {
        let frame_id = self.next_frame;
        self.next_frame += 1;
        // As if the camera had taken it a while ago, and encoding had just ended.
        const CAPTURE_MICROS: u32 = 300;
        const ENCODE_MICROS: u32 = 1500;
        let encoded_at = self.now();
        let captured_at = encoded_at - u64::from(CAPTURE_MICROS + ENCODE_MICROS);
        let id = u128::from(self.number) << 120 | u128::from(frame_id);
        let fields = FrameFields {
            captured_at,
            encode_micros: CAPTURE_MICROS + ENCODE_MICROS,
            send_delay_micros: u32::try_from(self.now() - encoded_at)?,
            keep,
            trace_id: id.to_be_bytes(),
            span_id: (u64::from(self.number) << 56 | u64::from(frame_id)).to_be_bytes(),
            ..FrameFields::jpeg(frame_id)
        };
        self.client.binary(fields.message(jpeg)).await?;
        let span_id = format!("{:016x}", u64::from_be_bytes(fields.span_id));
        let encode_started_at = captured_at + u64::from(CAPTURE_MICROS);
        Ok(Sent { frame_id, trace_id: format!("{id:032x}"), span_id, encode_started_at })
    }

    /// Tells that the result of a frame, which came just now, was decoded and painted.
    pub async fn paint(&mut self, sent: &Sent) -> Result<()> {
        let received_at = self.now();
        let paint = json!({
            "type": "paint",
            "frame_id": sent.frame_id,
            "encode_started_at": sent.encode_started_at,
            "received_at": received_at,
            "decode_started_at": received_at + 200,
            "decoded_at": received_at + 900,
            "painted_at": received_at + 5000,
        });
        self.client.text(paint).await
    }

    /// Sends a frame, waits for its result and paints it.
    pub async fn watch(&mut self, jpeg: &[u8], keep: bool) -> Result<Sent> {
        let sent = self.send(jpeg, keep).await?;
        let result = self.client.result().await?;
        ensure!(result.frame_id == sent.frame_id, "an answer to {} in place of {}", result.frame_id, sent.frame_id);
        self.paint(&sent).await?;
        Ok(sent)
    }

    /// Sends a frame that is dropped; the reason.
    pub async fn lose(&mut self, jpeg: &[u8], keep: bool) -> Result<(Sent, String)> {
        let sent = self.send(jpeg, keep).await?;
        match self.client.answer().await? {
            Event::Text(dropped) => Ok((sent, dropped["reason"].as_str().unwrap_or_default().to_owned())),
            other => anyhow::bail!("{other:?} in place of a drop"),
        }
    }
}
