//! What an operation needs beside the image and depends on its shape alone, on the device: made once for each shape.

use std::collections::HashMap;

use candle_core::{Device, Result, Tensor};

use crate::resize::Tap;
use crate::{Axis, Sampling, Window};

/// An index that [`Tensor::index_select`] answers with zeros.
const ZEROS: u32 = u32::MAX;
/// Tables that are kept; a network has some dozens for each size of its input.
const MOST: usize = 512;

/// What a table is for.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Patches(Window),
    Padded(Window),
    Axis(Axis),
    Taps(Line),
    Apart(Grid),
    Together(Grid),
    Quarters(usize, usize),
    Levels(Vec<(usize, usize)>, usize),
    Scalar(u32),
}

/// Where `output` pixels lie over the first `part` pixels of a canvas that `input` pixels are spread over.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Line {
    pub(super) sampling: Sampling,
    pub(super) input: usize,
    pub(super) canvas: usize,
    pub(super) part: usize,
    pub(super) output: usize,
}

/// An image of this size, cut into windows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Grid {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) size: usize,
    pub(super) shift: usize,
}

/// Indices of the lower and the higher pixel, and the weight of the higher one.
pub(super) struct Blend {
    pub(super) low: Tensor,
    pub(super) high: Tensor,
    pub(super) weight: Tensor,
}

/// Tables on one device.
pub(super) struct Tables {
    device: Device,
    known: HashMap<Key, Vec<Tensor>>,
}

impl Tables {
    pub(super) fn new(device: Device) -> Self {
        Self { device, known: HashMap::new() }
    }

    fn get<const N: usize>(
        &mut self,
        key: Key,
        make: impl FnOnce(&Device) -> Result<[Tensor; N]>,
    ) -> Result<[Tensor; N]> {
        let known = self.known.get(&key).and_then(|tables| <[Tensor; N]>::try_from(tables.clone()).ok());
        if let Some(tables) = known {
            return Ok(tables);
        }
        if self.known.len() >= MOST {
            self.known.clear();
        }
        let made = make(&self.device)?;
        self.known.insert(key, made.to_vec());
        Ok(made)
    }

    fn indices(&mut self, key: Key, make: impl FnOnce() -> Vec<u32>) -> Result<Tensor> {
        let [indices] = self.get(key, |device| {
            let indices = make();
            let len = indices.len();
            Ok([Tensor::from_vec(indices, len, device)?])
        })?;
        Ok(indices)
    }

    /// One number.
    pub(super) fn scalar(&mut self, value: f32) -> Result<Tensor> {
        let [scalar] = self.get(Key::Scalar(value.to_bits()), |device| Ok([Tensor::new(value, device)?]))?;
        Ok(scalar)
    }

    /// For each output pixel, the pixels under the window's taps, row by row.
    pub(super) fn patches(&mut self, window: Window) -> Result<Tensor> {
        self.indices(Key::Patches(window), || {
            let Window { rows, columns } = window;
            let mut indices = Vec::with_capacity(rows.output * columns.output * rows.kernel * columns.kernel);
            for (y, x) in pixels(rows.output, columns.output) {
                for (row, column) in pixels(rows.kernel, columns.kernel) {
                    let source = rows.source(y, row).zip(columns.source(x, column));
                    indices.push(source.map_or(ZEROS, |(y, x)| (y * columns.input + x) as u32));
                }
            }
            indices
        })
    }

    /// The image with all padding that the window reaches, in whole strides: [`padded_len`] pixels each way.
    pub(super) fn padded(&mut self, window: Window) -> Result<Tensor> {
        self.indices(Key::Padded(window), || {
            let Window { rows, columns } = window;
            let inside = |axis: &Axis, at: usize| at.checked_sub(axis.before).filter(|at| *at < axis.input);
            let index = |(y, x)| {
                let source = inside(&rows, y).zip(inside(&columns, x));
                source.map_or(ZEROS, |(y, x)| (y * columns.input + x) as u32)
            };
            pixels(padded_len(&rows), padded_len(&columns)).map(index).collect()
        })
    }

    /// For each tap, the source of each output along the axis; the next tap inside the image for one outside.
    pub(super) fn axis(&mut self, axis: Axis) -> Result<Tensor> {
        let indices = self.indices(Key::Axis(axis), || {
            let inside = |output: usize| (0..axis.kernel).find_map(|tap| axis.source(output, tap)).unwrap_or(0);
            let index = |(tap, output)| axis.source(output, tap).unwrap_or_else(|| inside(output)) as u32;
            pixels(axis.kernel, axis.output).map(index).collect()
        })?;
        indices.reshape((axis.kernel, axis.output))
    }

    /// Which pixels each output lies between.
    pub(super) fn blend(&mut self, line: Line) -> Result<Blend> {
        let [low, high, weight] = self.get(Key::Taps(line), |device| {
            let Line { sampling, input, canvas, part, output } = line;
            let taps: Vec<Tap> = sampling.taps_of_part(input, canvas, part, output).collect();
            let of = |index: fn(&Tap) -> usize| -> Vec<u32> { taps.iter().map(|tap| index(tap) as u32).collect() };
            let weight: Vec<f32> = taps.iter().map(|tap| tap.weight).collect();
            Ok([
                Tensor::from_vec(of(|tap| tap.low), output, device)?,
                Tensor::from_vec(of(|tap| tap.high), output, device)?,
                Tensor::from_vec(weight, output, device)?,
            ])
        })?;
        Ok(Blend { low, high, weight })
    }

    /// The pixels of all windows, window by window.
    pub(super) fn apart(&mut self, grid: Grid) -> Result<Tensor> {
        self.indices(Key::Apart(grid), || {
            let Grid { height, width, size, shift } = grid;
            let (rows, columns) = grid.count();
            let mut indices = Vec::with_capacity(rows * columns * size * size);
            for (row, column) in pixels(rows, columns) {
                for (y, x) in pixels(size, size) {
                    let y = (row * size + y + shift) % (rows * size);
                    let x = (column * size + x + shift) % (columns * size);
                    indices.push(if y < height && x < width { (y * width + x) as u32 } else { ZEROS });
                }
            }
            indices
        })
    }

    /// Where in the windows each of the image's pixels is.
    pub(super) fn together(&mut self, grid: Grid) -> Result<Tensor> {
        self.indices(Key::Together(grid), || {
            let Grid { height, width, size, shift } = grid;
            let (rows, columns) = grid.count();
            let index = |(y, x)| {
                let y = (y + rows * size - shift) % (rows * size);
                let x = (x + columns * size - shift) % (columns * size);
                ((y / size * columns + x / size) * size * size + y % size * size + x % size) as u32
            };
            pixels(height, width).map(index).collect()
        })
    }

    /// Each 2x2 pixels of an image, column by column.
    pub(super) fn quarters(&mut self, height: usize, width: usize) -> Result<Tensor> {
        self.indices(Key::Quarters(height, width), || {
            let mut indices = Vec::with_capacity(height.div_ceil(2) * width.div_ceil(2) * 4);
            for (y, x) in pixels(height.div_ceil(2), width.div_ceil(2)) {
                for (right, bottom) in pixels(2, 2) {
                    let (y, x) = (2 * y + bottom, 2 * x + right);
                    indices.push(if y < height && x < width { (y * width + x) as u32 } else { ZEROS });
                }
            }
            indices
        })
    }

    /// Of levels that are stacked: each token's place in each level, in pixels (`tokens x 1 x levels x 1 x 2`: x, y);
    /// the largest x and y, the width, and the first token of each level (`1 x 1 x levels x 1` each); and the heads'
    /// numbers (`1 x heads x 1 x 1`).
    pub(super) fn levels(&mut self, levels: &[(usize, usize)], heads: usize) -> Result<[Tensor; 6]> {
        self.get(Key::Levels(levels.to_vec(), heads), |device| {
            let mut places = Vec::new();
            for &(height, width) in levels {
                for (y, x) in pixels(height, width) {
                    let (x, y) = ((x as f32 + 0.5) / width as f32, (y as f32 + 0.5) / height as f32);
                    places.extend(levels.iter().flat_map(|&(h, w)| [x * w as f32 - 0.5, y * h as f32 - 0.5]));
                }
            }
            let tokens = places.len() / levels.len() / 2;
            let of = |values: Vec<f32>| Tensor::from_vec(values, (1, 1, levels.len(), 1), device);
            let first = levels.iter().scan(0, |next, (height, width)| {
                let first = *next;
                *next += height * width;
                Some(first as f32)
            });
            Ok([
                Tensor::from_vec(places, (tokens, 1, levels.len(), 1, 2), device)?,
                of(levels.iter().map(|level| level.1 as f32 - 1.0).collect())?,
                of(levels.iter().map(|level| level.0 as f32 - 1.0).collect())?,
                of(levels.iter().map(|level| level.1 as f32).collect())?,
                of(first.collect())?,
                Tensor::from_vec((0..heads).map(|head| head as f32).collect(), (1, heads, 1, 1), device)?,
            ])
        })
    }
}

impl Grid {
    /// Windows down and across.
    pub(super) const fn count(&self) -> (usize, usize) {
        (self.height.div_ceil(self.size), self.width.div_ceil(self.size))
    }
}

/// How many pixels the axis reaches over, in whole strides.
pub(super) const fn padded_len(axis: &Axis) -> usize {
    ((axis.output - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1).next_multiple_of(axis.stride)
}

/// All (row, column), row by row.
fn pixels(height: usize, width: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..height).flat_map(move |y| (0..width).map(move |x| (y, x)))
}
