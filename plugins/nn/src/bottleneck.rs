//! A pointwise convolution that makes more channels, a depthwise one, and perhaps a pointwise one that makes fewer
//! again, in an order that keeps what is between them in the cache: row by row where the weights are small beside a row,
//! else group by group of channels.

use std::ops::Range;

use crate::activation::Activation;
use crate::depthwise::{self, Depthwise, Image, Ring, RowSource};
use crate::gemm::{Arithmetic, BIAS_MULTIPLE, Grid, Panels, Rows, Segment, Start};
use crate::parts::Parts;
use crate::pointwise::Linear;
use crate::pool::Pool;
use crate::simd::{Kernel, Vector};

/// Of how many rows at least one may be computed a second time, as two threads need it.
const ROWS_PER_REPEATED: usize = 6;

/// The layers, the first and last of one arithmetic.
#[derive(Debug)]
pub(crate) struct Bottleneck<'a, A: Arithmetic> {
    /// Without it, the image itself is filtered.
    pub(crate) expand: Option<Linear<'a, A>>,
    pub(crate) depthwise: Depthwise,
    pub(crate) project: Option<Linear<'a, A>>,
}

/// Parts of the scratch memory, in f32.
struct Lens {
    ring: usize,
    /// An input row as the arithmetic reads it.
    input: usize,
    /// A row between the depthwise convolution and the last one, and the same as the arithmetic reads it.
    inner: usize,
    converted: usize,
}

impl<A: Arithmetic> Bottleneck<'_, A> {
    /// Values of an output pixel.
    pub(crate) fn outputs(&self) -> usize {
        self.project.map_or(self.depthwise.output().channels, |project| project.weights.columns())
    }

    /// Into how many parts to split the rows for this pool; none if too many rows would have to be computed twice.
    pub(crate) fn parts(&self, pool: &Pool) -> Option<usize> {
        let rows = self.depthwise.output().height;
        let repeated = |parts: usize| (parts - 1) * self.depthwise.shared_rows();
        let all = pool.chunks(rows, self.depthwise.work() + self.products() / rows.max(1));
        let fewest = all.min(pool.threads());
        (fewest..=all).rev().find(|&parts| repeated(parts) * ROWS_PER_REPEATED <= rows)
    }

    /// Multiplications of the pointwise convolutions.
    fn products(&self) -> usize {
        let (input, output) = (self.depthwise.input(), self.depthwise.output());
        let of_input = self.expand.map_or(0, |expand| expand.weights.depth());
        input.len() * of_input + output.len() * self.project.map_or(0, |project| project.weights.columns())
    }

    /// Values of an input pixel.
    fn inputs(&self) -> usize {
        self.expand.map_or(self.depthwise.input().channels, |expand| expand.weights.depth())
    }

    fn lens(&self) -> Lens {
        let (input, output) = (self.depthwise.input(), self.depthwise.output());
        let inner = if self.project.is_some() { output.width * output.channels } else { 0 };
        Lens {
            ring: self.depthwise.ring_len(),
            input: self.expand.map_or(0, |expand| expand.converted_len(input.width)),
            inner,
            converted: self.project.map_or(0, |project| project.converted_len(output.width)),
        }
    }

    /// Computes `output`, in so many parts; `residual` is of its shape.
    pub(crate) fn run(
        &self,
        pool: &mut Pool,
        parts: usize,
        input: &[f32],
        residual: Option<&[f32]>,
        output: &mut [f32],
    ) {
        let (expanded, shape) = (self.depthwise.input(), self.depthwise.output());
        let row_len = shape.width * self.outputs();
        assert!(self.expand.is_none_or(|expand| expand.weights.columns() == expanded.channels));
        assert!(self.project.is_none_or(|project| project.weights.depth() == shape.channels));
        assert!(residual.is_none_or(|residual| residual.len() == output.len()));
        assert_eq!(input.len(), expanded.pixels() * self.inputs());
        assert_eq!(output.len(), shape.height * row_len);
        let lens = self.lens();
        let scratch_len = lens.ring + lens.input + lens.inner + lens.converted;
        pool.rows_in(parts, output, shape.height, scratch_len, |first, output, scratch| {
            let residual = residual.map(|residual| &residual[first * row_len..][..output.len()]);
            let lens = &lens;
            self.depthwise.level().run(BottleneckRows { layers: self, lens, input, first, residual, output, scratch });
        });
    }
}

struct BottleneckRows<'a, A: Arithmetic> {
    layers: &'a Bottleneck<'a, A>,
    lens: &'a Lens,
    input: &'a [f32],
    first: usize,
    residual: Option<&'a [f32]>,
    output: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl<A: Arithmetic> Kernel for BottleneckRows<'_, A> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Bottleneck { expand, depthwise, project } = self.layers;
        let (ring, scratch) = self.scratch.split_at_mut(self.lens.ring);
        let (converted, scratch) = scratch.split_at_mut(self.lens.input);
        let (inner, scratch) = scratch.split_at_mut(self.lens.inner);
        let (width, row_len) = (depthwise.input().width, depthwise.input().width * self.layers.inputs());
        let image = Image { pixels: self.input, row_len };
        let mut source = Expansion { layer: *expand, width, image, converted };
        let mut ring = Ring::new(depthwise, ring);
        let row_len = depthwise.output().width * self.layers.outputs();
        for (i, output) in self.output.chunks_exact_mut(row_len).enumerate() {
            ring.advance::<V>(self.first + i..self.first + i + 1, &mut source);
            let Some(project) = project else {
                ring.compute::<V>(self.first + i, depthwise::Residual::None, output);
                continue;
            };
            ring.compute::<V>(self.first + i, depthwise::Residual::None, inner);
            let residual = self.residual.map(|residual| &residual[i * row_len..][..row_len]);
            project.row::<V>(inner, scratch, residual, output);
        }
    }
}

/// Rows of the image, through the first convolution if there is one.
struct Expansion<'a, A: Arithmetic> {
    layer: Option<Linear<'a, A>>,
    width: usize,
    image: Image<'a>,
    converted: &'a mut [f32],
}

impl<A: Arithmetic> RowSource for Expansion<'_, A> {
    #[inline(always)]
    fn write<V: Vector>(&mut self, rows: Range<usize>, output: &mut [f32], step: usize) {
        let Some(layer) = self.layer else {
            self.image.write::<V>(rows, output, step);
            return;
        };
        let output_len = self.width * layer.weights.columns();
        for (row, output) in rows.zip(output.chunks_mut(step)) {
            layer.row::<V>(self.image.row(row), self.converted, None, &mut output[..output_len]);
        }
    }
}

/// Channels of a group.
const GROUP: usize = 2 * BIAS_MULTIPLE;
/// What a group's expanded image may take: the second-level cache holds it.
const GROUP_BYTES: usize = 768 * 1024;
/// Weights that are better read once than for each row.
const LARGE_WEIGHTS_BYTES: usize = 384 * 1024;

impl<A: Arithmetic> Bottleneck<'_, A> {
    /// The first convolution, where group by group of channels is faster than row by row.
    pub(crate) fn by_channels(&self) -> Option<Linear<'_, A>> {
        let weights = |linear: &Linear<'_, A>| linear.weights.depth() * linear.weights.columns();
        let expand = self.expand?;
        let weights = weights(&expand) + self.project.as_ref().map_or(0, weights);
        let fits = self.group_len() * size_of::<f32>() <= GROUP_BYTES;
        (fits && weights * size_of::<A::Number>() > LARGE_WEIGHTS_BYTES).then_some(expand)
    }

    /// A group's expanded image.
    fn group_len(&self) -> usize {
        self.depthwise.ring_len_for(self.depthwise.output().height, GROUP)
    }

    /// Expands and filters `input`, of whole runs, to pixels of `pixel` numbers; what is beyond the channels is zeroed.
    pub(crate) fn filter<B: Arithmetic>(
        &self,
        pool: &mut Pool,
        expand: Linear<'_, A>,
        input: &[A::Number],
        arithmetic: B,
        output: &mut [B::Number],
        pixel: usize,
    ) {
        let (expanded, shape) = (self.depthwise.input(), self.depthwise.output());
        assert_eq!(expanded.channels, expand.weights.columns());
        assert_eq!(input.len(), expanded.pixels() * expand.weights.depth().next_multiple_of(A::RUN));
        assert!(output.len() == shape.pixels() * pixel && pixel >= shape.channels);
        let scratch_len = self.group_len() + shape.width * GROUP;
        let output = Parts::new(output);
        pool.run(shape.channels.div_ceil(GROUP), scratch_len, &|group, scratch| {
            let channels = group * GROUP..shape.channels.min((group + 1) * GROUP);
            let group = Group { layers: self, expand, input, arithmetic, channels, scratch, output: &output, pixel };
            self.depthwise.level().run(group);
        });
    }
}

/// A group of channels.
struct Group<'a, A: Arithmetic, B: Arithmetic> {
    layers: &'a Bottleneck<'a, A>,
    expand: Linear<'a, A>,
    input: &'a [A::Number],
    arithmetic: B,
    channels: Range<usize>,
    scratch: &'a mut [f32],
    output: &'a Parts<B::Number>,
    pixel: usize,
}

impl<A: Arithmetic, B: Arithmetic> Kernel for Group<'_, A, B> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { layers: Bottleneck { depthwise, .. }, expand, channels, pixel, .. } = self;
        let shape = depthwise.output();
        let (memory, row) = self.scratch.split_at_mut(self.layers.group_len());
        let row = &mut row[..shape.width * channels.len()];
        let weights = expand.weights.columns_in(depthwise.level(), channels.clone());
        let width = depthwise.input().width;
        let mut source = GroupExpansion { weights, activation: expand.activation, width, input: self.input };
        let mut ring = Ring::of(depthwise, memory, channels.clone(), shape.height);
        ring.advance::<V>(0..shape.height, &mut source);
        let is_last = channels.end == shape.channels;
        for y in 0..shape.height {
            ring.compute::<V>(y, depthwise::Residual::None, row);
            for (x, values) in row.chunks_exact(channels.len()).enumerate() {
                let at = (y * shape.width + x) * pixel;
                // SAFETY: each group's part of each pixel is written by one unit alone, the padding by the last one.
                let numbers =
                    unsafe { self.output.slice(at + channels.start, at + if is_last { pixel } else { channels.end }) };
                let (numbers, padding) = numbers.split_at_mut(values.len());
                self.arithmetic.convert(values, numbers);
                padding.fill(B::number(0.0));
            }
        }
    }
}

/// A group's channels of all rows.
struct GroupExpansion<'a, A: Arithmetic> {
    weights: Panels<'a, A>,
    activation: Activation,
    width: usize,
    input: &'a [A::Number],
}

impl<A: Arithmetic> RowSource for GroupExpansion<'_, A> {
    #[inline(always)]
    fn write<V: Vector>(&mut self, rows: Range<usize>, output: &mut [f32], step: usize) {
        let depth = self.weights.depth();
        let pixel = depth.next_multiple_of(A::RUN);
        let row_len = self.width * pixel;
        let product = Rows {
            weights: self.weights,
            start: Start::Bias,
            activation: self.activation,
            input: &self.input[rows.start * row_len..rows.end * row_len],
            segments: &[Segment { offset: 0, len: depth, weights: 0 }],
            grid: Grid {
                lines: rows.len(),
                rows: self.width,
                input_step: pixel,
                input_line: row_len,
                output_line: step,
            },
            residual: None,
            output,
        };
        product.compute::<V>();
    }
}
