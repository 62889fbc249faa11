//! Attention and deformable attention, one group of channels (a head) at a time.

use std::marker::PhantomData;
use std::ops::Range;

use crate::activation::Activation;
use crate::gemm::{Arithmetic, Grid, Panels, Rows, Segment, Size, Source, Start};
use crate::normalise::{exponentials, softmax_row};
use crate::parts::Parts;
use crate::pool::Pool;
use crate::simd::{Kernel, Level, Vector, load_up_to, store_up_to};

/// Scores that are computed before they are used: they stay in the first-level cache, or near.
const SCORES_TOGETHER: usize = 16 * 1024;
/// Queries of a block; whole matrix tiles of all arithmetics.
const QUERIES: usize = 48;

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
        (SCORES_TOGETHER / self.key_count / QUERIES * QUERIES).clamp(QUERIES, 4 * QUERIES)
    }
}

/// `output = softmax(queries * keys / sqrt(group) + bias + mask) * values`.
pub(crate) fn attend<A: Arithmetic>(
    arithmetic: A,
    level: Level,
    pool: &mut Pool,
    sequences: Sequences<'_>,
    output: &mut [f32],
) {
    sequences.check(output);
    let Sequences { batch, query_count, channels, heads, .. } = sequences;
    // Each unit packs its keys and values anew: no more units than keep the threads busy.
    let wanted = (3 * pool.threads()).div_ceil(batch * heads);
    let ranges = if pool.threads() == 1 { 1 } else { wanted.min(query_count.div_ceil(QUERIES)) };
    let matrices = Matrices::<A>::of(level, &sequences);
    let parts = Parts::new(output);
    pool.run(batch * heads * ranges, matrices.scratch_len(), &|unit, scratch| {
        let (sequence, head, range) = (unit / ranges / heads, unit / ranges % heads, unit % ranges);
        let queries = query_count * range / ranges..query_count * (range + 1) / ranges;
        let place = Place { sequence, head, first: head * (channels / heads) };
        level.run(Unit { arithmetic, level, sequences, matrices, place, queries, scratch, output: &parts });
    });
}

/// What a unit computes with, and how long it is.
#[derive(Clone, Copy)]
struct Matrices<A> {
    /// The matrix that turns a query to scores.
    keys: Size,
    keys_len: usize,
    /// The matrix that turns weights to a result.
    values: Size,
    values_len: usize,
    /// Queries of a block.
    block: usize,
    arithmetic: PhantomData<A>,
}

impl<A: Arithmetic> Matrices<A> {
    fn of(level: Level, sequences: &Sequences<'_>) -> Self {
        let depth = sequences.channels / sequences.heads;
        let keys = Size { columns: sequences.key_count, runs: 1, run: depth };
        let values = Size { columns: depth, runs: 1, run: sequences.key_count };
        let [keys_len, values_len] = [keys, values].map(|size| size.panels_len::<A>(level.lanes()));
        Self { keys, keys_len, values, values_len, block: sequences.block(), arithmetic: PhantomData }
    }

    /// Scratch for packed matrices, in f32: numbers are no larger than that.
    const fn scratch_len(&self) -> usize {
        let Size { columns: key_count, run: depth, .. } = self.keys;
        let padded = key_count.next_multiple_of(A::RUN) + 2 * depth.next_multiple_of(A::RUN);
        self.keys_len + self.values_len + self.block * (key_count + padded)
    }
}

/// Where a unit's queries, keys and values are.
#[derive(Clone, Copy)]
struct Place {
    sequence: usize,
    head: usize,
    /// The head's first channel.
    first: usize,
}

/// Some queries of one head of one sequence.
struct Unit<'a, A: Arithmetic> {
    arithmetic: A,
    level: Level,
    sequences: Sequences<'a>,
    matrices: Matrices<A>,
    place: Place,
    queries: Range<usize>,
    scratch: &'a mut [f32],
    output: &'a Parts<f32>,
}

impl<A: Arithmetic> Kernel for Unit<'_, A> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { arithmetic, sequences, matrices, place, .. } = self;
        let Sequences { query_count, key_count, channels, .. } = sequences;
        let (depth, block) = (matrices.keys.run, matrices.block);
        let (packed_keys, rest) = self.scratch.split_at_mut(matrices.keys_len);
        let (packed_values, rest) = rest.split_at_mut(matrices.values_len);
        let (scores, rest) = rest.split_at_mut(block * key_count);
        let (weights, rest) = rest.split_at_mut(block * key_count.next_multiple_of(A::RUN));
        let (asked, results) = rest.split_at_mut(block * depth.next_multiple_of(A::RUN));
        let first = place.sequence * key_count * channels + place.first;
        let source = |values, by_output, factor| Source { values, step: channels, by_output, factor };
        let keys = source(&sequences.keys[first..], true, 1.0 / (depth as f32).sqrt());
        let keys = Panels::pack(arithmetic, self.level, matrices.keys, keys, A::numbers(packed_keys));
        let values = source(&sequences.values[first..], false, 1.0);
        let values = Panels::pack(arithmetic, self.level, matrices.values, values, A::numbers(packed_values));
        for start in self.queries.clone().step_by(block) {
            let count = (self.queries.end - start).min(block);
            let from = (place.sequence * query_count + start) * channels + place.first;
            let scores = &mut scores[..count * key_count];
            let queries = arithmetic.convert_rows(&sequences.queries[from..], channels, depth, count, asked);
            multiply::<V, A>(keys, queries, count, scores);
            let mut sums = [0.0; 4 * QUERIES];
            for (i, (row, sum)) in scores.chunks_exact_mut(key_count).zip(&mut sums).enumerate() {
                *sum = sequences.weigh::<V>(place, start + i, row);
            }
            let weights = arithmetic.convert_rows(scores, key_count, key_count, count, weights);
            let results = &mut results[..count * depth];
            multiply::<V, A>(values, weights, count, results);
            for (i, (result, sum)) in results.chunks_exact(depth).zip(sums).enumerate() {
                let at = from + i * channels;
                // SAFETY: each head's part of each query is written by one unit alone.
                let output = unsafe { self.output.slice(at, at + depth) };
                scale::<V>(result, 1.0 / sum, output);
            }
        }
    }
}

/// `output = input * factor`.
#[inline(always)]
fn scale<V: Vector>(input: &[f32], factor: f32, output: &mut [f32]) {
    let len = output.len();
    assert_eq!(input.len(), len);
    for at in (0..len).step_by(V::LANES) {
        // SAFETY: at most `len - at` values from `at` on, of slices of length `len`.
        unsafe {
            let value: V = load_up_to(input.as_ptr().add(at), len - at);
            store_up_to(value.mul(V::splat(factor)), output.as_mut_ptr().add(at), len - at);
        }
    }
}

/// `output = rows of input * weights`; from a row to the next are `step` numbers.
#[inline(always)]
fn multiply<V: Vector, A: Arithmetic>(
    weights: Panels<'_, A>,
    (input, step): (&[A::Number], usize),
    count: usize,
    output: &mut [f32],
) {
    let rows = Rows {
        weights,
        activation: Activation::None,
        start: Start::Bias,
        input,
        segments: &[Segment { offset: 0, len: weights.depth(), weights: 0 }],
        grid: Grid::line(count, step),
        residual: None,
        output,
    };
    rows.compute::<V>();
}

impl Sequences<'_> {
    /// Scores of one query become weights, of which the sum is returned.
    #[inline(always)]
    fn weigh<V: Vector>(&self, place: Place, query: usize, row: &mut [f32]) -> f32 {
        let len = self.key_count;
        let row_of = |table: Option<&'_ [f32]>, group: usize| {
            table.map(|table| table[(group * self.query_count + query) * len..][..len].as_ptr())
        };
        let (bias, mask) = (row_of(self.bias, place.head), row_of(self.mask, place.sequence));
        if bias.is_some() || mask.is_some() {
            for at in (0..len).step_by(V::LANES) {
                // SAFETY: at most `len - at` values from `at` on, of rows of `len`.
                unsafe {
                    let mut score: V = load_up_to(row.as_ptr().add(at), len - at);
                    for addend in [bias, mask].into_iter().flatten() {
                        score = score.add(load_up_to(addend.add(at), len - at));
                    }
                    store_up_to(score, row.as_mut_ptr().add(at), len - at);
                }
            }
        }
        exponentials::<V>(row)
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
