//! Attention computes what its definition says, and what is masked does not count at all.

use segue_nn::{Attention, Cpu, Engine, Level, Shape};

const QUERIES: usize = 5;
const KEYS: usize = 43;
const CHANNELS: usize = 12;
const HEADS: usize = 2;

/// Numbers from -1 to 1 that look random.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Each third key, a different one for each query; the last query sees all, as it would see none.
fn is_open(query: usize, key: usize) -> bool {
    query + 1 == QUERIES || (query + key).is_multiple_of(3)
}

/// The definition, over those keys alone that a query sees.
fn plain(queries: &[f32], keys: &[f32], values: &[f32]) -> Vec<f32> {
    let depth = CHANNELS / HEADS;
    let mut output = vec![0.0; QUERIES * CHANNELS];
    for (query, head) in (0..QUERIES * HEADS).map(|i| (i / HEADS, i % HEADS)) {
        let first = query * CHANNELS + head * depth;
        let score = |key: usize| {
            let products = (0..depth).map(|k| queries[first + k] * keys[key * CHANNELS + head * depth + k]);
            (products.sum::<f32>() / (depth as f32).sqrt()).exp()
        };
        let seen: Vec<_> = (0..KEYS).filter(|key| is_open(query, *key)).map(|key| (key, score(key))).collect();
        let sum: f32 = seen.iter().map(|(_, weight)| weight).sum();
        for k in 0..depth {
            let parts = seen.iter().map(|(key, weight)| weight * values[key * CHANNELS + head * depth + k]);
            output[first + k] = parts.sum::<f32>() / sum;
        }
    }
    output
}

#[test]
fn what_is_masked_does_not_count_at_all() {
    let sequence = |width| Shape { height: 1, width, channels: CHANNELS };
    let (queries, keys) = (numbers(QUERIES * CHANNELS, 1), numbers(KEYS * CHANNELS, 2));
    // Values so large that the least weight of theirs would be seen.
    let mut values = numbers(KEYS * CHANNELS, 3);
    values[CHANNELS..2 * CHANNELS].fill(1e37);
    let expected = plain(&queries, &keys, &values);
    let logits = (0..KEYS * QUERIES).map(|at| (at % QUERIES, at / QUERIES));
    let logits: Vec<f32> =
        logits.map(|(query, key)| if query + 1 < QUERIES && is_open(query, key) { 0.0 } else { -1.0 }).collect();
    for level in Level::available() {
        let mut engine = Cpu::on(level, 2).expect("threads can be had");
        let constant = |shape, values: &[f32]| engine.constant(shape, values).expect("memory can be had");
        let (queries, keys) = (constant(sequence(QUERIES), &queries), constant(sequence(KEYS), &keys));
        let values = constant(sequence(KEYS), &values);
        let logits = constant(Shape { height: KEYS, width: 1, channels: QUERIES }, &logits);
        let mask = engine.attention_mask(&logits).expect("memory can be had");
        let attention =
            Attention { queries: &queries, keys: &keys, values: &values, heads: HEADS, bias: None, mask: Some(&mask) };
        let output = engine.attention(&attention).expect("memory can be had");
        let output = engine.read(&output).expect("memory can be had");
        for (at, (ours, expected)) in output.iter().zip(&expected).enumerate() {
            let error = (ours - expected).abs() / expected.abs().max(1.0);
            assert!(error < 1e-5, "{level:?}, value {at}: {ours} in place of {expected}");
        }
    }
}
