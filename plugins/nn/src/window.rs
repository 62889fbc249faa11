//! Windows over an image, and the zero-padded rows that convolutions read through them.

use crate::shape::{Axis, Shape};

/// How a convolution's kernel moves over its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Down the rows.
    pub rows: Axis,
    /// Along a row.
    pub columns: Axis,
}

impl Window {
    /// The output image, given the input's channels become `channels`.
    pub const fn output(&self, channels: usize) -> Shape {
        Shape { height: self.rows.output, width: self.columns.output, channels }
    }

    /// Whether each output pixel is made from the input pixel at the same place alone.
    pub const fn is_pointwise(&self) -> bool {
        self.rows.is_pointwise() && self.columns.is_pointwise()
    }
}

/// Copies input row `source` (or zeros, if it is padding) with its padding to `padded`.
pub(crate) fn pad_row(columns: &Axis, channels: usize, input: &[f32], source: Option<usize>, padded: &mut [f32]) {
    let Some(source) = source else {
        padded.fill(0.0);
        return;
    };
    let row_len = columns.input * channels;
    let (before, rest) = padded.split_at_mut(columns.before * channels);
    let (middle, after) = rest.split_at_mut(row_len);
    before.fill(0.0);
    middle.copy_from_slice(&input[source * row_len..][..row_len]);
    after.fill(0.0);
}
