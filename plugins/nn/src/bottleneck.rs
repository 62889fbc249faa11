//! A pointwise convolution that makes more channels, a depthwise one, and perhaps a pointwise one that makes fewer
//! again, row by row: the images between them, the largest of a network, never exist as a whole.

use crate::depthwise::{self, Depthwise, Ring, RowSource};
use crate::gemm::Arithmetic;
use crate::pointwise::Linear;
use crate::pool::Pool;
use crate::simd::{Kernel, Vector};

/// Of how many rows at least one may be computed a second time, as two threads need it.
const ROWS_PER_REPEATED: usize = 6;

/// The layers, the first and last of one arithmetic.
#[derive(Debug)]
pub(crate) struct Bottleneck<'a, A: Arithmetic> {
    pub(crate) expand: Linear<'a, A>,
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
        input.len() * self.expand.weights.depth() + output.len() * self.project.map_or(0, |p| p.weights.columns())
    }

    fn lens(&self) -> Lens {
        let (input, output) = (self.depthwise.input(), self.depthwise.output());
        let inner = if self.project.is_some() { output.width * output.channels } else { 0 };
        Lens {
            ring: self.depthwise.ring_len(),
            input: self.expand.converted_len(input.width),
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
        assert_eq!(expanded.channels, self.expand.weights.columns());
        assert!(self.project.is_none_or(|project| project.weights.depth() == shape.channels));
        assert!(residual.is_none_or(|residual| residual.len() == output.len()));
        assert_eq!(input.len(), expanded.pixels() * self.expand.weights.depth());
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
        let mut source = Expansion { layer: *expand, input: self.input, converted };
        let mut ring = Ring::new(depthwise, ring);
        let row_len = depthwise.output().width * self.layers.outputs();
        for (i, output) in self.output.chunks_exact_mut(row_len).enumerate() {
            ring.advance::<V>(self.first + i, &mut source);
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

/// Rows computed by the first convolution.
struct Expansion<'a, A: Arithmetic> {
    layer: Linear<'a, A>,
    input: &'a [f32],
    converted: &'a mut [f32],
}

impl<A: Arithmetic> RowSource for Expansion<'_, A> {
    #[inline(always)]
    fn write<V: Vector>(&mut self, row: usize, output: &mut [f32]) {
        let row_len = output.len() / self.layer.weights.columns() * self.layer.weights.depth();
        self.layer.row::<V>(&self.input[row * row_len..][..row_len], self.converted, None, output);
    }
}
