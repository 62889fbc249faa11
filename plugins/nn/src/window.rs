//! Windows over an image.

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

    /// Rows and columns of taps.
    pub(crate) const fn kernel(&self) -> [usize; 2] {
        [self.rows.kernel, self.columns.kernel]
    }

    /// How far taps are from each other, at most.
    pub(crate) const fn dilation(&self) -> usize {
        let (rows, columns) = (self.rows.dilation, self.columns.dilation);
        if rows > columns { rows } else { columns }
    }

    /// Whether each output pixel is made from the input pixel at the same place alone.
    pub const fn is_pointwise(&self) -> bool {
        self.rows.is_pointwise() && self.columns.is_pointwise()
    }
}
