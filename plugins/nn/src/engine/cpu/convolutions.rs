//! Convolutions of the CPU's engine, in f32 or bf16, alone and joined with what follows them.

use std::sync::Arc;

use super::{Bottleneck, Cpu, CpuImage, Join, Memory};
use crate::bottleneck;
use crate::conv;
use crate::engine::{Filter, Step};
use crate::gemm::{Arithmetic, PackedWeights, Residual, Single};
use crate::join;
use crate::pointwise::{Linear, multiply_numbers, multiply_pixels};
use crate::{Activation, Bf16, Conv2d, Shape};

/// Convolutions of fewer channels stay in f32: those that read the picture itself, whose rounding all others would see,
/// and which have few products.
const FEWEST_INPUTS: usize = 8;

/// A packed convolution.
#[derive(Debug)]
pub struct CpuConv {
    weights: Weights,
    inputs: usize,
    kernel: [usize; 2],
    step: Step,
    activation: Activation,
}

#[derive(Debug)]
enum Weights {
    Single(Arc<PackedWeights<Single>>),
    Bf16(Arc<PackedWeights<Bf16>>),
}

impl Weights {
    fn single(layer: &CpuConv) -> Option<&PackedWeights<Single>> {
        match &layer.weights {
            Self::Single(weights) => Some(weights),
            Self::Bf16(_) => None,
        }
    }

    fn bf16(layer: &CpuConv) -> Option<&PackedWeights<Bf16>> {
        match &layer.weights {
            Self::Single(_) => None,
            Self::Bf16(weights) => Some(weights),
        }
    }
}

/// The weights of those layers of a bottleneck that are there, if they are all `of` one arithmetic.
fn shared<'a, A: Arithmetic>(
    layers: &Bottleneck<'a, Cpu>,
    of: fn(&CpuConv) -> Option<&PackedWeights<A>>,
) -> Option<[Option<&'a PackedWeights<A>>; 2]> {
    let weights = [layers.expand, layers.project].map(|layer| layer.map(of));
    let mut found = weights.iter().flatten().peekable();
    let any = found.peek().is_some();
    (any && found.all(Option::is_some)).then(|| weights.map(Option::flatten))
}

impl Cpu {
    pub(super) fn pack(&self, filter: Filter, step: Step, activation: Activation) -> CpuConv {
        let [_, inputs, rows, columns] = filter.shape;
        let weights = if rows * columns == 1 { filter.weights } else { filter.inputs_last() };
        let kernel = [rows, columns];
        let size = conv::size(kernel, step.dilation, inputs, filter.bias.len());
        let weights = match self.bf16.filter(|_| inputs >= FEWEST_INPUTS) {
            None => Weights::Single(Arc::new(PackedWeights::new(Single, self.level, &weights, &filter.bias, size))),
            Some(bf16) => Weights::Bf16(Arc::new(PackedWeights::new(bf16, self.level, &weights, &filter.bias, size))),
        };
        CpuConv { weights, inputs, kernel, step, activation }
    }

    pub(super) fn convolve(&mut self, layer: &CpuConv, image: &CpuImage, residual: Option<&CpuImage>) -> CpuImage {
        match &layer.weights {
            Weights::Single(weights) => self.convolve_with(weights, layer, image, residual),
            Weights::Bf16(weights) => self.convolve_with(weights, layer, image, residual),
        }
    }

    /// A bottleneck without the images between its layers, where that is faster.
    pub(super) fn bottleneck_at_once(
        &mut self,
        layers: &Bottleneck<'_, Self>,
        image: &CpuImage,
        residual: Option<&CpuImage>,
    ) -> Option<CpuImage> {
        if let Some(weights) = shared(layers, Weights::single) {
            self.joined(layers, weights, image, residual)
        } else if let Some(weights) = shared(layers, Weights::bf16) {
            self.joined(layers, weights, image, residual)
        } else {
            None
        }
    }

    /// Images joined row by row, if the layers are of one arithmetic.
    pub(super) fn join_at_once(&mut self, join: &Join<'_, Self>, image: &CpuImage) -> Option<CpuImage> {
        match (&join.first.weights, &join.then.weights) {
            (Weights::Single(first), Weights::Single(then)) => Some(self.joined_rows(join, [first, then], image)),
            (Weights::Bf16(first), Weights::Bf16(then)) => Some(self.joined_rows(join, [first, then], image)),
            _ => None,
        }
    }

    fn convolve_with<A: Arithmetic>(
        &mut self,
        weights: &Arc<PackedWeights<A>>,
        layer: &CpuConv,
        image: &CpuImage,
        residual: Option<&CpuImage>,
    ) -> CpuImage {
        let (level, activation) = (self.level, layer.activation);
        assert_eq!(image.shape.channels, layer.inputs);
        let window = layer.step.window(layer.kernel, image.shape);
        let mut output = self.image(window.output(weights.columns()));
        let residual = residual.map(|residual| &*residual.memory);
        if window.is_pointwise() {
            let input = &image.memory;
            multiply_pixels(level, &mut self.pool, weights, activation, input, residual, &mut output.memory);
            return output;
        }
        let residual = residual.map(Residual::Before);
        let conv = Conv2d::sharing(level, window, layer.inputs, Arc::clone(weights), activation);
        if conv.by_taps() {
            let converted = self.converted(weights.arithmetic(), image);
            let input = A::readable(&image.memory, &converted);
            conv.run_taps(&mut self.pool, input, residual, &mut output.memory);
        } else {
            conv.run_bands(&mut self.pool, &image.memory, residual, &mut output.memory);
        }
        output
    }

    /// The layers joined, where that is faster.
    fn joined<A: Arithmetic>(
        &mut self,
        layers: &Bottleneck<'_, Self>,
        [expand, project]: [Option<&PackedWeights<A>>; 2],
        image: &CpuImage,
        residual: Option<&CpuImage>,
    ) -> Option<CpuImage> {
        let Bottleneck { depthwise, .. } = *layers;
        let channels = expand.map_or(image.shape.channels, PackedWeights::columns);
        let expanded = Shape { channels, ..image.shape };
        let window = depthwise.step.window(depthwise.kernel, expanded);
        let linear = |layer: &CpuConv, weights| Linear { weights, activation: layer.activation };
        let joined = bottleneck::Bottleneck {
            expand: layers.expand.zip(expand).map(|(layer, weights)| linear(layer, weights)),
            depthwise: depthwise.filters.over(window),
            project: layers.project.zip(project).map(|(layer, weights)| linear(layer, weights)),
        };
        let residual = residual.map(|residual| &*residual.memory);
        if let Some(expand) = joined.by_channels() {
            return Some(self.by_channels(&joined, expand, image, residual));
        }
        let parts = joined.parts(&self.pool)?;
        let mut output = self.image(window.output(joined.outputs()));
        joined.run(&mut self.pool, parts, &image.memory, residual, &mut output.memory);
        Some(output)
    }

    fn by_channels<A: Arithmetic>(
        &mut self,
        layers: &bottleneck::Bottleneck<'_, A>,
        expand: Linear<'_, A>,
        image: &CpuImage,
        residual: Option<&[f32]>,
    ) -> CpuImage {
        let shape = layers.depthwise.output();
        let converted = self.converted(expand.weights.arithmetic(), image);
        let input = A::readable(&image.memory, &converted);
        let mut output = self.image(Shape { channels: layers.outputs(), ..shape });
        let Some(Linear { weights, activation }) = layers.project else {
            layers.filter(&mut self.pool, expand, input, Single, &mut output.memory, shape.channels);
            return output;
        };
        let pixel = shape.channels.next_multiple_of(A::RUN);
        let mut inner = self.arena.take(shape.pixels() * pixel * size_of::<A::Number>() / size_of::<f32>());
        let inner = A::numbers(&mut inner);
        layers.filter(&mut self.pool, expand, input, weights.arithmetic(), inner, pixel);
        multiply_numbers(self.level, &mut self.pool, weights, activation, inner, residual, &mut output.memory);
        output
    }

    fn joined_rows<A: Arithmetic>(
        &mut self,
        join: &Join<'_, Self>,
        [first, then]: [&Arc<PackedWeights<A>>; 2],
        image: &CpuImage,
    ) -> CpuImage {
        let size = (image.shape.height, image.shape.width);
        let at = self.resizes_of(join.coarser.map(|coarser| (coarser.shape, size, join.sampling)));
        let mut output = self.image(Shape { channels: then.columns(), ..image.shape });
        let joined = join::Join {
            first: Linear { weights: first, activation: join.first.activation },
            then: Linear { weights: then, activation: join.then.activation },
            coarser: [0, 1, 2].map(|i| (&self.resizes[at[i]].1, &*join.coarser[i].memory)),
        };
        joined.run(self.level, &mut self.pool, &image.memory, &mut output.memory);
        output
    }

    /// The image as `arithmetic` reads it, if that is not as it is.
    fn converted<A: Arithmetic>(&mut self, arithmetic: A, image: &CpuImage) -> Memory {
        let Shape { height, width, channels } = image.shape;
        let mut converted = self.arena.take(A::converted_len(image.shape.pixels(), channels));
        if !converted.is_empty() {
            self.pool.rows(&mut converted, height, width * channels, 0, |first, rows, _| {
                let count = rows.len() / A::converted_len(width, channels);
                let input = &image.memory[first * width * channels..][..count * width * channels];
                arithmetic.convert_pixels(input, channels, rows);
            });
        }
        converted
    }
}
