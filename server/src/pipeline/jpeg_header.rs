//! What a JPEG says of itself before its pixels: which cost it claims, and whether it is whole.

use super::frame::FrameError;

/// Walks over the segments before the first scan (ITU T.81, annex B).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JpegHeader {
    pub(super) width_px: u32,
    pub(super) height_px: u32,
    /// Brightness and two colours, brightness alone, or inks.
    pub(super) components: usize,
    /// Where the first scan's segment starts.
    first_scan_at: usize,
}

impl JpegHeader {
    /// Reads the header of `bytes`, which start with a JPEG's first marker.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, FrameError> {
        let cut_short = || FrameError::Undecodable("the JPEG is cut short".into());
        let mut size = None;
        let mut at = 2;
        loop {
            let Some(&[0xFF, marker]) = bytes.get(at..at + 2) else {
                let is_short = bytes.len() < at + 2;
                return Err(if is_short { cut_short() } else { undecodable("a JPEG marker is missing") });
            };
            // A marker may be preceded by any number of fill bytes.
            if marker == 0xFF {
                at += 1;
                continue;
            }
            let length = bytes.get(at + 2..at + 4).ok_or_else(cut_short)?;
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            let body = bytes.get(at + 4..at + 2 + length).unwrap_or_default();
            match marker {
                0xC0..=0xC2 => size = Some(read_frame_header(body)?),
                0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                    return Err(undecodable(
                        "a lossless, hierarchical or arithmetic JPEG; baseline and progressive ones are read",
                    ));
                }
                0xDA => {
                    let missing = || undecodable("a JPEG without a frame header");
                    let (width_px, height_px, components) = size.ok_or_else(missing)?;
                    return Ok(Self { width_px, height_px, components, first_scan_at: at });
                }
                _ => {}
            }
            at += 2 + length;
        }
    }

    /// How many scans there are. Each costs the decoder a pass over the picture.
    pub(super) fn scans(&self, bytes: &[u8]) -> u64 {
        bytes[self.first_scan_at..].windows(2).filter(|pair| pair == &[0xFF, 0xDA]).count() as u64
    }

    /// Whether the end marker is there. The decoder would fill what is missing with grey, and half a picture would
    /// get half a mask.
    pub(super) fn is_whole(&self, bytes: &[u8]) -> bool {
        bytes[self.first_scan_at..].windows(2).rev().any(|pair| pair == [0xFF, 0xD9])
    }
}

/// Whether a picture may be sent as it came: a JPEG with a header and an end.
pub fn is_whole_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFF, 0xD8]) && JpegHeader::read(bytes).is_ok_and(|header| header.is_whole(bytes))
}

/// Width, height and the number of components.
fn read_frame_header(body: &[u8]) -> Result<(u32, u32, usize), FrameError> {
    let Some(&[_precision, high_y, low_y, high_x, low_x, count]) = body.first_chunk::<6>() else {
        return Err(undecodable("a JPEG's frame header is too short"));
    };
    let number = |high, low| u32::from(u16::from_be_bytes([high, low]));
    Ok((number(high_x, low_x), number(high_y, low_y), count.into()))
}

fn undecodable(what: &str) -> FrameError {
    FrameError::Undecodable(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg(sampling: [u8; 3]) -> Vec<u8> {
        let [y, u, v] = sampling;
        let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 0xFF, 0xD9];
        bytes.extend([0xFF, 0xC0, 0, 17, 8, 0, 48, 0, 64, 3, 1, y, 0, 2, u, 0, 3, v, 0]);
        bytes.extend([0xFF, 0xFF, 0xDA, 0, 2, 1, 2, 3]);
        bytes
    }

    #[test]
    fn the_end_of_a_thumbnail_is_not_the_end_of_the_picture() {
        let mut bytes = jpeg([0x22, 0x11, 0x11]);
        let header = JpegHeader::read(&bytes).unwrap();
        assert_eq!((header.width_px, header.height_px, header.scans(&bytes)), (64, 48, 1));
        assert!(!header.is_whole(&bytes));
        bytes.extend([0xFF, 0xD9]);
        bytes.extend([7; 10_000]);
        assert!(header.is_whole(&bytes));
    }

    #[test]
    fn no_cut_panics() {
        let bytes = jpeg([0x11; 3]);
        for len in 2..bytes.len() {
            let _ = JpegHeader::read(&bytes[..len]);
        }
    }
}
