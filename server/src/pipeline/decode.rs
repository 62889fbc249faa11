//! From a picture's bytes to RGB pixels.
//!
//! Invariant: sizes are judged by the header, before a byte is allocated for the pixels.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use turbojpeg::{Decompressor, Image, PixelFormat};

use super::{
    frame::{Accepts, FrameError},
    jpeg_header::JpegHeader,
};
use crate::{config::LimitSettings, plugin_host::Instance};

/// A progressive JPEG has about ten scans. With more of them, fewer pixels are decoded.
const USUAL_SCANS: u64 = 10;

/// A JPEG of so many components is one for print: cyan, magenta, yellow and black.
const INKS: usize = 4;

/// Where pixels go.
pub trait Room {
    /// Room for so many bytes, whatever they are before.
    fn room(&mut self, len_bytes: usize) -> Result<&mut [u8], FrameError>;
}

impl Room for Instance {
    fn room(&mut self, len_bytes: usize) -> Result<&mut [u8], FrameError> {
        Ok(self.frame_room(len_bytes)?)
    }
}

/// Decodes `bytes` into the backend's room for a frame; width and height. Whatever was there before is overwritten.
pub fn decode(
    bytes: &[u8],
    accepts: Accepts,
    limits: &LimitSettings,
    room: &mut impl Room,
) -> Result<(u32, u32), FrameError> {
    let most = Most::of(accepts, limits);
    let is_jpeg = bytes.starts_with(&[0xFF, 0xD8]);
    match (is_jpeg, accepts) {
        (_, Accepts::Pixels { width_px, height_px }) => take_pixels(bytes, (width_px, height_px), &most, room),
        (true, _) => decode_jpeg(bytes, &most, room),
        (false, Accepts::AnyPicture) => decode_other(bytes, &most, room),
        (false, Accepts::Jpeg) if bytes.is_empty() => Err(FrameError::Undecodable("it is empty".into())),
        (false, Accepts::Jpeg) => Err(FrameError::Undecodable("it is no JPEG".into())),
    }
}

fn take_pixels(
    bytes: &[u8],
    (width_px, height_px): (u32, u32),
    most: &Most,
    room: &mut impl Room,
) -> Result<(u32, u32), FrameError> {
    let size = most.check(width_px, height_px)?;
    let (found, needed) = (bytes.len(), rgb_len_bytes(size));
    if found != needed {
        return Err(FrameError::Undecodable(format!("{found} bytes; {width_px}x{height_px} pixels have {needed}")));
    }
    room.room(needed)?.copy_from_slice(bytes);
    Ok(size)
}

fn decode_jpeg(bytes: &[u8], most: &Most, room: &mut impl Room) -> Result<(u32, u32), FrameError> {
    let header = JpegHeader::read(bytes)?;
    let size = most.check(header.width_px, header.height_px)?;
    let scans = header.scans(bytes);
    if u64::from(size.0) * u64::from(size.1) * scans > most.pixels * USUAL_SCANS {
        return Err(FrameError::Undecodable(format!("a JPEG of {scans} scans, too many for its size")));
    }
    if !header.is_whole(bytes) {
        return Err(FrameError::Undecodable("the JPEG is cut short".into()));
    }
    let room = room.room(rgb_len_bytes(size))?;
    if header.components != INKS {
        decompress(bytes, size, PixelFormat::RGB, room)?;
        return Ok(size);
    }
    let mut inks = vec![0; INKS * room.len() / 3];
    decompress(bytes, size, PixelFormat::CMYK, &mut inks)?;
    for (rgb, inks) in room.as_chunks_mut::<3>().0.iter_mut().zip(inks.as_chunks::<INKS>().0) {
        // As programs for print write them: 255 is no ink.
        *rgb = std::array::from_fn(|ink| (u16::from(inks[ink]) * u16::from(inks[INKS - 1]) / 255) as u8);
    }
    Ok(size)
}

/// Each picture has a decompressor of its own, which costs less than a microsecond: what is left of one picture's tables
/// must not be another's. What libjpeg-turbo warns of is an error, too, since half of such a picture is guessed.
fn decompress(bytes: &[u8], size: (u32, u32), format: PixelFormat, pixels: &mut [u8]) -> Result<(), FrameError> {
    let (width, height) = (size.0 as usize, size.1 as usize);
    let image = Image { pixels, width, pitch: format.size() * width, height, format };
    Decompressor::new().and_then(|mut decompressor| decompressor.decompress(bytes, image)).map_err(undecodable)
}

fn decode_other(bytes: &[u8], most: &Most, room: &mut impl Room) -> Result<(u32, u32), FrameError> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(undecodable)?;
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::WebP)) {
        return Err(FrameError::Undecodable("it is no JPEG, PNG or WebP".into()));
    }
    let claimed = imagesize::blob_size(bytes).map_err(undecodable)?;
    let side = |claimed: usize| u32::try_from(claimed).unwrap_or(u32::MAX);
    most.check(side(claimed.width), side(claimed.height))?;
    let mut decoder = reader.into_decoder().map_err(undecodable)?;
    let (width_px, height_px) = decoder.dimensions();
    let size = most.check(width_px, height_px)?;
    // Eight bytes a pixel cover 16-bit RGBA; the decoder's own needs come on top.
    let mut memory = image::Limits::default();
    memory.max_alloc = Some(most.pixels.saturating_mul(16));
    decoder.set_limits(memory).map_err(undecodable)?;
    let picture = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    room.room(rgb_len_bytes(size))?.copy_from_slice(picture.into_rgb8().as_raw());
    Ok(size)
}

/// The largest picture that is decoded.
struct Most {
    dimension_px: u32,
    pixels: u64,
}

impl Most {
    fn of(accepts: Accepts, limits: &LimitSettings) -> Self {
        let pixels = match accepts {
            Accepts::Jpeg => limits.max_frame_pixels,
            Accepts::AnyPicture | Accepts::Pixels { .. } => limits.max_upload_pixels,
        };
        Self { dimension_px: limits.max_picture_dimension_px, pixels }
    }

    fn check(&self, width_px: u32, height_px: u32) -> Result<(u32, u32), FrameError> {
        let too_many = |limit| Err(FrameError::TooManyPixels { width_px, height_px, limit });
        if width_px.max(height_px) > self.dimension_px {
            return too_many(format!("{} pixels a side", self.dimension_px));
        }
        if u64::from(width_px) * u64::from(height_px) > self.pixels {
            return too_many(format!("{} pixels in all", self.pixels));
        }
        if width_px == 0 || height_px == 0 {
            return Err(FrameError::Undecodable("it has no pixels".into()));
        }
        Ok((width_px, height_px))
    }
}

fn rgb_len_bytes((width_px, height_px): (u32, u32)) -> usize {
    3 * width_px as usize * height_px as usize
}

fn undecodable(error: impl std::fmt::Display) -> FrameError {
    FrameError::Undecodable(error.to_string())
}
