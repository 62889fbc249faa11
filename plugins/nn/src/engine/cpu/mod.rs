//! The engine on this crate's kernels, pixel by pixel: images in f32, products in f32 or bf16.

mod convolutions;

pub use convolutions::CpuConv;

use super::arena::{Arena, Memory};
use super::{
    Attention, Bottleneck, Deformable, Engine, EngineResult, Filter, Join, MaskOutput, Norm, Placement, Scores, Step,
};
use crate::arrange::{self, Cut};
use crate::attention::{self, Sampled, Sequences};
use crate::elementwise;
use crate::gemm::{PackedWeights, Single, Size};
use crate::labels::{self, Interpolation, Share};
use crate::normalise::{self, Affine};
use crate::pointwise::multiply_pixels;
use crate::{Activation, Bf16, Buffer, Depthwise, GlobalMean, Level, Pool, Resize, Sampling, Shape};

/// Added to the score of what is not to be seen: its exponential is next to nothing, and no sum of it overflows.
const CLOSED: f32 = -1e30;

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
        Ok(self.pack(filter, step, activation))
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
        Ok(self.convolve(layer, image, residual))
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
        match self.bottleneck_at_once(layers, image, residual) {
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
        match self.join_at_once(join, image) {
            Some(made) => Ok(made),
            None => self.join_one_by_one(join, image),
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
