//! Sizes of images and windows, and TensorFlow's rules for padding.

use std::ops::Range;

/// The size of one image, stored row by row, pixel by pixel, channel by channel (NHWC with N = 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Values in a pixel.
    pub channels: usize,
}

impl Shape {
    /// How many values the image has.
    pub const fn len(self) -> usize {
        self.height * self.width * self.channels
    }

    /// Whether the image has no values.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// How many pixels the image has.
    pub const fn pixels(self) -> usize {
        self.height * self.width
    }
}

/// How a window moves over an image along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Axis {
    /// Window size in taps.
    pub kernel: usize,
    /// Input pixels from one output pixel to the next.
    pub stride: usize,
    /// Input pixels from one tap to the next.
    pub dilation: usize,
    /// Zeros before the first input pixel.
    pub before: usize,
    /// Input pixels.
    pub input: usize,
    /// Output pixels.
    pub output: usize,
}

impl Axis {
    /// TensorFlow's SAME padding: `ceil(input / stride)` outputs, the odd zero at the end.
    pub fn same(input: usize, kernel: usize, stride: usize, dilation: usize) -> Self {
        let output = input.div_ceil(stride);
        let covered = (output.max(1) - 1) * stride + (kernel - 1) * dilation + 1;
        Self { kernel, stride, dilation, before: covered.saturating_sub(input) / 2, input, output }
    }

    /// TensorFlow's VALID padding: only windows that lie inside the input.
    pub fn valid(input: usize, kernel: usize, stride: usize, dilation: usize) -> Self {
        let window = (kernel - 1) * dilation + 1;
        let output = if input < window { 0 } else { (input - window) / stride + 1 };
        Self { kernel, stride, dilation, before: 0, input, output }
    }

    /// PyTorch's padding: `padding` zeros on each side, and only windows that lie inside of that.
    pub fn padded_by(input: usize, kernel: usize, stride: usize, dilation: usize, padding: usize) -> Self {
        let inside = Self::valid(input + 2 * padding, kernel, stride, dilation);
        Self { before: padding, input, ..inside }
    }

    /// The input pixel under tap `tap` of the window for `output`, unless that is padding.
    pub(crate) fn source(&self, output: usize, tap: usize) -> Option<usize> {
        (output * self.stride + tap * self.dilation).checked_sub(self.before).filter(|&at| at < self.input)
    }

    /// Those of the `outputs` for which tap `tap` of the window lies in the input, not in the padding.
    pub(crate) fn reached(&self, tap: usize, outputs: &Range<usize>) -> Range<usize> {
        let ahead = tap * self.dilation;
        let first = self.before.saturating_sub(ahead).div_ceil(self.stride);
        let end = (self.input + self.before).saturating_sub(ahead).div_ceil(self.stride);
        let start = first.clamp(outputs.start, outputs.end);
        start..end.clamp(start, outputs.end)
    }

    /// Whether each output pixel is made from the input pixel at the same place alone.
    pub(crate) const fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.before == 0 && self.output == self.input
    }

    /// How many pixels all windows reach over, padding included.
    pub(crate) const fn padded(&self) -> usize {
        let reach = (self.output - 1) * self.stride + (self.kernel - 1) * self.dilation + 1;
        let end = self.before + self.input;
        if reach > end { reach } else { end }
    }
}
