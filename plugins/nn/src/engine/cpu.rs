//! The engine on this crate's kernels: f32, pixel by pixel.

use std::sync::Arc;

use super::arena::{Arena, Memory};
use super::{
    Attention, Bottleneck, Deformable, Engine, EngineResult, Filter, Join, MaskOutput, Norm, Placement, Scores, Step,
};
use crate::arrange::{self, Cut};
use crate::attention::{self, Sampled, Sequences};
use crate::bottleneck;
use crate::conv;
use crate::elementwise;
use crate::gemm::{Arithmetic, PackedWeights, Residual, Single, Size};
use crate::join;
use crate::labels::{self, Interpolation, Share};
use crate::normalise::{self, Affine};
use crate::pointwise::{Linear, multiply_numbers, multiply_pixels};
use crate::{Activation, Bf16, Buffer, Conv2d, Depthwise, GlobalMean, Level, Pool, Resize, Sampling, Shape};

/// Added to the score of what is not to be seen: its exponential is next to nothing, and no sum of it overflows.
const CLOSED: f32 = -1e30;

/// Convolutions of fewer channels stay in f32: those that read the picture itself, whose rounding all others would see,
/// and which have few products.
const FEWEST_INPUTS: usize = 8;

/// The CPU: some threads, and memory for the images of a forward pass.
#[derive(Debug)]
pub struct Cpu {
    level: Level,
    /// What convolutions compute in, if not in f32.
    bf16: Option<Bf16>,
    pool: Pool,
    arena: Arena,
    /// Resizes that were run, with what they were made for: a network has a handful.
    resizes: Vec<(ResizeKey, Resize)>,
}

/// The input, the output's height and width, and how it is sampled.
type ResizeKey = (Shape, (usize, usize), Sampling);

/// Values in the memory of a [`Cpu`].
#[derive(Debug)]
pub struct CpuImage {
    shape: Shape,
    memory: Memory,
}

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

/// A depthwise convolution, laid out for vectors.
#[derive(Debug)]
pub struct CpuDepthwise {
    filters: Depthwise,
    kernel: [usize; 2],
    step: Step,
}

/// A normalisation's scale and shift.
#[derive(Debug)]
pub struct CpuNorm(Norm);

impl CpuNorm {
    fn affine(&self) -> Affine<'_> {
        Affine { scale: &self.0.scale, shift: &self.0.shift, epsilon: self.0.epsilon }
    }
}

impl Cpu {
    /// An engine in which `threads` threads work, the caller's among them.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        Self::on(Level::best(), threads)
    }

    /// The same on another instruction set than the best.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn on(level: Level, threads: usize) -> std::io::Result<Self> {
        Ok(Self { level, bf16: None, pool: Pool::new(threads)?, arena: Arena::default(), resizes: Vec::new() })
    }

    /// The same with products in bf16: those of attention, and of convolutions made from here on. Sums and all else
    /// stay in f32.
    #[must_use]
    pub fn with_bf16(self, products: Bf16) -> Self {
        Self { bf16: Some(products), ..self }
    }

    /// The instruction set that it runs on.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// What the images of a forward pass take at once, in bytes, as far as one was run.
    pub fn images_len_bytes(&self) -> usize {
        size_of::<f32>() * self.arena.reach()
    }

    fn image(&self, shape: Shape) -> CpuImage {
        CpuImage { shape, memory: self.arena.take(shape.len()) }
    }

    /// Where the resizes of these keys are, all at once.
    fn resizes_of<const N: usize>(&mut self, keys: [ResizeKey; N]) -> [usize; N] {
        const MOST: usize = 64;
        if self.resizes.len() + N > MOST {
            self.resizes.clear();
        }
        keys.map(|key| self.resize_of(key))
    }

    fn resize_of(&mut self, key: ResizeKey) -> usize {
        if let Some(at) = self.resizes.iter().position(|(known, _)| *known == key) {
            return at;
        }
        let (input, (height, width), sampling) = key;
        self.resizes.push((key, Resize::new(self.level, input, height, width, sampling)));
        self.resizes.len() - 1
    }

    fn convolve<A: Arithmetic>(
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

    /// `a * weights`, the weights being packed for this call.
    fn multiply(&mut self, a: &CpuImage, weights: &[f32], columns: usize) -> CpuImage {
        let packed = PackedWeights::new(
            Single,
            self.level,
            weights,
            &vec![0.0; columns],
            Size { columns, runs: 1, run: a.shape.channels },
        );
        let mut output = self.image(Shape { channels: columns, ..a.shape });
        multiply_pixels(self.level, &mut self.pool, &packed, Activation::None, &a.memory, None, &mut output.memory);
        output
    }
}

impl Engine for Cpu {
    type Image = CpuImage;
    type Conv = CpuConv;
    type Depthwise = CpuDepthwise;
    type Norm = CpuNorm;

    fn make_conv(&self, filter: Filter, step: Step, activation: Activation) -> EngineResult<CpuConv> {
        let [_, inputs, rows, columns] = filter.shape;
        let weights = if rows * columns == 1 { filter.weights } else { filter.inputs_last() };
        let kernel = [rows, columns];
        let size = conv::size(kernel, step.dilation, inputs, filter.bias.len());
        let weights = match self.bf16.filter(|_| inputs >= FEWEST_INPUTS) {
            None => Weights::Single(Arc::new(PackedWeights::new(Single, self.level, &weights, &filter.bias, size))),
            Some(bf16) => Weights::Bf16(Arc::new(PackedWeights::new(bf16, self.level, &weights, &filter.bias, size))),
        };
        Ok(CpuConv { weights, inputs, kernel, step, activation })
    }

    fn make_depthwise(&self, filter: Filter, step: Step, activation: Activation) -> EngineResult<CpuDepthwise> {
        let [channels, _, rows, columns] = filter.shape;
        let kernel = [rows, columns];
        let any_image = Shape { height: rows * step.dilation, width: columns * step.dilation, channels };
        let window = step.window(kernel, any_image);
        let filters = Depthwise::new(self.level, window, &filter.channels_last(), &filter.bias, activation);
        Ok(CpuDepthwise { filters, kernel, step })
    }

    fn make_norm(&self, norm: Norm) -> EngineResult<CpuNorm> {
        Ok(CpuNorm(norm))
    }

    fn constant(&self, shape: Shape, values: &[f32]) -> EngineResult<CpuImage> {
        assert_eq!(values.len(), shape.len());
        Ok(CpuImage { shape, memory: Memory::own(values) })
    }

    fn input(&mut self, shape: Shape, fill: impl FnOnce(&mut Pool, &mut [f32])) -> EngineResult<CpuImage> {
        let mut image = self.image(shape);
        fill(&mut self.pool, &mut image.memory);
        Ok(image)
    }

    fn read(&mut self, image: &CpuImage) -> EngineResult<Vec<f32>> {
        Ok(image.memory.to_vec())
    }

    fn finish(&mut self) -> EngineResult<()> {
        Ok(())
    }

    fn shape(&self, image: &CpuImage) -> Shape {
        image.shape
    }

    fn reshape(&self, image: CpuImage, shape: Shape) -> CpuImage {
        assert_eq!(shape.len(), image.shape.len());
        CpuImage { shape, ..image }
    }

    fn conv(&mut self, layer: &CpuConv, image: &CpuImage, residual: Option<&CpuImage>) -> EngineResult<CpuImage> {
        match &layer.weights {
            Weights::Single(weights) => Ok(self.convolve(weights, layer, image, residual)),
            Weights::Bf16(weights) => Ok(self.convolve(weights, layer, image, residual)),
        }
    }

    fn depthwise(&mut self, layer: &CpuDepthwise, image: &CpuImage) -> EngineResult<CpuImage> {
        let window = layer.step.window(layer.kernel, image.shape);
        let mut output = self.image(window.output(image.shape.channels));
        layer.filters.over(window).run(&mut self.pool, &image.memory, None, &mut output.memory);
        Ok(output)
    }

    fn bottleneck(
        &mut self,
        layers: &Bottleneck<'_, Self>,
        image: &CpuImage,
        residual: Option<&CpuImage>,
    ) -> EngineResult<CpuImage> {
        let made = if let Some(weights) = shared(layers, Weights::single) {
            self.joined(layers, weights, image, residual)
        } else if let Some(weights) = shared(layers, Weights::bf16) {
            self.joined(layers, weights, image, residual)
        } else {
            None
        };
        match made {
            Some(made) => Ok(made),
            None => self.one_by_one(layers, image, residual),
        }
    }

    fn layer_norm(&mut self, norm: &CpuNorm, image: &CpuImage) -> EngineResult<CpuImage> {
        let mut output = self.image(image.shape);
        normalise::layer_norm(self.level, &mut self.pool, norm.affine(), &image.memory, &mut output.memory);
        Ok(output)
    }

    fn group_norm(
        &mut self,
        norm: &CpuNorm,
        groups: usize,
        activation: Activation,
        mut image: CpuImage,
    ) -> EngineResult<CpuImage> {
        let shape = image.shape;
        normalise::group_norm(self.level, &mut self.pool, norm.affine(), groups, activation, shape, &mut image.memory);
        Ok(image)
    }

    fn add(&mut self, mut a: CpuImage, b: &CpuImage) -> EngineResult<CpuImage> {
        elementwise::add_to(self.level, &mut self.pool, &mut a.memory, &b.memory);
        Ok(a)
    }

    fn activate(&mut self, mut image: CpuImage, activation: Activation) -> EngineResult<CpuImage> {
        elementwise::activate_in_place(self.level, &mut self.pool, activation, &mut image.memory);
        Ok(image)
    }

    fn softmax(&mut self, mut image: CpuImage) -> EngineResult<CpuImage> {
        normalise::softmax(self.level, &mut self.pool, image.shape.channels, &mut image.memory);
        Ok(image)
    }

    fn scale_channels(&mut self, image: &CpuImage, gate: &CpuImage) -> EngineResult<CpuImage> {
        let mut output = self.image(image.shape);
        let (input, gate) = (&image.memory, &gate.memory);
        elementwise::multiply_channels(self.level, &mut self.pool, image.shape, input, gate, &mut output.memory);
        Ok(output)
    }

    fn mean(&mut self, image: &CpuImage) -> EngineResult<CpuImage> {
        let mut output = self.image(Shape { height: 1, width: 1, channels: image.shape.channels });
        GlobalMean::new(self.level, image.shape).run(&mut self.pool, &image.memory, None, &mut output.memory);
        Ok(output)
    }

    fn max_pool(&mut self, image: &CpuImage, kernel: usize, step: Step) -> EngineResult<CpuImage> {
        let window = step.window([kernel; 2], image.shape);
        let mut output = self.image(window.output(image.shape.channels));
        arrange::max_pool(&mut self.pool, window, image.shape.channels, &image.memory, &mut output.memory);
        Ok(output)
    }

    fn resize(&mut self, image: &CpuImage, size: (usize, usize), sampling: Sampling) -> EngineResult<CpuImage> {
        let mut output = self.image(Shape { height: size.0, width: size.1, ..image.shape });
        let [at] = self.resizes_of([(image.shape, size, sampling)]);
        self.resizes[at].1.run(&mut self.pool, &image.memory, &mut output.memory);
        Ok(output)
    }

    fn join(&mut self, join: &Join<'_, Self>, image: &CpuImage) -> EngineResult<CpuImage> {
        match (&join.first.weights, &join.then.weights) {
            (Weights::Single(first), Weights::Single(then)) => Ok(self.joined_rows(join, [first, then], image)),
            (Weights::Bf16(first), Weights::Bf16(then)) => Ok(self.joined_rows(join, [first, then], image)),
            _ => self.join_one_by_one(join, image),
        }
    }

    fn concat(&mut self, images: &[&CpuImage]) -> EngineResult<CpuImage> {
        let channels = images.iter().map(|image| image.shape.channels).sum();
        let shape = Shape { channels, ..images[0].shape };
        let mut output = self.image(shape);
        let images: Vec<_> = images.iter().map(|image| (&*image.memory, image.shape.channels)).collect();
        arrange::concat(&mut self.pool, &images, shape.pixels(), &mut output.memory);
        Ok(output)
    }

    fn stack(&mut self, images: &[&CpuImage]) -> EngineResult<CpuImage> {
        let channels = images[0].shape.channels;
        let width = images.iter().map(|image| image.shape.pixels()).sum();
        let mut output = self.image(Shape { height: 1, width, channels });
        let mut rest = &mut *output.memory;
        for image in images {
            let (part, others) = rest.split_at_mut(image.memory.len());
            part.copy_from_slice(&image.memory);
            rest = others;
        }
        Ok(output)
    }

    fn part(&mut self, image: &CpuImage, first: usize, shape: Shape) -> EngineResult<CpuImage> {
        assert_eq!(shape.channels, image.shape.channels);
        let mut output = self.image(shape);
        output.memory.copy_from_slice(&image.memory[first * shape.channels..][..shape.len()]);
        Ok(output)
    }

    fn merge_patches(&mut self, image: &CpuImage) -> EngineResult<CpuImage> {
        let Shape { height, width, channels } = image.shape;
        let shape = Shape { height: height.div_ceil(2), width: width.div_ceil(2), channels: 4 * channels };
        let mut output = self.image(shape);
        arrange::merge_patches(&mut self.pool, image.shape, &image.memory, &mut output.memory);
        Ok(output)
    }

    fn windows(&mut self, image: &CpuImage, size: usize, shift: usize) -> EngineResult<CpuImage> {
        let cut = Cut { shape: image.shape, size, shift };
        let (rows, columns) = cut.count();
        let shape = Shape { height: rows * columns, width: size * size, channels: image.shape.channels };
        let mut output = self.image(shape);
        cut.apart(&mut self.pool, &image.memory, &mut output.memory);
        Ok(output)
    }

    fn from_windows(&mut self, windows: &CpuImage, shape: Shape, size: usize, shift: usize) -> EngineResult<CpuImage> {
        let mut output = self.image(shape);
        Cut { shape, size, shift }.together(&mut self.pool, &windows.memory, &mut output.memory);
        Ok(output)
    }

    fn attention(&mut self, attention: &Attention<'_, CpuImage>) -> EngineResult<CpuImage> {
        let Attention { queries, keys, values, heads, bias, mask } = *attention;
        let mut output = self.image(queries.shape);
        let sequences = Sequences {
            queries: &queries.memory,
            keys: &keys.memory,
            values: &values.memory,
            batch: queries.shape.height,
            query_count: queries.shape.width,
            key_count: keys.shape.width,
            channels: queries.shape.channels,
            heads,
            bias: bias.map(|bias| &*bias.memory),
            mask: mask.map(|mask| &*mask.memory),
        };
        match self.bf16 {
            None => attention::attend(Single, self.level, &mut self.pool, sequences, &mut output.memory),
            Some(bf16) => attention::attend(bf16, self.level, &mut self.pool, sequences, &mut output.memory),
        }
        Ok(output)
    }

    fn deformable(&mut self, attention: &Deformable<'_, CpuImage>) -> EngineResult<CpuImage> {
        let Deformable { values, levels, offsets, weights, heads, points } = *attention;
        let mut output = self.image(values.shape);
        let sampled = Sampled {
            values: &values.memory,
            levels,
            offsets: &offsets.memory,
            weights: &weights.memory,
            channels: values.shape.channels,
            heads,
            points,
        };
        attention::sample(self.level, &mut self.pool, sampled, &mut output.memory);
        Ok(output)
    }

    fn matmul(&mut self, a: &CpuImage, b: &CpuImage) -> EngineResult<CpuImage> {
        let (inner, columns) = (b.shape.pixels(), b.shape.channels);
        assert_eq!(inner, a.shape.channels);
        let mut transposed = Buffer::zeroed(b.shape.len());
        for (k, row) in b.memory.chunks_exact(columns).enumerate() {
            row.iter().enumerate().for_each(|(column, value)| transposed[column * inner + k] = *value);
        }
        Ok(self.multiply(a, &transposed, columns))
    }

    fn matmul_transposed(&mut self, a: &CpuImage, b: &CpuImage) -> EngineResult<CpuImage> {
        assert_eq!(a.shape.channels, b.shape.channels);
        Ok(self.multiply(a, &b.memory, b.shape.pixels()))
    }

    fn attention_mask(&mut self, logits: &CpuImage) -> EngineResult<CpuImage> {
        let shape = Shape { height: 1, width: logits.shape.channels, channels: logits.shape.pixels() };
        let mut output = self.image(shape);
        arrange::attention_mask(&mut self.pool, &logits.memory, shape.width, CLOSED, &mut output.memory);
        Ok(output)
    }

    fn labels(
        &mut self,
        scores: &CpuImage,
        kind: Scores,
        placement: Placement,
        mask: &mut MaskOutput<'_>,
    ) -> EngineResult<()> {
        let Placement { canvas, picture, sampling } = placement;
        let shape = scores.shape;
        let rows: Vec<_> = sampling.taps_of_part(shape.height, canvas.1, picture.1, mask.height).collect();
        let columns: Vec<_> = sampling.taps_of_part(shape.width, canvas.0, picture.0, mask.width).collect();
        let share = match kind {
            Scores::Logits => Share::Exponentials,
            Scores::Weights => Share::Values,
        };
        let interpolation = Interpolation { scores: &scores.memory, shape, rows: &rows, columns: &columns, share };
        labels::label(self.level, &mut self.pool, interpolation, mask.labels, mask.confidence.as_deref_mut());
        Ok(())
    }
}
