//! Sine and cosine of where a pixel is, for the pixel decoder and the decoder.

use std::f64::consts::TAU;

/// The base of the wavelengths.
const TEMPERATURE: f64 = 10_000.0;
/// What the reference adds to a height or width before it divides by it.
const EPSILON: f64 = 1e-6;

/// Positions of all pixels of all levels, each with its level's row of `embeddings`: `pixels x channels`.
pub(crate) fn of_levels(levels: &[(usize, usize)], embeddings: &[f32], channels: usize) -> Vec<f32> {
    let mut values = Vec::new();
    for (&(height, width), embedding) in levels.iter().zip(embeddings.chunks_exact(channels)) {
        let rows: Vec<_> = (0..height).map(|y| of_axis(y, height, channels / 2)).collect();
        let columns: Vec<_> = (0..width).map(|x| of_axis(x, width, channels / 2)).collect();
        for (row, column) in rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column))) {
            values.extend(row.iter().chain(column).zip(embedding).map(|(position, of_level)| position + of_level));
        }
    }
    values
}

/// Position `at` of `len`: a sine and a cosine for each wavelength.
fn of_axis(at: usize, len: usize, features: usize) -> Vec<f32> {
    let place = (at + 1) as f64 / (len as f64 + EPSILON) * TAU;
    let feature = |i: usize| {
        let angle = place / TEMPERATURE.powf((2 * (i / 2)) as f64 / features as f64);
        if i.is_multiple_of(2) { angle.sin() as f32 } else { angle.cos() as f32 }
    };
    (0..features).map(feature).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_first_and_levels_are_added() {
        let values = of_levels(&[(1, 1), (2, 1)], &[0.0, 0.0, 0.0, 0.0, 10.0, 10.0, 10.0, 10.0], 4);
        let expected = [
            [0.0, 1.0, 0.0, 1.0],
            [10.0, 9.0, 10.0, 11.0], // halfway down
            [10.0, 11.0, 10.0, 11.0],
        ];
        for (value, expected) in values.iter().zip(expected.as_flattened()) {
            assert!((value - expected).abs() < 1e-5, "{values:?}");
        }
    }
}
