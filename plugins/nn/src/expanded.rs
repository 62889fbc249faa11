//! A pointwise convolution, the depthwise one that follows, and possibly the transposed one at a decoder's end,
//! row by row: the images between them, the largest of a network, never exist as a whole.

use std::ops::Range;

use crate::deconv::Deconv2x2;
use crate::depthwise::{Depthwise, Residual, Ring, RowSource};
use crate::pointwise::{PixelRows, Pointwise, PointwiseInput};
use crate::pool::Pool;
use crate::shape::Shape;
use crate::simd::{Kernel, Vector};

/// Output rows that belong together: each group computes the rows above and below it again.
const GROUP_ROWS: [usize; 4] = [8, 4, 2, 1];

/// Pointwise, then depthwise, then perhaps transposed convolution.
#[derive(Debug)]
pub struct Expanded {
    expand: Pointwise,
    depthwise: Depthwise,
    deconv: Option<Deconv2x2>,
    keeps_input: bool,
}

impl Expanded {
    /// Joins layers that follow one another; with `keeps_input`, the depthwise one's input is added to its output.
    ///
    /// # Panics
    /// When one layer's output is not the next one's input, a kept input has not the output's size, or the layers
    /// are packed for different levels.
    pub fn new(expand: Pointwise, depthwise: Depthwise, keeps_input: bool, deconv: Option<Deconv2x2>) -> Self {
        assert_eq!(expand.output(), depthwise.input());
        // The weights lie as their level's vectors read them.
        assert_eq!(expand.level(), depthwise.level());
        assert!(deconv.as_ref().is_none_or(|deconv| deconv.level() == depthwise.level()));
        assert!(!keeps_input || depthwise.input() == depthwise.output());
        assert!(deconv.as_ref().is_none_or(|deconv| deconv.input() == depthwise.output()));
        Self { expand, depthwise, deconv, keeps_input }
    }

    /// The output image.
    pub fn output(&self) -> Shape {
        self.deconv.as_ref().map_or(self.depthwise.output(), Deconv2x2::output)
    }

    /// Computes `output`; a residual in `source` is not read.
    ///
    /// # Panics
    /// When a slice has not its image's length.
    pub fn run(&self, pool: &mut Pool, source: PointwiseInput<'_>, output: &mut [f32]) {
        self.expand.check(&source);
        assert_eq!(output.len(), self.output().len());
        let rows = self.depthwise.output().height;
        let group = GROUP_ROWS.into_iter().find(|&group| rows.is_multiple_of(group)).unwrap_or(1);
        let expanded = self.depthwise.input();
        let expansion = expanded.len() / rows * self.expand.input().channels;
        let work = (self.depthwise.work() + expansion) * group;
        let source = PointwiseInput { residual: None, ..source };
        pool.rows(output, rows / group, work, self.scratch_len(), |first, output, scratch| {
            let kernel = ExpandedRows { layers: self, source, first: first * group, output, scratch };
            self.depthwise.level().run(kernel);
        });
    }

    /// A depthwise row, if it goes on to the transposed convolution, and that one's scratch.
    fn tail_len(&self) -> (usize, usize) {
        let row = self.depthwise.output().width * self.depthwise.output().channels;
        self.deconv.as_ref().map_or((0, 0), |deconv| (row, deconv.scratch_len()))
    }

    fn scratch_len(&self) -> usize {
        let (row, blocks) = self.tail_len();
        self.depthwise.ring_len() + self.expand.scratch_len() + row + blocks
    }
}

struct ExpandedRows<'a> {
    layers: &'a Expanded,
    source: PointwiseInput<'a>,
    first: usize,
    output: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl Kernel for ExpandedRows<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Expanded { expand, depthwise, deconv, keeps_input } = self.layers;
        let (row_len, blocks_len) = self.layers.tail_len();
        let (memory, scratch) = self.scratch.split_at_mut(depthwise.ring_len());
        let (row_memory, scratch) = scratch.split_at_mut(row_len);
        let (blocks, scratch) = scratch.split_at_mut(blocks_len);
        let mut ring = Ring::new(depthwise, memory);
        let mut source = Expansion { expand, source: self.source, scratch };
        let residual = if *keeps_input { Residual::Input } else { Residual::None };
        let step = self.layers.output().len() / depthwise.output().height;
        for (i, output) in self.output.chunks_exact_mut(step).enumerate() {
            let row = self.first + i;
            ring.advance::<V>(row..row + 1, &mut source);
            match deconv {
                None => ring.compute::<V>(row, residual, output),
                Some(deconv) => {
                    ring.compute::<V>(row, residual, row_memory);
                    deconv.row::<V>(row_memory, blocks, output);
                }
            }
        }
    }
}

/// Rows computed by a pointwise convolution.
struct Expansion<'a> {
    expand: &'a Pointwise,
    source: PointwiseInput<'a>,
    scratch: &'a mut [f32],
}

impl RowSource for Expansion<'_> {
    #[inline(always)]
    fn write<V: Vector>(&mut self, rows: Range<usize>, output: &mut [f32], step: usize) {
        let Shape { width, channels, .. } = self.expand.output();
        for (row, output) in rows.zip(output.chunks_mut(step)) {
            let (output, scratch) = (&mut output[..width * channels], &mut *self.scratch);
            let rows = PixelRows { conv: self.expand, source: self.source, first: row * width, output, scratch };
            rows.run::<V>();
        }
    }
}
