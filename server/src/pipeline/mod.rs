//! The work on one frame: `run_frame`, the place to start reading.
//!
//! On a frame's path this stands between `admission`, which leases an instance for it, and the session, which
//! sends what comes out.
//!
//! Architecture invariant: it runs on the instances' threads, never on the async runtime, and as many frames run at once
//! as there are instances. After the first few frames it allocates nothing.

mod decode;
mod desk;
mod encode;
mod frame;
mod jpeg;
mod jpeg_header;
mod look;
mod picture;
mod runs;

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;

pub use decode::{Room, decode};
pub use desk::Desk;
pub use encode::MaskEncoder;
pub use frame::{Accepts, EncodedFrame, EncodedMask, Frame, FrameError, Mask, Wanted};
pub use jpeg::{JpegEncoder, blank_jpeg};
pub use jpeg_header::is_whole_jpeg;
pub use look::{ClassName, ClassSet, Drawing, Look, OutputView, View, read_classes, read_opacity};

use crate::{
    config::{LimitSettings, ResultSettings},
    model::Lease,
    plugin_host::{FrameCall, RunningCall, StageMicros, TraceContext},
    telemetry::{FrameTrace, Stage},
};

/// Room in front of every payload, so that a result's header is written without moving the payload.
pub const HEADROOM_LEN_BYTES: usize = 64;

/// Segments one frame: decode, infer, encode.
fn run_frame(
    settings: &Settings,
    buffers: &mut Buffers,
    lease: &mut Lease,
    encoded: &EncodedFrame,
    trace: &mut FrameTrace,
    wanted: Wanted,
    running: &RunningCall,
) -> Result<EncodedMask, FrameError> {
    trace.end(Stage::Queue, Stage::Receive);

    // 1. Pixels, where the backend reads them. The header is judged before anything is allocated.
    let Buffers { encoder, painter, result, message } = buffers;
    let instance = lease.instance()?;
    let decoded = decode(&encoded.bytes, encoded.accepts, &settings.limits, instance);
    trace.end(Stage::Decode, Stage::Queue);
    let (frame_width_px, frame_height_px) = decoded?;
    trace.measures().frame_size_px = (frame_width_px, frame_height_px);

    // Waiting for an instance that had to be started again, or for a large picture's pixels, may have been too long.
    check_age(trace, settings.limits.max_age_millis, Duration::ZERO)?;

    // 2. The mask, at the size that will be sent: the backend scales its scores, nobody scales labels.
    let (width_px, height_px) = fit(frame_width_px, frame_height_px, &settings.result);
    let call = FrameCall {
        width_px: frame_width_px,
        height_px: frame_height_px,
        mask_width_px: width_px,
        mask_height_px: height_px,
        wants_confidence: wanted.needs_confidence(),
        session: encoded.session,
        sequence: encoded.id.into(),
        captured_at_micros: encoded.captured_at_micros,
        trace: TraceContext {
            trace_id: trace.trace_id(),
            span_id: trace.call_span_id(),
            flags: trace.is_surely_kept().into(),
        },
    };
    infer(lease, &call, trace, running)?;
    trace.measures().mask_size_px = (width_px, height_px);

    // 3. Bytes.
    let info = &Arc::clone(lease.model()).info;
    let instance = lease.instance()?;
    let frame = Frame { rgb: instance.frame(), width_px: frame_width_px, height_px: frame_height_px };
    let soft = wanted.needs_confidence().then_some(instance.confidence());
    let mask = Mask { labels: instance.labels(), confidence: soft, width_px, height_px };
    result.clear();
    result.resize(HEADROOM_LEN_BYTES, 0);
    let mut drawn = ClassSet::default();
    match &wanted {
        Wanted::Mask => encoder.encode_mask(mask.labels, result),
        Wanted::SoftMask => encoder.encode_soft_mask(&mask, result),
        Wanted::Picture(look) => painter
            .encode(look, &frame, &mask, info, settings.result.jpeg_quality, result)
            .map(|classes| drawn = classes),
        Wanted::Png => encode::encode_png(&mask, &info.palette, result),
        Wanted::Planes { .. } => {
            result.extend_from_slice(mask.labels);
            result.extend_from_slice(mask.confidence.unwrap_or_default());
            Ok(())
        }
        Wanted::Json => encode::encode_json(&frame, &mask, info, trace, result),
    }?;
    // Memory of messages that were sent is used again.
    message.extend_from_slice(result);
    let bytes = message.split();
    trace.end(Stage::Encode, Stage::Call);
    trace.measures().result_len_bytes = (bytes.len() - HEADROOM_LEN_BYTES) as u32;
    // `fit` keeps both sides within the limits of a profile, which are far below 65,536.
    let (width_px, height_px) = (width_px as u16, height_px as u16);
    Ok(EncodedMask { bytes, wanted, width_px, height_px, drawn })
}

/// Calls the backend; an instance that crashed is not used again.
fn infer(lease: &mut Lease, call: &FrameCall, trace: &mut FrameTrace, running: &RunningCall) -> Result<(), FrameError> {
    let start = trace.now();
    let result = lease.instance()?.infer(call, running);
    let StageMicros { preprocess, forward, postprocess } = *result.as_ref().unwrap_or(&StageMicros::default());
    let told = [(Stage::Preprocess, preprocess), (Stage::Infer, forward), (Stage::Postprocess, postprocess)];
    trace.called(start, told);
    lease.settle(result.as_ref().err());
    Ok(result.map(drop)?)
}

/// Refuses a frame that is too old to be of use when it is answered, `usual_time` from now. Of a model that needs more than
/// half of the time that there is, no frame would be young enough: that much may be waited in any case.
pub fn check_age(trace: &FrameTrace, max_age_millis: u64, usual_time: Duration) -> Result<(), FrameError> {
    let (age, most) = (trace.age(), Duration::from_millis(max_age_millis));
    if age > most - usual_time.min(most / 2) { Err(FrameError::Expired(age.as_millis())) } else { Ok(()) }
}

/// The frame's size, shrunk to what may be sent, its aspect kept.
fn fit(width_px: u32, height_px: u32, settings: &ResultSettings) -> (u32, u32) {
    let (width, height) = (f64::from(width_px), f64::from(height_px));
    let scale = (f64::from(settings.max_width_px) / width).min(f64::from(settings.max_height_px) / height).min(1.0);
    let side = |length: f64, max: u32| ((length * scale).round() as u32).clamp(1, max);
    (side(width, settings.max_width_px), side(height, settings.max_height_px))
}

/// What the pipeline needs of the profile.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Sizes and quality of results.
    pub result: ResultSettings,
    /// Sizes of pictures.
    pub limits: LimitSettings,
}

/// Memory that an instance's thread uses again from frame to frame.
#[derive(Default)]
struct Buffers {
    encoder: MaskEncoder,
    painter: picture::Painter,
    /// The result while it is made.
    result: Vec<u8>,
    /// Where results are sent from.
    message: BytesMut,
}

/// What became of a frame, and its trace; `None` when the work broke off and ended the trace.
pub type Done = (Result<EncodedMask, FrameError>, Option<FrameTrace>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ResultFormat;

    #[test]
    fn a_mask_keeps_the_aspect_and_is_never_larger_than_its_frame() {
        let settings =
            ResultSettings { format: ResultFormat::Mask, jpeg_quality: 60, max_width_px: 960, max_height_px: 540 };
        let fitted = |width_px, height_px| fit(width_px, height_px, &settings);
        assert_eq!(fitted(640, 360), (640, 360));
        assert_eq!(fitted(1920, 1080), (960, 540));
        assert_eq!(fitted(1080, 1920), (304, 540));
        assert_eq!(fitted(1, 1), (1, 1));
        assert_eq!(fitted(8000, 1), (960, 1));
    }
}
