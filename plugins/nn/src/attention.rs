//! Attention and deformable attention, one group of channels (a head) at a time.

use crate::activation::Activation;
use crate::gemm::{Grid, Panels, Rows, Segment, Single, Size, Start};
use crate::normalise::softmax_row;
use crate::parts::Parts;
use crate::pool::Pool;
use crate::simd::{Kernel, Level, Vector, load_up_to, store_up_to};

/// Scores that are computed before they are used: they stay in the second-level cache.
const SCORES_TOGETHER: usize = 96 * 1024;
/// Queries of a block; whole matrix tiles on all levels.
const QUERIES: usize = 24;

/// Sequences that attend: `batch x queries x channels` and `batch x keys x channels` values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequences<'a> {
    pub(crate) queries: &'a [f32],
    pub(crate) keys: &'a [f32],
    pub(crate) values: &'a [f32],
    pub(crate) batch: usize,
    pub(crate) query_count: usize,
    pub(crate) key_count: usize,
    pub(crate) channels: usize,
    pub(crate) heads: usize,
    /// `heads x queries x keys`.
    pub(crate) bias: Option<&'a [f32]>,
    /// `batch x queries x keys`.
    pub(crate) mask: Option<&'a [f32]>,
}

impl Sequences<'_> {
    fn check(&self, output: &[f32]) {
        let Self { batch, query_count, key_count, channels, heads, .. } = *self;
        assert!(channels.is_multiple_of(heads) && query_count > 0 && key_count > 0);
        assert_eq!(self.queries.len(), batch * query_count * channels);
        assert!(self.keys.len() == batch * key_count * channels && self.values.len() == self.keys.len());
        assert!(self.bias.is_none_or(|bias| bias.len() == heads * query_count * key_count));
        assert!(self.mask.is_none_or(|mask| mask.len() == batch * query_count * key_count));
        assert_eq!(output.len(), self.queries.len());
    }

    /// Queries whose scores are computed together.
    fn block(&self) -> usize {
        (SCORES_TOGETHER / self.key_count / QUERIES * QUERIES).clamp(QUERIES, 8 * QUERIES)
    }
}

/// `output = softmax(queries * keys / sqrt(group) + bias + mask) * values`.
pub(crate) fn attend(level: Level, pool: &mut Pool, sequences: Sequences<'_>, output: &mut [f32]) {
    sequences.check(output);
    let Sequences { batch, query_count, key_count, channels, heads, .. } = sequences;
    let depth = channels / heads;
    // Each unit packs its keys and values anew: no more units than keep the threads busy.
    let wanted = (3 * pool.threads()).div_ceil(batch * heads);
    let ranges = if pool.threads() == 1 { 1 } else { wanted.min(query_count.div_ceil(QUERIES)) };
    let lens = [
        keys_size(depth, key_count).panels_len::<Single>(level.lanes()),
        values_size(depth, key_count).panels_len::<Single>(level.lanes()),
        sequences.block() * key_count,
        sequences.block() * depth,
    ];
    let parts = Parts::new(output);
    pool.run(batch * heads * ranges, lens.iter().sum(), &|unit, scratch| {
        let (sequence, head, range) = (unit / ranges / heads, unit / ranges % heads, unit % ranges);
        let queries = (query_count * range / ranges, query_count * (range + 1) / ranges);
        level.run(Unit { sequences, sequence, head, queries, lens, scratch, output: &parts });
    });
}

/// The matrix that turns a query to scores.
const fn keys_size(depth: usize, key_count: usize) -> Size {
    Size { columns: key_count, runs: 1, run: depth }
}

/// The matrix that turns weights to a result.
const fn values_size(depth: usize, key_count: usize) -> Size {
    Size { columns: depth, runs: 1, run: key_count }
}

/// Some queries of one head of one sequence.
struct Unit<'a> {
    sequences: Sequences<'a>,
    sequence: usize,
    head: usize,
    queries: (usize, usize),
    /// Of packed keys, packed values, scores and results.
    lens: [usize; 4],
    scratch: &'a mut [f32],
    output: &'a Parts<f32>,
}

impl Kernel for Unit<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Sequences { query_count, key_count, channels, heads, .. } = self.sequences;
        let depth = channels / heads;
        let (packed_keys, rest) = self.scratch.split_at_mut(self.lens[0]);
        let (packed_values, rest) = rest.split_at_mut(self.lens[1]);
        let (scores, results) = rest.split_at_mut(self.lens[2]);
        let first = self.sequence * key_count * channels + self.head * depth;
        let (keys, values) = (&self.sequences.keys[first..], &self.sequences.values[first..]);
        let size = keys_size(depth, key_count);
        let keys = Panels::pack::<V>(Single, size, |key, k| keys[key * channels + k], packed_keys);
        let size = values_size(depth, key_count);
        let values = Panels::pack::<V>(Single, size, |column, key| values[key * channels + column], packed_values);
        for start in (self.queries.0..self.queries.1).step_by(self.sequences.block()) {
            let count = (self.queries.1 - start).min(self.sequences.block());
            let from = (self.sequence * query_count + start) * channels + self.head * depth;
            let scores = &mut scores[..count * key_count];
            multiply::<V>(keys, &self.sequences.queries[from..], channels, depth, count, scores);
            for (i, row) in scores.chunks_exact_mut(key_count).enumerate() {
                self.sequences.weigh::<V>(self.sequence, self.head, start + i, row);
            }
            let results = &mut results[..count * depth];
            multiply::<V>(values, scores, key_count, key_count, count, results);
            for (i, result) in results.chunks_exact(depth).enumerate() {
                let at = from + i * channels;
                // SAFETY: each head's part of each query is written by one unit alone.
                unsafe { self.output.slice(at, at + depth) }.copy_from_slice(result);
            }
        }
    }
}

/// `output = rows of input * weights`.
#[inline(always)]
fn multiply<V: Vector>(
    weights: Panels<'_>,
    input: &[f32],
    input_step: usize,
    depth: usize,
    count: usize,
    output: &mut [f32],
) {
    let rows = Rows {
        weights,
        activation: Activation::None,
        start: Start::Bias,
        input,
        segments: &[Segment { offset: 0, len: depth, weights: 0 }],
        grid: Grid::line(count, input_step),
        residual: None,
        output,
    };
    rows.compute::<V>();
}

impl Sequences<'_> {
    /// Scores of one query become weights.
    #[inline(always)]
    fn weigh<V: Vector>(&self, sequence: usize, head: usize, query: usize, row: &mut [f32]) {
        let len = self.key_count;
        let row_of = |table: Option<&'_ [f32]>, group: usize| {
            table.map(|table| table[(group * self.query_count + query) * len..][..len].as_ptr())
        };
        let (bias, mask) = (row_of(self.bias, head), row_of(self.mask, sequence));
        let factor = V::splat(1.0 / ((self.channels / self.heads) as f32).sqrt());
        for at in (0..len).step_by(V::LANES) {
            // SAFETY: at most `len - at` values from `at` on, of rows of `len`.
            unsafe {
                let mut score = load_up_to::<V>(row.as_ptr().add(at), len - at).mul(factor);
                for addend in [bias, mask].into_iter().flatten() {
                    score = score.add(load_up_to(addend.add(at), len - at));
                }
                store_up_to(score, row.as_mut_ptr().add(at), len - at);
            }
        }
        softmax_row::<V>(row);
    }
}

/// Tokens of several levels that sample each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampled<'a> {
    /// `tokens x channels`.
    pub(crate) values: &'a [f32],
    /// Height and width of each level.
    pub(crate) levels: &'a [(usize, usize)],
    /// `tokens x heads x levels x points x 2`.
    pub(crate) offsets: &'a [f32],
    /// `tokens x heads x levels x points`.
    pub(crate) weights: &'a [f32],
    pub(crate) channels: usize,
    pub(crate) heads: usize,
    pub(crate) points: usize,
}

/// `output[token] = sum of weight * value at (token's place + offset)`, for each head.
pub(crate) fn sample(level: Level, pool: &mut Pool, sampled: Sampled<'_>, output: &mut [f32]) {
    let Sampled { values, levels, offsets, weights, channels, heads, points } = sampled;
    let tokens: usize = levels.iter().map(|(height, width)| height * width).sum();
    let samples = heads * levels.len() * points;
    assert!(values.len() == tokens * channels && output.len() == values.len() && channels.is_multiple_of(heads));
    assert!(offsets.len() == tokens * samples * 2 && weights.len() == tokens * samples);
    pool.rows(output, tokens, channels * levels.len() * points * 8, samples, |first, output, scratch| {
        level.run(SampledTokens { sampled, first, scratch: &mut scratch[..samples], output });
    });
}

struct SampledTokens<'a> {
    sampled: Sampled<'a>,
    first: usize,
    scratch: &'a mut [f32],
    output: &'a mut [f32],
}

impl Kernel for SampledTokens<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Sampled { weights, channels, heads, .. } = self.sampled;
        let samples = self.scratch.len();
        for (i, output) in self.output.chunks_exact_mut(channels).enumerate() {
            let token = self.first + i;
            self.scratch.copy_from_slice(&weights[token * samples..][..samples]);
            for weights in self.scratch.chunks_exact_mut(samples / heads) {
                softmax_row::<V>(weights);
            }
            self.sampled.token::<V>(token, self.scratch, output);
        }
    }
}

impl Sampled<'_> {
    /// Where in its level token number `token` is, as (x, y) from 0 to 1.
    fn place(&self, mut token: usize) -> (f32, f32) {
        for &(height, width) in self.levels {
            if token < height * width {
                let (x, y) = (token % width, token / width);
                return ((x as f32 + 0.5) / width as f32, (y as f32 + 0.5) / height as f32);
            }
            token -= height * width;
        }
        (0.0, 0.0)
    }

    #[inline(always)]
    fn token<V: Vector>(&self, token: usize, weights: &[f32], output: &mut [f32]) {
        let place = self.place(token);
        let depth = self.channels / self.heads;
        let mut offsets = self.offsets[token * weights.len() * 2..].as_chunks::<2>().0.iter();
        let mut weights = weights.iter();
        output.fill(0.0);
        for (head, output) in output.chunks_exact_mut(depth).enumerate() {
            let mut first = 0;
            for &(height, width) in self.levels {
                let level = &self.values[first * self.channels..(first + height * width) * self.channels];
                for (&[x, y], weight) in offsets.by_ref().zip(weights.by_ref()).take(self.points) {
                    let x = place.0 * width as f32 + x - 0.5;
                    let y = place.1 * height as f32 + y - 0.5;
                    let values = &level[head * depth..];
                    add_sample::<V>(values, self.channels, (height, width), (x, y), *weight, output);
                }
                first += height * width;
            }
        }
    }
}

/// Adds the value at (x, y), interpolated between four pixels `step` apart, those outside being 0.
#[inline(always)]
fn add_sample<V: Vector>(
    values: &[f32],
    step: usize,
    (height, width): (usize, usize),
    (x, y): (f32, f32),
    weight: f32,
    output: &mut [f32],
) {
    // Also false for what is no number.
    if !(x > -1.0 && y > -1.0 && x < width as f32 && y < height as f32) {
        return;
    }
    let (left, top) = (x.floor(), y.floor());
    let (right_part, bottom_part) = (x - left, y - top);
    let corners = [
        (top, left, (1.0 - bottom_part) * (1.0 - right_part)),
        (top, left + 1.0, (1.0 - bottom_part) * right_part),
        (top + 1.0, left, bottom_part * (1.0 - right_part)),
        (top + 1.0, left + 1.0, bottom_part * right_part),
    ];
    for (y, x, part) in corners {
        if y < 0.0 || x < 0.0 || y >= height as f32 || x >= width as f32 {
            continue;
        }
        let pixel = &values[(y as usize * width + x as usize) * step..][..output.len()];
        let factor = V::splat(part * weight);
        for at in (0..output.len()).step_by(V::LANES) {
            let count = output.len() - at;
            // SAFETY: at most `count` values from `at` on, of slices of one length.
            unsafe {
                let sum: V = load_up_to(output.as_ptr().add(at), count);
                let value: V = load_up_to(pixel.as_ptr().add(at), count);
                store_up_to(value.mul_add(factor, sum), output.as_mut_ptr().add(at), count);
            }
        }
    }
}
