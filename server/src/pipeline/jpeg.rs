//! From RGB pixels to JPEG, by libjpeg-turbo.
//!
//! Invariant: a picture of no more pixels than the ones before it is encoded without new memory.

use turbojpeg::{Compressor, Image, PixelFormat, Subsamp, compressed_buf_len};

use super::frame::FrameError;

/// Colours at half the resolution, as cameras and browsers have them.
const SAMPLING: Subsamp = Subsamp::Sub2x2;

/// The library's own state, and room for the largest JPEG that a picture may become.
#[derive(Default)]
pub struct JpegEncoder {
    compressor: Option<Compressor>,
    room: Vec<u8>,
}

impl JpegEncoder {
    /// Appends a JPEG of `quality` (1 to 100). `rgb` has three bytes for each pixel, in rows of `width_px`.
    pub fn encode(&mut self, rgb: &[u8], width_px: u32, quality: u8, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let width = width_px as usize;
        let (pitch, height) = (3 * width, rgb.len() / (3 * width));
        let most = compressed_buf_len(width, height, SAMPLING).map_err(unencodable)?;
        if self.room.len() < most {
            // Nothing of it is to be kept, and memory that is never written to is never taken.
            self.room = vec![0; most];
        }
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            none => none.insert(Compressor::new().map_err(unencodable)?),
        };
        compressor.set_subsamp(SAMPLING).map_err(unencodable)?;
        compressor.set_quality(quality.into()).map_err(unencodable)?;
        let image = Image { pixels: rgb, width, pitch, height, format: PixelFormat::RGB };
        let len_bytes = compressor.compress_to_slice(image, &mut self.room).map_err(unencodable)?;
        out.extend_from_slice(&self.room[..len_bytes]);
        Ok(())
    }
}

/// The smallest JPEG that is a picture: all black.
pub fn blank_jpeg() -> Vec<u8> {
    let mut jpeg = Vec::new();
    // A buffer of the right length can be encoded.
    let _ = JpegEncoder::default().encode(&[0; 3 * 16 * 16], 16, 60, &mut jpeg);
    jpeg
}

fn unencodable(error: turbojpeg::Error) -> FrameError {
    FrameError::Unencodable(error.to_string())
}

#[cfg(test)]
mod tests {
    use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
    use zune_jpeg::JpegDecoder;

    use super::*;

    #[test]
    fn pictures_of_any_size_are_encoded_one_after_the_other() {
        let mut encoder = JpegEncoder::default();
        for (width_px, height_px) in [(1, 1), (641, 357), (16, 16), (3, 200), (1280, 720), (641, 357)] {
            let rgb: Vec<u8> = [200, 120, 40].repeat(width_px * height_px);
            let mut out = vec![7; 64];
            encoder.encode(&rgb, width_px as u32, 90, &mut out).unwrap();
            assert_eq!(out[..64], [7; 64]);
            let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
            let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&out[64..]), options);
            let pixels = decoder.decode().unwrap();
            assert_eq!(decoder.dimensions(), Some((width_px, height_px)));
            assert!(pixels.iter().zip(&rgb).all(|(one, other)| one.abs_diff(*other) < 4));
        }
        assert!(blank_jpeg().len() > 100);
    }
}
