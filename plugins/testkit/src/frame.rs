//! Frames of made-up pixels.

use segue_abi as abi;

use crate::options::SizePx;

/// A frame of made-up pixels, the same for the same sizes and seed.
#[derive(Clone)]
pub(crate) struct TestFrame {
    pub(crate) format: u32,
    pub(crate) size_px: SizePx,
    pub(crate) stride_bytes: u32,
    /// Ends with the last pixel: the ABI promises no gap behind the last row.
    pub(crate) data: Vec<u8>,
}

impl TestFrame {
    /// Pixels without gaps between rows.
    pub(crate) fn new(size_px: SizePx) -> Self {
        Self::with_gap(size_px, 0, 0, 0)
    }

    /// Other pixels for each `seed`.
    pub(crate) fn seeded(size_px: SizePx, seed: u32) -> Self {
        Self::with_gap(size_px, seed, 0, 0)
    }

    /// Pixels that depend on their place and `seed` alone; the gap between rows is filled with `gap`.
    pub(crate) fn with_gap((width_px, height_px): SizePx, seed: u32, gap_len_bytes: u32, gap: u8) -> Self {
        let stride_bytes = 3 * width_px + gap_len_bytes;
        let mut data = vec![gap; (stride_bytes * height_px - gap_len_bytes) as usize];
        for (y, row) in (seed..).zip(data.chunks_mut(stride_bytes as usize)) {
            for (x, pixel) in (0..width_px).zip(row.as_chunks_mut::<3>().0) {
                *pixel = [(x * 7 + y * 61) as u8, ((x ^ y) + seed * 37) as u8, (y * 5) as u8];
            }
        }
        Self { format: abi::FORMAT_RGB8, size_px: (width_px, height_px), stride_bytes, data }
    }
}
