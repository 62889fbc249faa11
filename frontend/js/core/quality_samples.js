/**
 * @import { PartMicros } from './stage_times.js'
 *
 * @typedef {object} PaintedParts
 * @property {number} capturedAt
 * @property {number} paintedAt
 * @property {PartMicros} partMicros
 * @property {number | null} roundTripMicros Of a small message, at its best; null where it is not known.
 *
 * @typedef {object} Sample
 * @property {number} at
 * @property {number} latency
 * @property {number} elastic What shrinks with the frame's bytes.
 * @property {number} model
 * @property {number} queue
 * @property {number} distance The way to the server and back, for a message without size.
 * @property {number} page
 *
 * @typedef {Omit<Sample, 'at'> & { count: number, high: number }} Summary Medians, and of the latency a high quantile. Milliseconds.
 */

const SPAN_MICROS = 2_000_000;
const LEAST_KEPT = 10;
const MOST_KEPT = 90;
const STALE_MICROS = 10_000_000;

/** What was measured under one setting: the last two seconds, or a few frames where they are rare. */
export class QualitySamples {
  /** @type {Sample[]} */
  #samples = [];

  /** @param {PaintedParts} frame */
  add({ capturedAt, paintedAt, partMicros, roundTripMicros }) {
    const { capture, up, queue, decode, model, down, paint } = partMicros;
    const distance = Math.min(up + down, roundTripMicros ?? 0);
    const elastic = up + down - distance + capture + decode;
    this.#samples.push({ at: paintedAt, latency: paintedAt - capturedAt, elastic, model, queue, distance, page: paint });
    this.#forget(paintedAt);
  }

  clear() {
    this.#samples = [];
  }

  /** @returns {Summary | null} Null before the first sample. */
  get summary() {
    if (this.#samples.length === 0) return null;
    /** @param {keyof Sample} key */
    const median = (key) => quantile(this.#samples.map((sample) => sample[key]), 0.5) / 1000;
    return {
      count: this.#samples.length,
      high: quantile(this.#samples.map(({ latency }) => latency), 0.9) / 1000,
      latency: median('latency'),
      elastic: median('elastic'),
      model: median('model'),
      queue: median('queue'),
      distance: median('distance'),
      page: median('page'),
    };
  }

  /** @param {number} now */
  #forget(now) {
    const firstOfLeast = this.#samples.length - LEAST_KEPT;
    const firstOfMost = this.#samples.length - MOST_KEPT;
    this.#samples = this.#samples.filter(({ at }, position) => {
      const age = now - at;
      return position >= firstOfMost && (age < SPAN_MICROS || (position >= firstOfLeast && age < STALE_MICROS));
    });
  }
}

/**
 * @param {number[]} values
 * @param {number} share The largest of few values never counts: one hiccup is no evidence.
 */
function quantile(values, share) {
  const sorted = values.sort((a, b) => a - b);
  return sorted[Math.max(0, Math.min(Math.floor(share * sorted.length), sorted.length - 2))];
}
