//! Both engines compute the same: each operation on images of odd shapes, with values that a formula makes.
#![cfg(feature = "candle")]

use segue_nn::candle_core::{DType, Device};
use segue_nn::{
    Activation, Attention, Bf16, Bottleneck, CandleEngine, Cpu, Deformable, Engine, EngineResult, Filter, Join, Level,
    MaskOutput, Norm, Padding, Placement, Sampling, Scores, Shape, Step,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// What an operation made: a name, a shape and values.
type Made = Vec<(String, Shape, Vec<f32>)>;

/// Numbers between -1 and 1.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }

    fn of(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }

    fn filter(&mut self, shape: [usize; 4]) -> Filter {
        Filter::new(shape, self.of(shape.iter().product())).with_bias(self.of(shape[0]))
    }

    fn norm(&mut self, channels: usize) -> Norm {
        Norm { scale: self.of(channels), shift: self.of(channels), epsilon: 1e-5 }
    }

    fn image<E: Engine>(&mut self, engine: &mut E, shape: Shape) -> EngineResult<E::Image> {
        let values = self.of(shape.len());
        engine.input(shape, |_, input| input.copy_from_slice(&values))
    }
}

fn shape(height: usize, width: usize, channels: usize) -> Shape {
    Shape { height, width, channels }
}

/// Runs on both engines, and holds the one to the other.
fn agree(
    on_cpu: fn(&mut Cpu) -> EngineResult<Made>,
    on_candle: fn(&mut CandleEngine) -> EngineResult<Made>,
) -> Outcome {
    agree_in(DType::F32, 2e-5, on_cpu, on_candle)
}

/// The same in other numbers, up to an error in proportion to the largest value.
fn agree_in(
    dtype: DType,
    most_error: f32,
    on_cpu: fn(&mut Cpu) -> EngineResult<Made>,
    on_candle: fn(&mut CandleEngine) -> EngineResult<Made>,
) -> Outcome {
    let ours = on_cpu(&mut Cpu::new(2)?)?;
    let theirs = on_candle(&mut CandleEngine::new(Device::Cpu, dtype, 1)?)?;
    assert_close(most_error, &ours, &theirs);
    Ok(())
}

fn assert_close(most_error: f32, ours: &Made, theirs: &Made) {
    assert!(!ours.is_empty() && ours.len() == theirs.len());
    let mut failures = Vec::new();
    for ((name, shape, values), (_, their_shape, their_values)) in ours.iter().zip(theirs) {
        assert_eq!(shape, their_shape, "{name}");
        assert_eq!(values.len(), shape.len(), "{name}");
        let largest = values.iter().fold(1.0, |largest: f32, value| largest.max(value.abs()));
        let error = |(a, b): (&f32, &f32)| match (a - b).abs() / largest {
            error if error.is_nan() => f32::INFINITY,
            error => error,
        };
        let errors = values.iter().zip(their_values).map(error);
        let (at, most) = errors.enumerate().fold((0, 0.0), |most, e| if e.1 <= most.1 { most } else { e });
        if most > most_error {
            failures.push(format!("{name}: value {at} is {} and {}", values[at], their_values[at]));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn record<E: Engine>(engine: &mut E, made: &mut Made, name: impl Into<String>, image: &E::Image) -> EngineResult<()> {
    made.push((name.into(), engine.shape(image), engine.read(image)?));
    engine.finish()
}

const ACTIVATIONS: [Activation; 7] = [
    Activation::None,
    Activation::Relu,
    Activation::Relu6,
    Activation::HardSwish,
    Activation::Sigmoid,
    Activation::HardSigmoid,
    Activation::Gelu,
];
const SAMPLINGS: [Sampling; 3] = [Sampling::HalfPixelCentres, Sampling::AlignedCorners, Sampling::TopLeft];

const STEPS: [Step; 9] = [
    Step::ONE,
    Step::of(1, 1),
    Step::of(2, 1),
    Step::of(2, 0),
    Step::of(3, 2),
    Step::dilated(3),
    Step::same(1, 2),
    Step::same(2, 1),
    Step { stride: 2, dilation: 2, padding: Padding::Zeros(2) },
];

fn convolutions<E: Engine>(engine: &mut E) -> EngineResult<Made> {
    let (mut numbers, mut made) = (Numbers(1), Made::new());
    for step in STEPS {
        for (kernel, inputs, outputs) in [([1, 1], 5, 7), ([3, 3], 3, 19), ([3, 3], 16, 33), ([2, 5], 9, 8)] {
            for activation in [Activation::None, Activation::Relu6, Activation::Gelu] {
                let image = numbers.image(engine, shape(13, 10, inputs))?;
                let filter = numbers.filter([outputs, inputs, kernel[0], kernel[1]]);
                let layer = engine.make_conv(filter, step, activation)?;
                let output = engine.conv(&layer, &image, None)?;
                let name = format!("{kernel:?} of {inputs} to {outputs}, {step:?}, {activation:?}");
                record(engine, &mut made, &name, &output)?;
                let shape = engine.shape(&output);
                let residual = numbers.image(engine, shape)?;
                let output = engine.conv(&layer, &image, Some(&residual))?;
                record(engine, &mut made, format!("{name}, with a residual"), &output)?;
            }
        }
    }
    Ok(made)
}

#[test]
fn convolutions_of_all_steps() -> Outcome {
    agree(convolutions, convolutions)
}

fn depthwise<E: Engine>(engine: &mut E) -> EngineResult<Made> {
    let (mut numbers, mut made) = (Numbers(2), Made::new());
    for step in STEPS {
        for (kernel, channels) in [([3, 3], 5), ([5, 5], 24), ([3, 3], 35), ([1, 3], 8)] {
            for activation in ACTIVATIONS {
                let layer =
                    engine.make_depthwise(numbers.filter([channels, 1, kernel[0], kernel[1]]), step, activation)?;
                // One layer, several sizes.
                for image in [shape(13, 10, channels), shape(9, 11, channels)] {
                    let image = numbers.image(engine, image)?;
                    let output = engine.depthwise(&layer, &image)?;
                    record(engine, &mut made, format!("{kernel:?} of {channels}, {step:?}, {activation:?}"), &output)?;
                }
            }
        }
    }
    Ok(made)
}

#[test]
fn depthwise_convolutions_of_all_steps() -> Outcome {
    agree(depthwise, depthwise)
}

/// Bottlenecks of one and of several bands, with and without a last layer, and joined images.
fn joined_layers<E: Engine>(engine: &mut E) -> EngineResult<Made> {
    let (mut numbers, mut made) = (Numbers(21), Made::new());
    for (step, (height, width)) in [Step::dilated(1), Step::of(2, 1), Step::dilated(2), Step::same(2, 1)]
        .into_iter()
        .flat_map(|step| [(step, (13, 10)), (step, (40, 33))])
    {
        for (activation, channels, inputs) in
            [(Activation::Relu6, 40, 7), (Activation::Gelu, 33, 7), (Activation::Gelu, 600, 200)]
        {
            let image = numbers.image(engine, shape(height, width, inputs))?;
            let expand =
                engine.make_conv(numbers.filter([channels, inputs, 1, 1]), Step::ONE, Activation::HardSwish)?;
            let depthwise = engine.make_depthwise(numbers.filter([channels, 1, 3, 3]), step, activation)?;
            let project = engine.make_conv(numbers.filter([9, channels, 1, 1]), Step::ONE, Activation::Relu)?;
            let name = format!("{height}x{width}x{inputs}, {step:?}, {activation:?}");
            let layers = Bottleneck { expand: Some(&expand), depthwise: &depthwise, project: None };
            let output = engine.bottleneck(&layers, &image, None)?;
            record(engine, &mut made, format!("half of {name}"), &output)?;
            let shape = Shape { channels: 9, ..engine.shape(&output) };
            let residual = numbers.image(engine, shape)?;
            let inner = numbers.image(engine, self::shape(height, width, channels))?;
            let layers = Bottleneck { expand: None, project: Some(&project), ..layers };
            let output = engine.bottleneck(&layers, &inner, None)?;
            record(engine, &mut made, format!("other half of {name}"), &output)?;
            let layers = Bottleneck { expand: Some(&expand), ..layers };
            let output = engine.bottleneck(&layers, &image, Some(&residual))?;
            record(engine, &mut made, name, &output)?;
        }
    }
    for (height, width, channels) in [(16, 16, 33), (9, 12, 8)] {
        let first = engine.make_conv(numbers.filter([channels, 5, 1, 1]), Step::ONE, Activation::Relu)?;
        let then = engine.make_conv(numbers.filter([21, channels, 1, 1]), Step::ONE, Activation::None)?;
        let coarser = [(3, 4), (8, 6), (height, width)].map(|(height, width)| shape(height, width, channels));
        let [a, b, c] = coarser.map(|shape| numbers.image(engine, shape));
        let (a, b, c) = (a?, b?, c?);
        let join = Join { first: &first, coarser: [&a, &b, &c], sampling: Sampling::HalfPixelCentres, then: &then };
        let image = numbers.image(engine, shape(height, width, 5))?;
        let output = engine.join(&join, &image)?;
        record(engine, &mut made, format!("{height}x{width} joined"), &output)?;
    }
    Ok(made)
}

#[test]
fn layers_that_are_computed_together() -> Outcome {
    agree(joined_layers, joined_layers)
}

fn norms<E: Engine>(engine: &mut E) -> EngineResult<Made> {
    let (mut numbers, mut made) = (Numbers(3), Made::new());
    for channels in [6, 32, 57] {
        let norm = engine.make_norm(numbers.norm(channels))?;
        let image = numbers.image(engine, shape(7, 5, channels))?;
        let output = engine.layer_norm(&norm, &image)?;
        record(engine, &mut made, format!("layer norm of {channels}"), &output)?;
    }
    for (channels, groups) in [(6, 3), (32, 8), (57, 19), (15, 1), (5, 5)] {
        for activation in ACTIVATIONS {
            let norm = engine.make_norm(numbers.norm(channels))?;
            let image = numbers.image(engine, shape(11, 9, channels))?;
            let output = engine.group_norm(&norm, groups, activation, image)?;
            record(engine, &mut made, format!("group norm of {groups} in {channels}, {activation:?}"), &output)?;
        }
    }
    Ok(made)
}

#[test]
fn normalisations() -> Outcome {
    agree(norms, norms)
}

fn elementwise<E: Engine>(engine: &mut E) -> EngineResult<Made> {
    let (mut numbers, mut made) = (Numbers(4), Made::new());
    for size in [shape(3, 5, 7), shape(1, 1, 19), shape(6, 3, 32)] {
        let b = numbers.image(engine, size)?;
        let a = numbers.image(engine, size)?;
        let sum = engine.add(a, &b)?;
        record(engine, &mut made, "sum", &sum)?;
        for activation in ACTIVATIONS {
            let values: Vec<_> = numbers.of(size.len()).iter().map(|value| value * 9.0).collect();
            let image = engine.constant(size, &values)?;
            let output = engine.activate(image, activation)?;
            record(engine, &mut made, format!("{activation:?}"), &output)?;
        }
        let softmax = engine.softmax(sum)?;
        record(engine, &mut made, "softmax", &softmax)?;
        let gate = numbers.image(engine, shape(1, 1, size.channels))?;
        let scaled = engine.scale_channels(&b, &gate)?;
        record(engine, &mut made, "scaled channels", &scaled)?;
        let mean = engine.mean(&b)?;
        record(engine, &mut made, "mean", &mean)?;
        let scores = numbers.of(size.len()).iter().map(|value| if *value > 0.3 { -1e30 } else { *value }).collect();
        let closed: Vec<f32> = scores;
        let closed = engine.constant(size, &closed)?;
        let softmax = engine.softmax(closed)?;
        record(engine, &mut made, "softmax of closed ones", &softmax)?;
    }
    Ok(made)
}

#[test]
fn operations_on_single_values() -> Outcome {
    agree(elementwise, elementwise)
}

fn pooling<E: Engine>(engine: &mut E) -> EngineResult<Made> {
    let (mut numbers, mut made) = (Numbers(5), Made::new());
    let steps = [Step::of(2, 1), Step::of(1, 1), Step::of(2, 0), Step::same(2, 1), Step::dilated(1)];
    for step in steps {
        for (kernel, size) in [(3, shape(13, 10, 5)), (3, shape(8, 11, 16)), (2, shape(7, 9, 3))] {
            let values: Vec<_> = numbers.of(size.len()).iter().map(|value| value - 2.0).collect();
            let image = engine.constant(size, &values)?;
            let output = engine.max_pool(&image, kernel, step)?;
            record(engine, &mut made, format!("{kernel}, {step:?}, {size:?}"), &output)?;
        }
    }
    Ok(made)
}

#[test]
fn padding_never_wins_a_pool() -> Outcome {
    agree(pooling, pooling)
}

fn resizes<E: Engine>(engine: &mut E) -> EngineResult<Made> {
    let (mut numbers, mut made) = (Numbers(6), Made::new());
    for sampling in SAMPLINGS {
        for size in [(1, 1), (5, 7), (10, 14), (13, 3), (3, 29)] {
            for image in [shape(5, 7, 9), shape(1, 1, 4), shape(6, 1, 17)] {
                let image = numbers.image(engine, image)?;
                let output = engine.resize(&image, size, sampling)?;
                record(engine, &mut made, format!("{sampling:?} to {size:?}"), &output)?;
            }
        }
    }
    Ok(made)
}

#[test]
fn resizes_of_all_samplings() -> Outcome {
    agree(resizes, resizes)
}

fn arrangements<E: Engine>(engine: &mut E) -> EngineResult<Made> {
    let (mut numbers, mut made) = (Numbers(7), Made::new());
    let (a, b) = (numbers.image(engine, shape(5, 7, 3))?, numbers.image(engine, shape(5, 7, 8))?);
    let side_by_side = engine.concat(&[&a, &b, &a])?;
    record(engine, &mut made, "concat", &side_by_side)?;
    let c = numbers.image(engine, shape(2, 9, 3))?;
    let stacked = engine.stack(&[&a, &c])?;
    record(engine, &mut made, "stack", &stacked)?;
    let part = engine.part(&stacked, 4, shape(6, 5, 3))?;
    record(engine, &mut made, "part", &part)?;
    let part = engine.reshape(part, shape(3, 2, 15));
    record(engine, &mut made, "reshape", &part)?;
    // What was cut out and reshaped is a whole image to what follows.
    let layer = engine.make_conv(numbers.filter([4, 15, 3, 3]), Step::of(1, 1), Activation::None)?;
    let output = engine.conv(&layer, &part, None)?;
    record(engine, &mut made, "convolution of a part", &output)?;
    for size in [shape(5, 7, 3), shape(6, 4, 5), shape(1, 1, 2), shape(7, 2, 1)] {
        let image = numbers.image(engine, size)?;
        let merged = engine.merge_patches(&image)?;
        record(engine, &mut made, format!("merged patches of {size:?}"), &merged)?;
        for (window, shift) in [(3, 0), (3, 1), (4, 2), (7, 3), (2, 1)] {
            let windows = engine.windows(&image, window, shift)?;
            record(engine, &mut made, format!("windows of {window}, {shift}, {size:?}"), &windows)?;
            let shape = engine.shape(&windows);
            let others = numbers.image(engine, shape)?;
            let whole = engine.from_windows(&others, size, window, shift)?;
            record(engine, &mut made, format!("from windows of {window}, {shift}, {size:?}"), &whole)?;
            let back = engine.from_windows(&windows, size, window, shift)?;
            assert_eq!(engine.read(&back)?, engine.read(&image)?, "cut and put together");
        }
    }
    Ok(made)
}

#[test]
fn arrangements_of_pixels() -> Outcome {
    agree(arrangements, arrangements)
}

fn attentions<E: Engine>(engine: &mut E) -> EngineResult<Made> {
    let (mut numbers, mut made) = (Numbers(8), Made::new());
    for (batch, query_count, key_count, channels, heads) in
        [(1, 7, 11, 12, 3), (4, 25, 25, 32, 4), (3, 1, 5, 10, 1), (2, 100, 33, 24, 8), (1, 5, 1, 6, 2)]
    {
        let queries = numbers.image(engine, shape(batch, query_count, channels))?;
        let keys = numbers.image(engine, shape(batch, key_count, channels))?;
        let values = numbers.image(engine, shape(batch, key_count, channels))?;
        let bias = numbers.image(engine, shape(heads, query_count, key_count))?;
        let logits = numbers.image(engine, shape(1, key_count, query_count))?;
        let one_mask = engine.attention_mask(&logits)?;
        let mask = engine.read(&one_mask)?.repeat(batch);
        let mask = engine.constant(shape(batch, query_count, key_count), &mask)?;
        for (bias, mask) in [(None, None), (Some(&bias), None), (None, Some(&mask)), (Some(&bias), Some(&mask))] {
            let attention = Attention { queries: &queries, keys: &keys, values: &values, heads, bias, mask };
            let output = engine.attention(&attention)?;
            let name =
                format!("{batch} x {query_count} x {key_count}, {heads} heads, {} {}", bias.is_some(), mask.is_some());
            record(engine, &mut made, name, &output)?;
        }
    }
    Ok(made)
}

#[test]
fn attention_with_bias_and_mask() -> Outcome {
    agree(attentions, attentions)
}

fn masks<E: Engine>(engine: &mut E) -> EngineResult<Made> {
    let (mut numbers, mut made) = (Numbers(9), Made::new());
    let size = shape(3, 5, 7);
    let mut logits = numbers.of(size.len());
    // A query that sees nothing, one that sees all, and one that sees what is exactly 0.
    logits.chunks_exact_mut(7).enumerate().for_each(|(pixel, logits)| {
        logits[1] = -1.0 - logits[1].abs();
        logits[2] = logits[2].abs();
        logits[3] = if pixel == 4 { 0.0 } else { -1.0 };
    });
    let logits = engine.constant(size, &logits)?;
    let mask = engine.attention_mask(&logits)?;
    record(engine, &mut made, "mask", &mask)?;
    Ok(made)
}

#[test]
fn masks_from_logits() -> Outcome {
    agree(masks, masks)
}

fn products<E: Engine>(engine: &mut E) -> EngineResult<Made> {
    let (mut numbers, mut made) = (Numbers(10), Made::new());
    for (pixels, inner, columns) in [((3, 5), 7, 9), ((1, 1), 33, 2), ((1, 100), 16, 150)] {
        let a = numbers.image(engine, shape(pixels.0, pixels.1, inner))?;
        let b = numbers.image(engine, shape(1, inner, columns))?;
        let output = engine.matmul(&a, &b)?;
        record(engine, &mut made, "product", &output)?;
        let b = numbers.image(engine, shape(1, columns, inner))?;
        let output = engine.matmul_transposed(&a, &b)?;
        record(engine, &mut made, "product of the transposed", &output)?;
    }
    Ok(made)
}

#[test]
fn products_of_images() -> Outcome {
    agree(products, products)
}

fn deformable<E: Engine>(engine: &mut E) -> EngineResult<Made> {
    let (mut numbers, mut made) = (Numbers(11), Made::new());
    for (levels, heads, points, channels) in
        [(&[(3, 5), (6, 9), (1, 2)][..], 2, 4, 12), (&[(4, 4)], 1, 1, 5), (&[(2, 3), (5, 4)], 4, 3, 32)]
    {
        let tokens = levels.iter().map(|(height, width)| height * width).sum();
        let samples = heads * levels.len() * points;
        let values = numbers.image(engine, shape(1, tokens, channels))?;
        let weights = numbers.image(engine, shape(1, tokens, samples))?;
        // Some lie far outside, some exactly on pixels.
        let offsets: Vec<_> = numbers.of(tokens * samples * 2);
        let offsets: Vec<_> =
            offsets.iter().enumerate().map(|(i, x)| if i % 5 == 0 { (x * 4.0).round() } else { x * 4.0 }).collect();
        let offsets = engine.constant(shape(1, tokens, samples * 2), &offsets)?;
        let attention = Deformable { values: &values, levels, offsets: &offsets, weights: &weights, heads, points };
        let output = engine.deformable(&attention)?;
        record(engine, &mut made, format!("{levels:?}, {heads} heads, {points} points"), &output)?;
    }
    Ok(made)
}

#[test]
fn deformable_attention() -> Outcome {
    agree(deformable, deformable)
}

fn labels<E: Engine>(engine: &mut E) -> EngineResult<Made> {
    let (mut numbers, mut made) = (Numbers(12), Made::new());
    for sampling in SAMPLINGS {
        for kind in [Scores::Logits, Scores::Weights] {
            for (canvas, picture) in [((64, 48), (64, 48)), ((64, 64), (64, 37)), ((33, 65), (20, 65))] {
                for (classes, (width, height)) in [(5, (31, 23)), (21, (64, 48)), (150, (9, 70)), (1, (3, 3))] {
                    let size = shape(7, 9, classes);
                    let values: Vec<_> = numbers.of(size.len()).iter().map(|value| (value * 4.0).abs()).collect();
                    let scores = engine.constant(size, &values)?;
                    let (mut labels, mut confidence) = (vec![0; width * height], vec![0; width * height]);
                    let mut mask = MaskOutput { width, height, labels: &mut labels, confidence: Some(&mut confidence) };
                    engine.labels(&scores, kind, Placement { canvas, picture, sampling }, &mut mask)?;
                    let mut alone = vec![0; width * height];
                    let mut mask = MaskOutput { width, height, labels: &mut alone, confidence: None };
                    engine.labels(&scores, kind, Placement { canvas, picture, sampling }, &mut mask)?;
                    assert_eq!(labels, alone, "labels do not depend on whether confidence is wanted");
                    let name = format!("{classes} classes, {kind:?}, {sampling:?}, {canvas:?}, {picture:?}");
                    let values = labels.iter().chain(&confidence).map(|&value| f32::from(value)).collect();
                    made.push((name, shape(2 * height, width, 1), values));
                }
            }
        }
    }
    Ok(made)
}

/// What runs on a card in 16 bits runs; how much they lose is a question of the numbers alone.
#[test]
fn sixteen_bits_come_close() -> Outcome {
    for (dtype, most_error) in [(DType::F16, 0.005), (DType::BF16, 0.05)] {
        agree_in(dtype, most_error, convolutions, convolutions)?;
        agree_in(dtype, most_error, depthwise, depthwise)?;
        agree_in(dtype, most_error, joined_layers, joined_layers)?;
        agree_in(dtype, most_error, norms, norms)?;
        agree_in(dtype, most_error, elementwise, elementwise)?;
        agree_in(dtype, most_error, pooling, pooling)?;
        agree_in(dtype, most_error, resizes, resizes)?;
        agree_in(dtype, most_error, attentions, attentions)?;
        agree_in(dtype, most_error, masks, masks)?;
        agree_in(dtype, most_error, products, products)?;
        agree_in(dtype, most_error, deformable, deformable)?;
    }
    Ok(())
}

/// So does the CPU, with each set of instructions that it has for it.
#[test]
fn the_cpu_comes_close_in_bf16() -> Outcome {
    for level in Level::available() {
        for bf16 in Bf16::available(level) {
            for operations in [convolutions::<Cpu>, joined_layers, attentions, products] {
                let exact = operations(&mut Cpu::on(level, 2)?)?;
                assert_close(0.03, &exact, &operations(&mut Cpu::on(level, 2)?.with_bf16(bf16))?);
            }
        }
    }
    Ok(())
}

/// How far two engines' masks are apart: a label may differ where two classes are even, a share by its rounding.
#[test]
fn labels_and_confidence() -> Outcome {
    let ours = labels(&mut Cpu::new(2)?)?;
    let theirs = labels(&mut CandleEngine::new(Device::Cpu, DType::F32, 1)?)?;
    for ((name, shape, ours), (_, _, theirs)) in ours.iter().zip(&theirs) {
        let pixels = shape.pixels() / 2;
        let wrong = ours.iter().zip(theirs).take(pixels).filter(|(a, b)| a != b).count();
        let apart = ours.iter().zip(theirs).skip(pixels).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(wrong * 1000 <= pixels && apart <= 1.0, "{name}: {wrong} labels differ, shares by {apart}");
    }
    Ok(())
}
