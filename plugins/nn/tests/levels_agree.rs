//! Every kernel on every instruction set of this CPU computes what a plain loop over the definition computes,
//! for odd shapes, and with one thread as with two.

use segue_nn::{
    Activation, Axis, Conv2d, Deconv2x2, Depthwise, Expanded, GlobalMean, Level, Pointwise, PointwiseInput, Pool,
    Resize, Sampling, Shape, Window, activate, add, multiply, multiply_channels,
};

const ACTIVATIONS: [Activation; 7] = [
    Activation::None,
    Activation::Relu,
    Activation::Relu6,
    Activation::HardSwish,
    Activation::Sigmoid,
    Activation::HardSigmoid,
    Activation::Gelu,
];

/// Pseudo-random numbers from -`size` to `size`.
fn numbers(len: usize, seed: u32, size: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next() * size).collect()
}

fn plain(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Sigmoid => (1.0 / (1.0 + (-f64::from(x)).exp())) as f32,
        Activation::HardSigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Gelu => (f64::from(x) * normal_share(f64::from(x))) as f32,
    }
}

/// The share of a normal distribution below `x`, by Simpson's rule.
fn normal_share(x: f64) -> f64 {
    const STEPS: i32 = 2000;
    let (low, step) = (-12.0, (x + 12.0) / f64::from(STEPS));
    let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let weight = |i: i32| if i == 0 || i == STEPS { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
    (0..=STEPS).map(|i| weight(i) * density(low + f64::from(i) * step)).sum::<f64>() * step / 3.0
}

fn assert_close(what: &str, ours: &[f32], expected: &[f32]) {
    assert_eq!(ours.len(), expected.len(), "{what}");
    for (i, (a, b)) in ours.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 2e-5 * b.abs().max(1.0), "{what}: value {i} is {a}, expected {b}");
    }
}

/// Runs `compute` on all levels with one and with two threads, into an output of NaN.
fn on_all(what: &str, expected: &[f32], mut compute: impl FnMut(Level, &mut Pool, &mut [f32])) {
    for threads in [1, 2] {
        let mut pool = Pool::new(threads).expect("threads can be had");
        for level in Level::available() {
            let mut output = vec![f32::NAN; expected.len()];
            compute(level, &mut pool, &mut output);
            assert_close(&format!("{what}, {level:?}, {threads} threads"), &output, expected);
        }
    }
}

/// A convolution by its definition; `depthwise` takes one input channel per output channel.
fn plain_conv(window: Window, depthwise: bool, input: (&[f32], usize), weights: &[f32], bias: &[f32]) -> Vec<f32> {
    let ((input, channels), outputs) = (input, bias.len());
    let Window { rows, columns } = window;
    let mut result = Vec::new();
    for place in 0..rows.output * columns.output * outputs {
        let (y, x, o) = (place / outputs / columns.output, place / outputs % columns.output, place % outputs);
        let mut sum = bias[o];
        for tap in 0..rows.kernel * columns.kernel {
            let (ky, kx) = (tap / columns.kernel, tap % columns.kernel);
            let iy = (y * rows.stride + ky * rows.dilation) as isize - rows.before as isize;
            let ix = (x * columns.stride + kx * columns.dilation) as isize - columns.before as isize;
            if iy < 0 || ix < 0 || iy as usize >= rows.input || ix as usize >= columns.input {
                continue;
            }
            let pixel = &input[(iy as usize * columns.input + ix as usize) * channels..][..channels];
            if depthwise {
                sum += pixel[o] * weights[tap * outputs + o];
            } else {
                let filter = &weights[(o * rows.kernel * columns.kernel + tap) * channels..][..channels];
                sum += pixel.iter().zip(filter).map(|(p, w)| p * w).sum::<f32>();
            }
        }
        result.push(sum);
    }
    result
}

/// Windows of many sizes, strides, dilations and paddings over a `height` x `width` image.
fn windows(height: usize, width: usize) -> Vec<Window> {
    let mut windows = Vec::new();
    for (kernel, stride, dilation) in
        [(1, 1, 1), (3, 1, 1), (3, 2, 1), (5, 1, 1), (5, 2, 1), (3, 1, 2), (2, 2, 1), (4, 3, 1), (1, 2, 1), (3, 2, 3)]
            .into_iter()
            // Taps that lie in the padding for some pixels, or for all.
            .chain([(3, 1, 4), (3, 1, 12), (2, 1, 8)])
    {
        for axis in [Axis::same, Axis::valid] {
            let rows = axis(height, kernel, stride, dilation);
            let columns = axis(width, kernel, stride, dilation);
            if rows.output > 0 && columns.output > 0 {
                windows.push(Window { rows, columns });
            }
        }
    }
    windows
}

#[test]
fn dense_convolution_follows_its_definition() {
    for (height, width, inputs, outputs) in
        [(7, 9, 3, 16), (13, 11, 5, 17), (6, 20, 8, 40), (1, 1, 4, 3), (9, 31, 3, 24), (5, 30, 150, 20)]
    {
        for (i, window) in windows(height, width).into_iter().enumerate() {
            let activation = ACTIVATIONS[i % ACTIVATIONS.len()];
            let input = numbers(height * width * inputs, 1, 1.0);
            let weights =
                numbers(window.rows.kernel * window.columns.kernel * inputs * outputs, 2, 1.0 / (inputs as f32).sqrt());
            let bias = numbers(outputs, 3, 1.0);
            let expected = plain_conv(window, false, (&input, inputs), &weights, &bias);
            let expected: Vec<f32> = expected.into_iter().map(|x| plain(activation, x)).collect();
            on_all(&format!("{window:?} {inputs} to {outputs}"), &expected, |level, pool, output| {
                Conv2d::new(level, window, inputs, &weights, &bias, activation).run(pool, &input, output);
            });
        }
    }
}

#[test]
fn depthwise_convolution_follows_its_definition() {
    for (height, width, channels) in [(7, 9, 16), (13, 23, 24), (6, 20, 5), (1, 1, 33), (9, 8, 88), (36, 64, 16)] {
        for (i, window) in windows(height, width).into_iter().enumerate() {
            let activation = ACTIVATIONS[i % ACTIVATIONS.len()];
            let input = numbers(height * width * channels, 4, 1.0);
            let weights = numbers(window.rows.kernel * window.columns.kernel * channels, 5, 1.0);
            let bias = numbers(channels, 6, 1.0);
            let sums = plain_conv(window, true, (&input, channels), &weights, &bias);
            let residual = (i % 2 == 0).then(|| numbers(sums.len(), 7, 1.0));
            let added = |i: usize| residual.as_ref().map_or(0.0, |r| r[i]);
            let expected: Vec<f32> = sums.iter().enumerate().map(|(i, x)| plain(activation, *x) + added(i)).collect();
            on_all(&format!("{window:?} of {channels}"), &expected, |level, pool, output| {
                let conv = Depthwise::new(level, window, &weights, &bias, activation);
                conv.run(pool, &input, residual.as_deref(), output);
            });
        }
    }
}

#[test]
fn pointwise_convolution_gates_adds_and_keeps_residuals() {
    let shapes = [(1, 1, 16, 8), (5, 7, 24, 88), (16, 16, 128, 32), (3, 19, 5, 3), (64, 64, 16, 16), (9, 16, 33, 49)];
    for (i, (height, width, channels, outputs)) in shapes.into_iter().enumerate() {
        let shape = Shape { height, width, channels };
        let (image, other) = (numbers(shape.len(), 8, 1.0), numbers(shape.len(), 9, 1.0));
        let (factors, bias) = (numbers(channels, 10, 1.0), numbers(outputs, 11, 1.0));
        let (weights, rest) = (numbers(channels * outputs, 12, 0.3), numbers(shape.pixels() * outputs, 13, 1.0));
        let activation = ACTIVATIONS[i % ACTIVATIONS.len()];
        for (gated, summed, kept) in
            [(false, false, false), (true, false, true), (true, true, false), (false, false, true)]
        {
            let source = PointwiseInput {
                input: &image,
                gate: gated.then_some(&factors),
                addend: summed.then_some(&other),
                residual: kept.then_some(&rest),
            };
            let read = |at: usize| {
                let gate = if gated { factors[at % channels] } else { 1.0 };
                image[at] * gate + if summed { other[at] } else { 0.0 }
            };
            let expected: Vec<f32> = (0..shape.pixels() * outputs)
                .map(|at| {
                    let (pixel, column) = (at / outputs, at % outputs);
                    let sum: f32 =
                        (0..channels).map(|k| read(pixel * channels + k) * weights[column * channels + k]).sum();
                    plain(activation, sum + bias[column]) + if kept { rest[at] } else { 0.0 }
                })
                .collect();
            on_all(&format!("{shape:?} to {outputs}"), &expected, |level, pool, output| {
                Pointwise::new(level, shape, &weights, &bias, activation).run(pool, source, output);
            });
        }
    }
}

#[test]
fn transposed_convolution_deals_out_blocks() {
    for (height, width, channels, outputs) in [(3, 5, 16, 1), (8, 13, 7, 3), (1, 1, 2, 2), (64, 40, 16, 1)] {
        let shape = Shape { height, width, channels };
        let (input, bias) = (numbers(shape.len(), 14, 1.0), numbers(outputs, 15, 1.0));
        let weights = numbers(outputs * 4 * channels, 16, 1.0);
        let expected: Vec<f32> = (0..height * width * 4 * outputs)
            .map(|at| {
                let (y, x, o) = (at / outputs / (width * 2), at / outputs % (width * 2), at % outputs);
                let pixel = &input[(y / 2 * width + x / 2) * channels..][..channels];
                let filter = &weights[(o * 4 + y % 2 * 2 + x % 2) * channels..][..channels];
                plain(Activation::Sigmoid, pixel.iter().zip(filter).map(|(a, b)| a * b).sum::<f32>() + bias[o])
            })
            .collect();
        on_all(&format!("{shape:?} to {outputs}"), &expected, |level, pool, output| {
            Deconv2x2::new(level, shape, &weights, &bias, Activation::Sigmoid).run(pool, &input, output);
        });
    }
}

#[test]
fn elementwise_passes_follow_their_definitions() {
    for (height, width, channels) in [(1, 1, 1), (3, 5, 7), (16, 16, 24), (9, 64, 16), (2, 3, 100)] {
        let shape = Shape { height, width, channels };
        let (a, b) = (numbers(shape.len(), 17, 8.0), numbers(shape.len(), 18, 8.0));
        let gate = numbers(channels, 19, 1.0);
        for activation in ACTIVATIONS {
            let each = |f: &dyn Fn(usize) -> f32| (0..shape.len()).map(|i| plain(activation, f(i))).collect::<Vec<_>>();
            on_all("add", &each(&|i| a[i] + b[i]), |level, pool, out| add(level, pool, &a, &b, activation, out));
            on_all("multiply", &each(&|i| a[i] * b[i]), |level, pool, out| {
                multiply(level, pool, &a, &b, activation, out)
            });
            on_all("activate", &each(&|i| a[i]), |level, pool, out| activate(level, pool, &a, activation, out));
        }
        let expected: Vec<f32> = a.iter().enumerate().map(|(i, a)| a * gate[i % channels]).collect();
        on_all("gate", &expected, |level, pool, out| multiply_channels(level, pool, shape, &a, &gate, out));
    }
}

#[test]
fn global_mean_averages_one_image_or_the_sum_of_two() {
    for (height, width, channels) in [(1, 1, 1), (3, 5, 7), (16, 16, 24), (37, 64, 16), (2, 3, 100)] {
        let shape = Shape { height, width, channels };
        let (a, b) = (numbers(shape.len(), 20, 1.0), numbers(shape.len(), 21, 1.0));
        for addend in [None, Some(b.as_slice())] {
            let at = |i: usize| f64::from(a[i]) + addend.map_or(0.0, |b| f64::from(b[i]));
            let mean =
                |c: usize| (0..shape.pixels()).map(|p| at(p * channels + c)).sum::<f64>() / shape.pixels() as f64;
            let expected: Vec<f32> = (0..channels).map(|c| mean(c) as f32).collect();
            on_all("mean", &expected, |level, pool, out| GlobalMean::new(level, shape).run(pool, &a, addend, out));
        }
    }
}

#[test]
fn resize_samples_as_tflite_does() {
    let cases = [(4, 6, 8, 12), (5, 3, 7, 11), (1, 1, 4, 4), (16, 16, 32, 32), (9, 9, 4, 3), (2, 2, 1, 1)];
    for (height, width, to_height, to_width) in cases {
        for channels in [1, 5, 16, 24] {
            for sampling in [Sampling::HalfPixelCentres, Sampling::AlignedCorners, Sampling::TopLeft] {
                let input = numbers(height * width * channels, 22, 1.0);
                let expected: Vec<f32> = (0..to_height * to_width * channels)
                    .map(|at| {
                        let (y, x, c) = (at / channels / to_width, at / channels % to_width, at % channels);
                        let (y0, y1, fy) = plain_tap(sampling, height, to_height, y);
                        let (x0, x1, fx) = plain_tap(sampling, width, to_width, x);
                        let pixel = |y: usize, x: usize| input[(y * width + x) * channels + c];
                        let upper = pixel(y0, x0) * (1.0 - fx) + pixel(y0, x1) * fx;
                        let lower = pixel(y1, x0) * (1.0 - fx) + pixel(y1, x1) * fx;
                        upper * (1.0 - fy) + lower * fy
                    })
                    .collect();
                let shape = Shape { height, width, channels };
                on_all(&format!("{shape:?} {sampling:?}"), &expected, |level, pool, output| {
                    Resize::new(level, shape, to_height, to_width, sampling).run(pool, &input, output);
                });
            }
        }
    }
}

/// The taps of TFLite's reference kernel (`ComputeInterpolationValues`).
fn plain_tap(sampling: Sampling, input: usize, output: usize, at: usize) -> (usize, usize, f32) {
    let mut scale = input as f32 / output as f32;
    if sampling == Sampling::AlignedCorners && output > 1 {
        scale = (input - 1) as f32 / (output - 1) as f32;
    }
    let half = if sampling == Sampling::HalfPixelCentres { 0.5 } else { 0.0 };
    let place = (at as f32 + half) * scale - half;
    let low = place.floor().max(0.0);
    (low as usize, (place.ceil().max(0.0) as usize).min(input - 1), place - low)
}

#[test]
fn joined_layers_compute_what_they_compute_one_by_one() {
    let level = Level::portable();
    for (height, width, channels, kernel, stride) in
        [(16, 24, 16, 3, 1), (24, 17, 24, 3, 2), (9, 8, 5, 5, 1), (7, 40, 33, 5, 2)]
    {
        let shape = Shape { height, width, channels };
        let (image, other, gate) =
            (numbers(shape.len(), 23, 1.0), numbers(shape.len(), 24, 1.0), numbers(channels, 25, 1.0));
        let source = PointwiseInput { input: &image, gate: Some(&gate), addend: Some(&other), residual: None };
        let middle = channels + 3;
        let window =
            Window { rows: Axis::same(height, kernel, stride, 1), columns: Axis::same(width, kernel, stride, 1) };
        let expand = |level| {
            let weights = numbers(channels * middle, 26, 0.5);
            Pointwise::new(level, shape, &weights, &numbers(middle, 27, 1.0), Activation::HardSwish)
        };
        let depthwise = |level| {
            let weights = numbers(kernel * kernel * middle, 28, 0.5);
            Depthwise::new(level, window, &weights, &numbers(middle, 29, 1.0), Activation::Relu)
        };
        let deconv = |level| {
            let weights = numbers(4 * middle, 30, 0.5);
            Deconv2x2::new(level, depthwise(level).output(), &weights, &[0.1], Activation::Sigmoid)
        };
        let mut pool = Pool::new(1).expect("no thread is needed");
        let mut between = vec![0.0; expand(level).output().len()];
        expand(level).run(&mut pool, source, &mut between);
        let mut narrow = vec![0.0; depthwise(level).output().len()];
        let keeps_input = stride == 1;
        depthwise(level).run(&mut pool, &between, keeps_input.then_some(&between), &mut narrow);
        let mut plane = vec![0.0; deconv(level).output().len()];
        deconv(level).run(&mut pool, &narrow, &mut plane);
        let what = format!("{shape:?}, {kernel} by {stride}");
        on_all(&what, &narrow, |level, pool, output| {
            Expanded::new(expand(level), depthwise(level), keeps_input, None).run(pool, source, output);
        });
        on_all(&what, &plane, |level, pool, output| {
            let layers = Expanded::new(expand(level), depthwise(level), keeps_input, Some(deconv(level)));
            layers.run(pool, source, output);
        });
    }
}
