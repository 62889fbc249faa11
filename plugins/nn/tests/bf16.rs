//! Convolutions in bf16 compute, with every set of instructions that this CPU has for it, what their definition says
//! for inputs and weights rounded to bf16.

use half::bf16;
use segue_nn::{Activation, Bf16, Cpu, Engine, EngineResult, Filter, Level, Padding, Shape, Step};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Pseudo-random numbers from -1 to 1.
fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn rounded(value: f32) -> f64 {
    bf16::from_f32(value).to_f64()
}

/// The convolution of rounded numbers, by its definition.
fn plain(filter: &Filter, step: Step, shape: Shape, input: &[f32]) -> (Shape, Vec<f64>) {
    let [outputs, inputs, kernel_rows, kernel_columns] = filter.shape;
    let window = step.window([kernel_rows, kernel_columns], shape);
    let size = window.output(outputs);
    let mut result = Vec::new();
    for at in 0..size.len() {
        let (y, x, output) = (at / outputs / size.width, at / outputs % size.width, at % outputs);
        let mut sum = f64::from(filter.bias[output]);
        for tap in 0..kernel_rows * kernel_columns {
            let row = (y * step.stride + tap / kernel_columns * step.dilation).checked_sub(window.rows.before);
            let column = (x * step.stride + tap % kernel_columns * step.dilation).checked_sub(window.columns.before);
            let (Some(row), Some(column)) = (row, column) else { continue };
            if row < shape.height && column < shape.width {
                let pixel = &input[(row * shape.width + column) * inputs..][..inputs];
                let weight = |k: usize| filter.weights[(output * inputs + k) * kernel_rows * kernel_columns + tap];
                sum += pixel.iter().enumerate().map(|(k, value)| rounded(*value) * rounded(weight(k))).sum::<f64>();
            }
        }
        result.push(sum);
    }
    (size, result)
}

/// Runs a convolution after one whose memory held no numbers.
fn convolve(mut engine: Cpu, filter: &Filter, step: Step, shape: Shape, input: &[f32]) -> EngineResult<[Vec<f32>; 2]> {
    for _ in 0..2 {
        let image = engine.input(Shape { height: 64, width: 64, channels: 32 }, |_, values| values.fill(f32::NAN))?;
        let layer =
            engine.make_conv(Filter::new([8, 32, 3, 3], numbers(8 * 32 * 9, 1)), Step::of(1, 1), Activation::None)?;
        engine.conv(&layer, &image, None)?;
    }
    let layer = engine.make_conv(filter.clone(), step, Activation::Relu)?;
    let image = engine.input(shape, |_, values| values.copy_from_slice(input))?;
    let output = engine.conv(&layer, &image, None)?;
    let values = numbers(engine.shape(&output).len(), 5);
    let residual = engine.input(engine.shape(&output), |_, residual| residual.copy_from_slice(&values))?;
    let kept = engine.conv(&layer, &image, Some(&residual))?;
    Ok([engine.read(&output)?, engine.read(&kept)?])
}

const STEPS: [Step; 8] = [
    Step::ONE,
    Step::of(1, 1),
    Step::of(2, 1),
    Step::of(2, 0),
    Step::dilated(2),
    Step::dilated(9),
    Step::same(2, 1),
    Step { stride: 2, dilation: 2, padding: Padding::Zeros(2) },
];

#[test]
fn convolutions_multiply_rounded_numbers() -> Outcome {
    let layers = [
        ([1, 1], 9, 7, (13, 10)),
        ([1, 1], 64, 40, (1, 1)),
        ([1, 1], 33, 70, (7, 31)),
        ([3, 3], 8, 19, (13, 40)),
        ([3, 3], 40, 33, (5, 17)),
        ([2, 5], 9, 16, (9, 20)),
        ([7, 7], 11, 16, (9, 40)),
    ];
    for ((kernel, inputs, outputs, (height, width)), step) in
        layers.into_iter().flat_map(|layer| STEPS.map(|step| (layer, step)))
    {
        let window = step.window(kernel, Shape { height, width, channels: inputs });
        if window.rows.output == 0 || window.columns.output == 0 {
            continue;
        }
        let filter =
            Filter::new([outputs, inputs, kernel[0], kernel[1]], numbers(outputs * inputs * kernel[0] * kernel[1], 2))
                .with_bias(numbers(outputs, 3));
        let shape = Shape { height, width, channels: inputs };
        let input = numbers(shape.len(), 4);
        let (size, expected) = plain(&filter, step, shape, &input);
        let residual = numbers(size.len(), 5);
        for level in Level::available() {
            for products in Bf16::available(level) {
                let engine = Cpu::on(level, 2)?.with_bf16(products);
                let [output, kept] = convolve(engine, &filter, step, shape, &input)?;
                let what = format!("{kernel:?} of {shape:?} to {outputs}, {step:?}, {level:?}, {products:?}");
                assert_eq!((output.len(), kept.len()), (expected.len(), expected.len()), "{what}");
                for (at, sum) in expected.iter().enumerate() {
                    let most = 1e-4 * sum.abs().max(1.0);
                    let (alone, with) = (sum.max(0.0), (sum + f64::from(residual[at])).max(0.0));
                    assert!(
                        (f64::from(output[at]) - alone).abs() < most,
                        "{what}: {at} is {}, not {alone}",
                        output[at]
                    );
                    assert!((f64::from(kept[at]) - with).abs() < most, "{what}: {at} is {}, not {with}", kept[at]);
                }
            }
        }
    }
    Ok(())
}
