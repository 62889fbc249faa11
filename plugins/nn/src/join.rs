//! Images of several sizes joined to one: the finest one through a pointwise convolution, the others resized and added,
//! and another pointwise convolution of the sum. Row by row, as the sum would be a network's largest image.

use crate::gemm::Arithmetic;
use crate::pointwise::Linear;
use crate::pool::Pool;
use crate::resize::Resize;
use crate::simd::{Kernel, Level, Vector};

/// The layers, and the coarser images.
pub(crate) struct Join<'a, A: Arithmetic> {
    /// Its activation comes after the sum.
    pub(crate) first: Linear<'a, A>,
    pub(crate) then: Linear<'a, A>,
    pub(crate) coarser: [(&'a Resize, &'a [f32]); 3],
}

impl<A: Arithmetic> Join<'_, A> {
    /// Computes `output`, as many pixels as `input` has.
    pub(crate) fn run(&self, level: Level, pool: &mut Pool, input: &[f32], output: &mut [f32]) {
        let shape = self.coarser[0].0.output();
        assert!(self.coarser.iter().all(|(resize, _)| resize.output() == shape));
        assert_eq!(shape.channels, self.first.weights.columns());
        assert_eq!(self.then.weights.depth(), shape.channels);
        assert_eq!(input.len(), shape.pixels() * self.first.weights.depth());
        assert_eq!(output.len(), shape.pixels() * self.then.weights.columns());
        let row_len = shape.width * shape.channels;
        let lens = [
            self.coarser.iter().map(|(resize, _)| resize.row_len()).sum(),
            row_len,
            row_len,
            self.first.converted_len(shape.width).max(self.then.converted_len(shape.width)),
        ];
        let work = row_len * (self.first.weights.depth() + self.then.weights.columns());
        pool.rows(output, shape.height, work, lens.iter().sum(), |first, output, scratch| {
            level.run(JoinedRows { join: self, lens, width: shape.width, input, first, output, scratch });
        });
    }
}

struct JoinedRows<'a, A: Arithmetic> {
    join: &'a Join<'a, A>,
    /// Of blended rows, their sum, what the first convolution makes of it, and converted rows.
    lens: [usize; 4],
    width: usize,
    input: &'a [f32],
    first: usize,
    output: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl<A: Arithmetic> Kernel for JoinedRows<'_, A> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Join { first, then, coarser } = self.join;
        let (blended, rest) = self.scratch.split_at_mut(self.lens[0]);
        let (sum, rest) = rest.split_at_mut(self.lens[1]);
        let (inner, converted) = rest.split_at_mut(self.lens[2]);
        let input_len = self.width * first.weights.depth();
        for (i, output) in self.output.chunks_exact_mut(self.width * then.weights.columns()).enumerate() {
            let row = self.first + i;
            Resize::sum_row::<V>(*coarser, row, blended, sum);
            first.row::<V>(&self.input[row * input_len..][..input_len], converted, Some(sum), inner);
            then.row::<V>(inner, converted, None, output);
        }
    }
}
