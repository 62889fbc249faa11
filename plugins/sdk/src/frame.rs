//! What goes into a backend and what comes out: [`Frame`] and [`Mask`].

/// A decoded frame: rows of red, green, blue bytes.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    data: &'a [u8],
    width_px: u32,
    height_px: u32,
    stride_bytes: usize,
    /// Which session the frame is of; 0 for a single picture.
    pub session: u64,
    /// Counts up within a session; a gap means dropped frames.
    pub sequence: u64,
    /// When the camera took it, in microseconds of the client's clock; 0 when unknown.
    pub captured_at_micros: u64,
}

impl<'a> Frame<'a> {
    /// A frame over `data`, or `None` when `data` is too short for these sizes or a size is 0.
    pub fn new(data: &'a [u8], width_px: u32, height_px: u32, stride_bytes: usize) -> Option<Self> {
        let row_len = usize::try_from(width_px).ok()?.checked_mul(3)?;
        let rows_before_last = usize::try_from(height_px).ok()?.checked_sub(1)?;
        let needed = rows_before_last.checked_mul(stride_bytes)?.checked_add(row_len)?;
        if width_px == 0 || stride_bytes < row_len || data.len() < needed {
            return None;
        }
        Some(Self { data, width_px, height_px, stride_bytes, session: 0, sequence: 0, captured_at_micros: 0 })
    }

    /// Width in pixels, at least 1.
    pub fn width_px(&self) -> u32 {
        self.width_px
    }

    /// Height in pixels, at least 1.
    pub fn height_px(&self) -> u32 {
        self.height_px
    }

    /// From one row's first byte to the next one's.
    pub fn stride_bytes(&self) -> usize {
        self.stride_bytes
    }

    /// All bytes from the first row on, gaps between rows included.
    pub fn bytes(&self) -> &'a [u8] {
        self.data
    }

    /// Row `y`: `3 * width_px` bytes.
    ///
    /// # Panics
    /// When `y` is not below the height.
    pub fn row(&self, y: u32) -> &'a [u8] {
        assert!(y < self.height_px, "row {y} of a frame of {} rows", self.height_px);
        let start = y as usize * self.stride_bytes;
        &self.data[start..start + 3 * self.width_px as usize]
    }

    /// The pixel at (`x`, `y`).
    ///
    /// # Panics
    /// When the place is outside the frame.
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        let at = 3 * x as usize;
        let row = self.row(y);
        [row[at], row[at + 1], row[at + 2]]
    }
}

/// The mask to fill: class ids in row order, and the winners' confidence when somebody asked for it.
#[derive(Debug)]
pub struct Mask<'a> {
    /// Width that the server wants, in pixels.
    pub width_px: u32,
    /// Height that the server wants, in pixels.
    pub height_px: u32,
    /// `width_px * height_px` class ids.
    pub labels: &'a mut [u8],
    /// As many confidences of the winning class, 255 = certain; `None` when nobody asked.
    pub confidence: Option<&'a mut [u8]>,
}
