//! What happens to a frame before and after the network: preprocessing and label upsampling.

use segue_nn::{
    LabelUpsampler, Layout, Level, MaskOutput, Normalisation, Placement, PlaneLabeller, Pool, Preprocessor, RgbFrame,
    Sampling, Scores, Shape,
};

fn bytes(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn on_all(mut compute: impl FnMut(Level, &mut Pool)) {
    for threads in [1, 2] {
        let mut pool = Pool::new(threads).expect("threads can be had");
        Level::available().into_iter().for_each(|level| compute(level, &mut pool));
    }
}

fn plain_tap(input: usize, output: usize, at: usize) -> (usize, usize, f64) {
    let place = ((at as f64 + 0.5) * input as f64 / output as f64 - 0.5).clamp(0.0, (input - 1) as f64);
    (place as usize, (place as usize + 1).min(input - 1), place.fract())
}

#[test]
fn labels_and_confidences_follow_the_interpolated_probability() {
    let sizes = [((1, 1), (1, 1)), ((4, 3), (17, 9)), ((16, 16), (5, 40)), ((256, 144), (640, 360)), ((3, 3), (1, 2))];
    for ((w, h), (width, height)) in sizes {
        let plane: Vec<f32> = bytes(w * h).iter().map(|&b| f32::from(b) / 255.0).collect();
        on_all(|level, pool| {
            let (mut labels, mut confidences) = (vec![9; width * height], vec![9; width * height]);
            LabelUpsampler::new(level).run(pool, &plane, (w, h), (width, height), &mut labels, &mut confidences);
            for at in 0..width * height {
                let (y0, y1, fy) = plain_tap(h, height, at / width);
                let (x0, x1, fx) = plain_tap(w, width, at % width);
                let row = |y: usize| f64::from(plane[y * w + x0]) * (1.0 - fx) + f64::from(plane[y * w + x1]) * fx;
                let p = row(y0) * (1.0 - fy) + row(y1) * fy;
                let confidence = p.max(1.0 - p) * 255.0;
                assert!((f64::from(confidences[at]) - confidence).abs() <= 0.51, "{level:?} pixel {at}");
                assert!((p - 0.5).abs() < 1e-5 || labels[at] == u8::from(p >= 0.5), "{level:?} pixel {at}");
            }
        });
    }
}

#[test]
fn one_half_is_a_person_and_certainty_is_255() {
    on_all(|level, pool| {
        let (mut labels, mut confidences) = ([9; 3], [9; 3]);
        LabelUpsampler::new(level).run(pool, &[0.5, 1.0, 0.0], (3, 1), (3, 1), &mut labels, &mut confidences);
        assert_eq!((labels, confidences), ([1, 1, 0], [128, 255, 255]));
    });
}

#[test]
fn an_upsampler_follows_changes_of_size() {
    on_all(|level, pool| {
        let mut upsampler = LabelUpsampler::new(level);
        for (width, height) in [(8, 8), (4096, 2), (1, 1), (2, 4096), (8, 8)] {
            let (mut labels, mut confidences) = (vec![9; width * height], vec![9; width * height]);
            upsampler.run(pool, &[0.9; 4], (2, 2), (width, height), &mut labels, &mut confidences);
            assert!(labels.iter().all(|&label| label == 1) && confidences.iter().all(|&c| c == 230 || c == 229));
        }
    });
}

/// The weights of the widened triangle, by its definition.
fn plain_weights(input: usize, output: usize, at: usize) -> Vec<f64> {
    let scale = input as f64 / output as f64;
    let (centre, support) = ((at as f64 + 0.5) * scale, scale.max(1.0));
    let weights: Vec<f64> = (0..input).map(|i| (1.0 - ((i as f64 + 0.5 - centre) / support).abs()).max(0.0)).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

#[test]
fn preprocessing_resizes_without_aliasing_and_normalises() {
    let normalisation = Normalisation { mean: [0.1, 0.2, 0.3], scale: [2.0, 1.0, 0.5] };
    for ((w, h), (width, height)) in
        [((1, 1), (4, 4)), ((37, 23), (16, 9)), ((8, 6), (16, 16)), ((64, 48), (5, 50)), ((5, 5), (5, 5))]
    {
        let stride = w * 3 + 5;
        let frame = bytes(stride * h);
        let (columns, rows): (Vec<_>, Vec<_>) = (
            (0..width).map(|x| plain_weights(w, width, x)).collect(),
            (0..height).map(|y| plain_weights(h, height, y)).collect(),
        );
        on_all(|level, pool| {
            let mut output = vec![f32::NAN; width * height * 3];
            let source = RgbFrame { bytes: &frame[..stride * (h - 1) + w * 3], width: w, height: h, stride };
            Preprocessor::new(level, normalisation).run(pool, source, Layout::whole((width, height)), &mut output);
            for (at, value) in output.iter().enumerate() {
                let (y, x, c) = (at / 3 / width, at / 3 % width, at % 3);
                let mut sum = 0.0;
                for (iy, down) in rows[y].iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                    for (ix, along) in columns[x].iter().enumerate() {
                        sum += f64::from(frame[iy * stride + ix * 3 + c]) * down * along;
                    }
                }
                let expected = (sum / 255.0 - f64::from(normalisation.mean[c])) * f64::from(normalisation.scale[c]);
                assert!((f64::from(*value) - expected).abs() < 1e-5, "{level:?} value {at}: {value}, {expected}");
            }
        });
    }
}

#[test]
fn planes_of_scores_are_enlarged_before_they_are_compared() {
    let shape = Shape { height: 5, width: 7, channels: 3 };
    let (canvas, picture, size) = ((28, 20), (25, 13), (43, 19));
    let planes: Vec<f32> = (0..shape.len()).map(|i| ((i * 37 + i / 5 * 11) % 101) as f32 / 20.0).collect();
    for level in Level::available() {
        for scores in [Scores::Logits, Scores::Weights] {
            let (mut labels, mut confidence) = (vec![9; size.0 * size.1], vec![9; size.0 * size.1]);
            let mut mask =
                MaskOutput { width: size.0, height: size.1, labels: &mut labels, confidence: Some(&mut confidence) };
            let placement = Placement { canvas, picture, sampling: Sampling::HalfPixelCentres };
            let mut pool = Pool::new(2).unwrap();
            PlaneLabeller::new(level).run(&mut pool, &planes, shape, scores, placement, &mut mask);
            for (at, (label, share)) in labels.iter().zip(&confidence).enumerate() {
                let (x, y) = (at % size.0, at / size.0);
                let place = |i: usize, part: usize, output: usize, canvas: usize, input: usize| {
                    let on_canvas = (i as f32 + 0.5) * part as f32 / output as f32;
                    (on_canvas * input as f32 / canvas as f32 - 0.5).clamp(0.0, (input - 1) as f32)
                };
                let (x, y) = (place(x, picture.0, size.0, canvas.0, 7), place(y, picture.1, size.1, canvas.1, 5));
                let value = |class: usize| {
                    let at = |x: usize, y: usize| planes[(class * 5 + y.min(4)) * 7 + x.min(6)];
                    let (left, top) = (x as usize, y as usize);
                    let row = |y| at(left, y) + (at(left + 1, y) - at(left, y)) * (x - left as f32);
                    row(top) + (row(top + 1) - row(top)) * (y - top as f32)
                };
                let values = [value(0), value(1), value(2)];
                let most = values.into_iter().fold(f32::MIN, f32::max);
                assert!(values[usize::from(*label)] >= most - 1e-4, "{level:?}, pixel {at}: {values:?}, {label}");
                let expected = match scores {
                    Scores::Logits => 255.0 / values.iter().map(|value| (value - most).exp()).sum::<f32>(),
                    Scores::Weights => 255.0 * most / values.iter().sum::<f32>(),
                };
                assert!((f32::from(*share) - expected).abs() < 0.6, "{level:?}, pixel {at}: {expected}, {share}");
            }
        }
    }
}
