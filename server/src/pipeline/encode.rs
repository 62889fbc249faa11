//! From a mask to bytes: deflated run lengths for the wire, PNG and JSON for single pictures.

use libdeflater::{CompressionLvl, Compressor};

use super::{
    frame::{Frame, FrameError, Mask},
    runs::runs,
};
use crate::{
    plugin_host::InstanceInfo,
    telemetry::{FrameTrace, Stage},
};

/// Confidences travel in steps of eight, 255 still being certain: an eye sees no difference in an edge, and the
/// plane takes half the bytes.
const CONFIDENCE_STEP: u8 = 8;

/// Of deflate. A mask of 640x360 is on the other side of all but the fastest links soonest with it: `cargo xtask bench masks`.
const LEVEL: i32 = 1;

/// Buffers and tables that are used again from frame to frame.
pub struct MaskEncoder {
    deflate: Compressor,
    plain: Vec<u8>,
    room: Vec<u8>,
}

impl Default for MaskEncoder {
    fn default() -> Self {
        let level = CompressionLvl::new(LEVEL).unwrap_or_default();
        Self { deflate: Compressor::new(level), plain: Vec::new(), room: Vec::new() }
    }
}

impl MaskEncoder {
    /// Appends encoding 1: deflated (run length as LEB128, class id) pairs.
    pub fn encode_mask(&mut self, labels: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
        self.plain.clear();
        push_runs(labels, &mut self.plain);
        self.deflate_plain(out)
    }

    /// Appends encoding 3: length and bytes of encoding 1, then the deflated confidence plane.
    pub(super) fn encode_soft_mask(&mut self, mask: &Mask<'_>, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let length_at = out.len();
        out.extend([0; 4]);
        self.encode_mask(mask.labels, out)?;
        let len_bytes = (out.len() - length_at - 4) as u32;
        out[length_at..length_at + 4].copy_from_slice(&len_bytes.to_le_bytes());
        self.plain.clear();
        self.plain
            .extend(mask.confidence.unwrap_or_default().iter().map(|confidence| confidence | (CONFIDENCE_STEP - 1)));
        self.deflate_plain(out)
    }

    fn deflate_plain(&mut self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let most = self.deflate.deflate_compress_bound(self.plain.len());
        if self.room.len() < most {
            self.room.resize(most, 0);
        }
        let compressed = self.deflate.deflate_compress(&self.plain, &mut self.room);
        let len_bytes = compressed.map_err(|error| FrameError::Unencodable(error.to_string()))?;
        out.extend_from_slice(&self.room[..len_bytes]);
        Ok(())
    }
}

/// Appends (length as LEB128, id) for every run of equal ids.
fn push_runs(labels: &[u8], out: &mut Vec<u8>) {
    for (len, id) in runs(labels) {
        push_leb128(len as u32, out);
        out.push(id);
    }
}

fn push_leb128(mut value: u32, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends an indexed PNG: each pixel is its class id, the palette shows the classes' colours.
pub(super) fn encode_png(mask: &Mask<'_>, palette: &[[u8; 3]], out: &mut Vec<u8>) -> Result<(), FrameError> {
    let mut encoder = png::Encoder::new(&mut *out, mask.width_px, mask.height_px);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette.concat());
    encoder.set_compression(png::Compression::Fast);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(mask.labels)?;
        writer.finish()
    });
    written.map_err(|error| FrameError::Unencodable(error.to_string()))
}

/// Appends a JSON document: sizes, stages, what share each class has, and the runs of the mask.
pub(super) fn encode_json(
    frame: &Frame<'_>,
    mask: &Mask<'_>,
    info: &InstanceInfo,
    trace: &FrameTrace,
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let mut pixels = [0_u64; 256];
    let mut all_runs: Vec<[u32; 2]> = Vec::new();
    for (len, id) in runs(mask.labels) {
        pixels[usize::from(id)] += len as u64;
        all_runs.push([len as u32, id.into()]);
    }
    let classes: Vec<_> = (0..info.labels.len())
        .filter(|&id| pixels[id] > 0)
        .map(|id| {
            let share = pixels[id] as f64 / mask.labels.len() as f64;
            let (label, colour) = (&info.labels[id], info.palette[id]);
            serde_json::json!({"id": id, "label": label, "colour": colour, "pixels": pixels[id], "share": share})
        })
        .collect();
    // Encoding is still going on.
    let done = Stage::OF_RESULT.into_iter().filter(|&stage| stage != Stage::Encode);
    let stages: serde_json::Map<_, _> =
        done.map(|stage| (format!("{}_micros", stage.short_name()), trace.micros(stage).into())).collect();
    let document = serde_json::json!({
        "width": mask.width_px,
        "height": mask.height_px,
        "picture": {"width": frame.width_px, "height": frame.height_px},
        "classes": classes,
        "stages": stages,
        "trace_id": hex::encode(trace.trace_id()),
        "runs": all_runs,
    });
    serde_json::to_writer(out, &document).map_err(|error| FrameError::Unencodable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn decode_runs(payload: &[u8]) -> Vec<u8> {
        let mut runs = Vec::new();
        flate2::read::DeflateDecoder::new(payload).read_to_end(&mut runs).unwrap();
        let mut labels = Vec::new();
        let mut bytes = runs.into_iter();
        while let Some(mut byte) = bytes.next() {
            let (mut len, mut shift) = (usize::from(byte & 0x7F), 7);
            while byte & 0x80 != 0 {
                byte = bytes.next().unwrap();
                len |= usize::from(byte & 0x7F) << shift;
                shift += 7;
            }
            labels.extend(vec![bytes.next().unwrap(); len]);
        }
        labels
    }

    #[test]
    fn a_mask_survives_the_wire() {
        let mut encoder = MaskEncoder::default();
        let busy: Vec<u8> = (0..70_000_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
        for labels in [vec![3], vec![0; 640 * 360], vec![1; 127], vec![1; 128], vec![9; 16_384], busy] {
            let mut out = vec![0; 64];
            encoder.encode_mask(&labels, &mut out).unwrap();
            assert_eq!(decode_runs(&out[64..]), labels);
        }
    }

    #[test]
    fn a_soft_mask_carries_both_planes() {
        let (labels, confidence) = (vec![0, 0, 1, 1], vec![255, 130, 140, 250]);
        let mask = Mask { labels: &labels, confidence: Some(&confidence), width_px: 2, height_px: 2 };
        let mut out = Vec::new();
        MaskEncoder::default().encode_soft_mask(&mask, &mut out).unwrap();
        let len_bytes = u32::from_le_bytes(out[..4].try_into().unwrap()) as usize;
        assert_eq!(decode_runs(&out[4..4 + len_bytes]), labels);
        let mut plane = Vec::new();
        flate2::read::DeflateDecoder::new(&out[4 + len_bytes..]).read_to_end(&mut plane).unwrap();
        assert_eq!(plane, [255, 135, 143, 255], "in steps of eight, and certain stays certain");
    }
}
