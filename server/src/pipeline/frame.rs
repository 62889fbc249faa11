//! What goes into the pipeline, what comes out, and why it may not.

use bytes::{Bytes, BytesMut};

use super::look::{ClassSet, Look};
use crate::plugin_host::InstanceError;

/// A frame as a client sent it.
#[derive(Debug)]
pub struct EncodedFrame {
    /// The client's counter.
    pub id: u32,
    /// Number of the session; 0 for a single picture.
    pub session: u64,
    /// When the camera took it, microseconds of the client's clock.
    pub captured_at_micros: u64,
    /// The picture's bytes.
    pub bytes: Bytes,
    /// Which formats they may be in.
    pub accepts: Accepts,
}

/// Which picture formats are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// JPEG.
    Jpeg,
    /// JPEG, PNG or WebP, told by the first bytes.
    AnyPicture,
    /// None: the bytes are the pixels, rows of red, green and blue without gaps.
    Pixels {
        /// Pixels in a row.
        width_px: u32,
        /// Rows.
        height_px: u32,
    },
}

/// A decoded frame: rows of RGB bytes without gaps, in a buffer of the pipeline's.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// `3 * width_px * height_px` bytes.
    pub rgb: &'a [u8],
    /// Width in pixels.
    pub width_px: u32,
    /// Height in pixels.
    pub height_px: u32,
}

/// A segmented frame: a class id per pixel, in a buffer of the pipeline's.
#[derive(Clone, Copy)]
pub struct Mask<'a> {
    /// `width_px * height_px` class ids.
    pub labels: &'a [u8],
    /// As many confidences of the winning class, when they were asked for.
    pub confidence: Option<&'a [u8]>,
    /// Width in pixels.
    pub width_px: u32,
    /// Height in pixels.
    pub height_px: u32,
}

/// What the client wants back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Wanted {
    /// Run lengths of class ids, deflated.
    #[default]
    Mask,
    /// The same, and the confidence plane.
    SoftMask,
    /// A JPEG picture that the server draws.
    Picture(Look),
    /// An indexed PNG of class ids.
    Png,
    /// A JSON document.
    Json,
    /// A byte for each pixel, its class id; and then as many confidences, if they are wanted.
    Planes {
        /// Whether they are.
        confidence: bool,
    },
}

impl Wanted {
    /// Whether the backend is to say how certain it is.
    pub(super) fn needs_confidence(&self) -> bool {
        matches!(self, Self::SoftMask | Self::Planes { confidence: true })
    }
}

/// What is sent back.
#[derive(Debug)]
pub struct EncodedMask {
    /// [`super::HEADROOM_LEN_BYTES`] of room for a header, then the payload.
    pub bytes: BytesMut,
    /// What the payload is.
    pub wanted: Wanted,
    /// Width of the mask in pixels.
    pub width_px: u16,
    /// Height of the mask in pixels.
    pub height_px: u16,
    /// The classes that are drawn in a picture; none of a mask.
    pub drawn: ClassSet,
}

impl EncodedMask {
    /// How many bytes the payload has.
    pub fn payload_len_bytes(&self) -> usize {
        self.bytes.len() - super::HEADROOM_LEN_BYTES
    }
}

/// Why a frame has no result.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum FrameError {
    #[error("the picture is {width_px}x{height_px}, and at most {limit} are accepted")]
    TooManyPixels { width_px: u32, height_px: u32, limit: String },
    #[error("the picture has {len_bytes} bytes, and at most {limit} are accepted")]
    TooManyBytes { len_bytes: usize, limit: usize },
    #[error("the picture can't be decoded: {0}")]
    Undecodable(String),
    #[error("{0}")]
    Backend(#[from] InstanceError),
    #[error("as many frames of this session are in flight as capture.max_in_flight allows, which is {0}")]
    TooManyInFlight(u32),
    #[error("more than {0} frames of this session came in a second; limits.max_frames_per_second")]
    TooManyFrames(u32),
    #[error("{0} frames wait for their turn already")]
    Overloaded(u32),
    #[error("a newer frame of this session took its place")]
    Superseded,
    #[error("it waited {0} ms for its turn")]
    Expired(u128),
    #[error("the mode can't serve: {0}")]
    NotReady(String),
    #[error("the server is stopping")]
    Stopping,
    #[error("the server failed on this frame; its log has the message")]
    Internal,
    #[error("the result can't be encoded: {0}")]
    Unencodable(String),
}

impl FrameError {
    /// The reason as the wire protocol and the metrics have it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooManyPixels { .. } | Self::TooManyBytes { .. } => "too_large",
            Self::Undecodable(_) => "undecodable",
            Self::TooManyInFlight(_) | Self::TooManyFrames(_) => "rate_limited",
            Self::Superseded => "superseded",
            Self::Expired(_) => "expired",
            Self::Stopping | Self::Overloaded(_) => "overloaded",
            Self::Backend(_) | Self::NotReady(_) | Self::Unencodable(_) | Self::Internal => "backend_failed",
        }
    }
}
