//! The values of parameters and input: README.md says the formula in words, `formula.py` computes it in Python.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

/// FNV-1a of 64 bits.
fn seed(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// A number from -1 to 1 for each index.
fn uniform(seed: u64, index: u64) -> f32 {
    let mut z = seed.wrapping_add((index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 40) as f32 / (1u32 << 24) as f32 * 2.0 - 1.0
}

fn centre_and_spread(name: &str, shape: &[usize], gain: f64) -> (f32, f32) {
    const VECTORS: [&str; 4] =
        ["queries_embedder.weight", "queries_features.weight", "level_embed.weight", "level_embed"];
    const QUIET: [&str; 2] = ["out_proj.weight", "fc2.weight"];
    let is_of_decoder = name.contains("transformer_module.decoder.layers.");
    let last = name.rsplit('.').next().unwrap_or(name);
    match last {
        "running_mean" => return (0.0, 0.1),
        "running_var" => return (1.0, 0.5),
        _ => {}
    }
    if shape.len() < 2 {
        return if last == "weight" { (1.0, 0.25) } else { (0.0, if is_of_decoder { 0.02 } else { 0.1 }) };
    }
    if VECTORS.iter().any(|ending| name.ends_with(ending)) {
        return (0.0, 3f64.sqrt() as f32);
    }
    let gain = match name {
        "class_predictor.weight" => 60.0,
        _ if is_of_decoder && QUIET.iter().any(|ending| name.ends_with(ending)) => 0.03,
        _ => gain,
    };
    let fan_in: usize = shape[1..].iter().product();
    (0.0, (gain / fan_in as f64).sqrt() as f32)
}

/// The values of one parameter.
fn parameter(name: &str, shape: &[usize], gain: f64) -> Vec<f32> {
    let (centre, spread) = centre_and_spread(name, shape, gain);
    let seed = seed(name);
    (0..shape.iter().product::<usize>() as u64).map(|i| centre + spread * uniform(seed, i)).collect()
}

/// Shape and values of each parameter, by name.
pub type Parameters = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// All parameters that the key list `keys` names.
pub fn parameters(keys: &str, gain: f64) -> Result<Parameters> {
    let of_formula = |(name, shape): (String, Vec<usize>)| {
        let values = parameter(&name, &shape, gain);
        (name, (shape, values))
    };
    Ok(read_keys(keys)?.into_iter().map(of_formula).collect())
}

/// Names and shapes of the parameters in a key list, integers aside.
fn read_keys(keys: &str) -> Result<Vec<(String, Vec<usize>)>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("keys").join(keys);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut parameters = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let [name, kind, shape] = line.split(' ').collect::<Vec<_>>()[..] else {
            anyhow::bail!("{}: {line:?} is not `name dtype shape`", path.display());
        };
        if kind == "f32" {
            let shape = shape.split('x').filter(|size| *size != "-").map(str::parse).collect::<Result<_, _>>()?;
            parameters.push((name.to_owned(), shape));
        }
    }
    Ok(parameters)
}

/// The input, already normalised: height x width x 3.
pub fn pixels(height: usize, width: usize) -> Vec<f32> {
    let (blocks, fine) = (seed("pixels"), seed("fine"));
    let mut values = Vec::with_capacity(height * width * 3);
    for (y, x, c) in (0..height * width * 3).map(|at| (at / 3 / width, at / 3 % width, at % 3)) {
        let at = |y: usize, x: usize| ((c * 1000 + y) * 1000 + x) as u64;
        values.push(2.0 * uniform(blocks, at(y / 8, x / 8)) + 0.5 * uniform(fine, at(y, x)));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_is_the_readmes() {
        let first = |name, shape: &[usize], gain| parameter(name, shape, gain)[..3].to_vec();
        assert_eq!(first("backbone.conv1.weight", &[64, 3, 7, 7], 3.0), [0.015_656_795, 0.083_448_79, 0.033_577_92]);
        assert_eq!(first("backbone.bn1.running_var", &[64], 3.0), [1.146_536_1, 0.612_981_2, 1.397_133_6]);
        assert_eq!(first("backbone.bn1.weight", &[64], 3.0), [1.003_116_6, 0.866_361_2, 0.949_424_86]);
        assert_eq!(first("class_predictor.weight", &[151, 256], 3.0), [-0.060_572_155, 0.378_880_98, -0.005_844_258_2]);
        let pixels = pixels(129, 161);
        assert_eq!(pixels[0], -0.226_909_82);
        assert_eq!(pixels[(9 * 161 + 17) * 3 + 1], 1.657_932_8);
    }
}
