//! Moving pixels: windows, merged patches, images side by side; and the largest value of a window.

use crate::pool::Pool;
use crate::shape::Shape;
use crate::window::Window;

/// The channels of all images side by side: `(values, channels)` of each.
pub(crate) fn concat(pool: &mut Pool, images: &[(&[f32], usize)], pixels: usize, output: &mut [f32]) {
    let channels: usize = images.iter().map(|(_, channels)| channels).sum();
    assert!(images.iter().all(|(values, channels)| values.len() == pixels * channels));
    assert_eq!(output.len(), pixels * channels);
    pool.rows(output, pixels, channels, 0, |first, output, _| {
        for (i, mut pixel) in output.chunks_exact_mut(channels).enumerate() {
            for (values, channels) in images {
                let (part, rest) = pixel.split_at_mut(*channels);
                part.copy_from_slice(&values[(first + i) * channels..][..*channels]);
                pixel = rest;
            }
        }
    });
}

/// From each 2x2 pixels one: top left, bottom left, top right, bottom right; zeros beyond the image.
pub(crate) fn merge_patches(pool: &mut Pool, shape: Shape, input: &[f32], output: &mut [f32]) {
    let Shape { height, width, channels } = shape;
    let (rows, columns) = (height.div_ceil(2), width.div_ceil(2));
    assert!(input.len() == shape.len() && output.len() == rows * columns * 4 * channels);
    pool.rows(output, rows, columns * 4 * channels, 0, |first, output, _| {
        for (i, part) in output.chunks_exact_mut(channels).enumerate() {
            let (pixel, corner) = (i / 4, i % 4);
            let y = 2 * (first + pixel / columns) + corner % 2;
            let x = 2 * (pixel % columns) + corner / 2;
            copy_pixel(shape, input, (y, x), part);
        }
    });
}

/// The pixel at (y, x), or zeros beyond the image.
fn copy_pixel(shape: Shape, input: &[f32], (y, x): (usize, usize), output: &mut [f32]) {
    if y < shape.height && x < shape.width {
        output.copy_from_slice(&input[(y * shape.width + x) * shape.channels..][..shape.channels]);
    } else {
        output.fill(0.0);
    }
}

/// How an image is cut into square windows: completed by zeros to whole windows, rolled up and left by `shift`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) shape: Shape,
    pub(crate) size: usize,
    pub(crate) shift: usize,
}

impl Cut {
    /// Windows down and across.
    pub(crate) const fn count(&self) -> (usize, usize) {
        (self.shape.height.div_ceil(self.size), self.shape.width.div_ceil(self.size))
    }

    /// Cuts `input` into `output`, window by window.
    pub(crate) fn apart(&self, pool: &mut Pool, input: &[f32], output: &mut [f32]) {
        let (rows, columns) = self.count();
        let (size, channels) = (self.size, self.shape.channels);
        assert!(input.len() == self.shape.len() && output.len() == rows * columns * size * size * channels);
        let window_rows = rows * columns * size;
        pool.rows(output, window_rows, size * channels, 0, |first, output, _| {
            for (i, pixel) in output.chunks_exact_mut(channels).enumerate() {
                let (row, x) = (first + i / size, i % size);
                let (window, y) = (row / size, row % size);
                let y = (window / columns * size + y + self.shift) % (rows * size);
                let x = (window % columns * size + x + self.shift) % (columns * size);
                copy_pixel(self.shape, input, (y, x), pixel);
            }
        });
    }

    /// Puts the windows in `input` together to the image in `output`.
    pub(crate) fn together(&self, pool: &mut Pool, input: &[f32], output: &mut [f32]) {
        let (rows, columns) = self.count();
        let Self { shape, size, shift } = *self;
        let (channels, len) = (shape.channels, size * size * shape.channels);
        assert!(output.len() == shape.len() && input.len() == rows * columns * len);
        pool.rows(output, shape.height, shape.width * channels, 0, |first, output, _| {
            for (i, pixel) in output.chunks_exact_mut(channels).enumerate() {
                let y = (first + i / shape.width + rows * size - shift) % (rows * size);
                let x = (i % shape.width + columns * size - shift) % (columns * size);
                let window = (y / size * columns + x / size) * len;
                let at = window + (y % size * size + x % size) * channels;
                pixel.copy_from_slice(&input[at..at + channels]);
            }
        });
    }
}

/// The largest value under each window; padding never wins.
pub(crate) fn max_pool(pool: &mut Pool, window: Window, channels: usize, input: &[f32], output: &mut [f32]) {
    let Window { rows, columns } = window;
    assert_eq!(input.len(), rows.input * columns.input * channels);
    let shape = window.output(channels);
    assert_eq!(output.len(), shape.len());
    let work = shape.width * channels * rows.kernel * columns.kernel;
    pool.rows(output, shape.height, work, 0, |first, output, _| {
        for (i, pixel) in output.chunks_exact_mut(channels).enumerate() {
            let (y, x) = (first + i / shape.width, i % shape.width);
            pixel.fill(f32::NEG_INFINITY);
            let taps = (0..rows.kernel * columns.kernel).map(|tap| (tap / columns.kernel, tap % columns.kernel));
            for (row, column) in taps.filter_map(|(row, column)| rows.source(y, row).zip(columns.source(x, column))) {
                let tap = &input[(row * columns.input + column) * channels..][..channels];
                pixel.iter_mut().zip(tap).for_each(|(largest, value)| *largest = largest.max(*value));
            }
        }
    });
}

/// An additive mask, queries x pixels, from logits, pixels x queries: `closed` where a logit is below 0, unless all of a
/// query's are, and 0 elsewhere.
pub(crate) fn attention_mask(pool: &mut Pool, logits: &[f32], queries: usize, closed: f32, output: &mut [f32]) {
    let pixels = logits.len() / queries;
    assert_eq!(output.len(), pixels * queries);
    pool.rows(output, queries, pixels, 0, |first, output, _| {
        for (i, row) in output.chunks_exact_mut(pixels).enumerate() {
            let mut is_open = false;
            for (value, logits) in row.iter_mut().zip(logits.chunks_exact(queries)) {
                let counts = logits[first + i] >= 0.0;
                *value = if counts { 0.0 } else { closed };
                is_open |= counts;
            }
            if !is_open {
                row.fill(0.0);
            }
        }
    });
}
