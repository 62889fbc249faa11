//! The binary messages of `segue.v2`: one frame in, one result out, little-endian headers.
//!
//! Invariant: reading a header never looks beyond the message, whatever its bytes say.

use bytes::Bytes;

use crate::{
    pipeline::{EncodedMask, HEADROOM_LEN_BYTES, Wanted},
    telemetry::{FrameTrace, Stage},
};

/// The WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "segue.v2";

/// Length of a frame's header.
pub const FRAME_HEADER_LEN_BYTES: usize = 48;
/// Length of a result's header.
pub const RESULT_HEADER_LEN_BYTES: usize = 64;

const KIND_FRAME: u8 = 1;
const KIND_RESULT: u8 = 2;
const CODEC_JPEG: u8 = 1;

const ENCODING_MASK: u8 = 1;
const ENCODING_PICTURE: u8 = 2;
const ENCODING_SOFT_MASK: u8 = 3;

const _: () = assert!(HEADROOM_LEN_BYTES == RESULT_HEADER_LEN_BYTES, "the pipeline leaves room for the header");

/// A frame's header and payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameMessage {
    /// How the payload is encoded.
    pub codec: u8,
    /// The client asks that the frame's trace be kept.
    pub keep_trace: bool,
    /// The client's counter.
    pub frame_id: u32,
    /// Microseconds of the client's clock.
    pub captured_at_micros: u64,
    /// From capture to encoded.
    pub encode_micros: u32,
    /// From encoded to handed to the socket.
    pub send_delay_micros: u32,
    /// All zero: the server makes one.
    pub trace_id: [u8; 16],
    /// The client's span of this frame.
    pub span_id: [u8; 8],
    /// The picture.
    pub payload: Bytes,
}

/// Why a binary message is no frame.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ProtocolError {
    #[error("an empty message; a frame is a {FRAME_HEADER_LEN_BYTES}-byte header and its picture")]
    Empty,
    #[error("a binary message of kind {0}; a client sends kind {KIND_FRAME}, a frame")]
    UnknownKind(u8),
    #[error("a frame of {0} bytes; its header alone has {FRAME_HEADER_LEN_BYTES}")]
    Short(usize),
}

impl FrameMessage {
    /// Reads a binary message. The payload is a view of it, not a copy.
    pub fn read(message: &Bytes) -> Result<Self, ProtocolError> {
        match message.first() {
            None => return Err(ProtocolError::Empty),
            Some(&KIND_FRAME) => {}
            Some(&kind) => return Err(ProtocolError::UnknownKind(kind)),
        }
        let Some((header, _)) = message.split_first_chunk::<FRAME_HEADER_LEN_BYTES>() else {
            return Err(ProtocolError::Short(message.len()));
        };
        Ok(Self {
            codec: header[1],
            keep_trace: header[2] & 1 != 0,
            frame_id: u32::from_le_bytes(part(header, 4)),
            captured_at_micros: u64::from_le_bytes(part(header, 8)),
            encode_micros: u32::from_le_bytes(part(header, 16)),
            send_delay_micros: u32::from_le_bytes(part(header, 20)),
            trace_id: part(header, 24),
            span_id: part(header, 40),
            payload: message.slice(FRAME_HEADER_LEN_BYTES..),
        })
    }

    /// A JPEG of which nothing more is known.
    pub fn of_picture(frame_id: u32, payload: Bytes) -> Self {
        Self {
            codec: CODEC_JPEG,
            keep_trace: false,
            frame_id,
            captured_at_micros: 0,
            encode_micros: 0,
            send_delay_micros: 0,
            trace_id: [0; 16],
            span_id: [0; 8],
            payload,
        }
    }

    /// Whether the payload's codec is one that is decoded here.
    pub fn has_known_codec(&self) -> bool {
        self.codec == CODEC_JPEG
    }
}

fn part<const N: usize>(header: &[u8; FRAME_HEADER_LEN_BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&header[at..at + N]);
    out
}

/// What a result's header says beside what the mask itself knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultHeader {
    /// The mode that the frame ran in.
    pub mode_index: u8,
    /// The client's counter.
    pub frame_id: u32,
    /// Echoed.
    pub captured_at_micros: u64,
    /// The configuration that the frame ran under.
    pub generation: u32,
    /// Microseconds since the epoch, now.
    pub server_clock_micros: u64,
}

/// Writes the header into the room in front of the payload: one binary message, not copied.
pub fn result_message(header: ResultHeader, mask: EncodedMask, trace: &FrameTrace) -> Bytes {
    let encoding = match mask.wanted {
        Wanted::Picture(_) => ENCODING_PICTURE,
        Wanted::SoftMask => ENCODING_SOFT_MASK,
        // Sessions ask for none of the others.
        Wanted::Mask | Wanted::Png | Wanted::Json | Wanted::Planes { .. } => ENCODING_MASK,
    };
    let mut bytes = mask.bytes;
    bytes[..4].copy_from_slice(&[KIND_RESULT, encoding, 0, header.mode_index]);
    let mut at = 4;
    let mut put = |field: &[u8]| {
        bytes[at..at + field.len()].copy_from_slice(field);
        at += field.len();
    };
    put(&header.frame_id.to_le_bytes());
    put(&header.captured_at_micros.to_le_bytes());
    put(&mask.width_px.to_le_bytes());
    put(&mask.height_px.to_le_bytes());
    put(&header.generation.to_le_bytes());
    for stage in Stage::OF_RESULT {
        put(&trace.micros(stage).to_le_bytes());
    }
    put(&u32::try_from(trace.age().as_micros()).unwrap_or(u32::MAX).to_le_bytes());
    put(&0_u32.to_le_bytes());
    put(&header.server_clock_micros.to_le_bytes());
    bytes.freeze()
}
