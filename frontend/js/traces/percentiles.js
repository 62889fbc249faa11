/**
 * How long stages take, in percentiles, and what a new generation changed of that.
 *
 * @import { Trace } from '../core/traces.js'
 *
 * @typedef {[number, number, number]} Percentiles p50, p95 and p99 in microseconds.
 * @typedef {Map<string, Percentiles>} Breakdown By stage; `total` is the whole way.
 *
 * @typedef {object} Comparison
 * @property {string} stage
 * @property {Percentiles | null} before Null where no frame went through it.
 * @property {Percentiles | null} after
 * @property {Percentiles | null} difference Null where one of them is.
 */

import { STAGE_ORDER } from './stages.js';

export const TOTAL = 'total';
const SHARES = [0.5, 0.95, 0.99];

/**
 * The nearest rank: always a value that was measured.
 *
 * @param {readonly number[] | Float64Array} sorted Ascending, not empty.
 * @param {number} share 0 to 1.
 */
export function percentileOf(sorted, share) {
  return sorted[Math.max(0, Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1))];
}

/**
 * Of answered frames: one that was dropped did not go the whole way.
 *
 * @param {Trace[]} traces
 * @returns {{ frames: number, breakdown: Breakdown }}
 */
export function breakDown(traces) {
  const answered = traces.filter((trace) => trace.outcome === 'answered');
  /** @type {Map<string, number[]>} */
  const values = new Map([[TOTAL, []]]);
  for (const { totalMicros, stages } of answered) {
    values.get(TOTAL)?.push(totalMicros);
    for (const { name, durationMicros } of stages) {
      const known = values.get(name);
      if (known) known.push(durationMicros);
      else values.set(name, [durationMicros]);
    }
  }
  /** @type {Breakdown} */
  const breakdown = new Map();
  for (const [stage, durations] of values) {
    if (durations.length === 0) continue;
    const sorted = Float64Array.from(durations).sort();
    breakdown.set(stage, /** @type {Percentiles} */ (SHARES.map((share) => percentileOf(sorted, share))));
  }
  return { frames: answered.length, breakdown };
}

/**
 * @param {Breakdown} before
 * @param {Breakdown} after
 * @returns {Comparison[]} The whole way first, then the stages in their order.
 */
export function compare(before, after) {
  const known = [TOTAL, ...STAGE_ORDER];
  const stages = [...new Set([...before.keys(), ...after.keys()])].sort((a, b) => rank(known, a) - rank(known, b));
  return stages.map((stage) => {
    const old = before.get(stage) ?? null;
    const young = after.get(stage) ?? null;
    const difference = old && young ? /** @type {Percentiles} */ (young.map((value, position) => value - old[position])) : null;
    return { stage, before: old, after: young, difference };
  });
}

/**
 * The generations to compare: those wanted, else the newest and the one before it.
 *
 * @param {number[]} generations
 * @param {{ before: number | null, after: number | null }} wanted
 * @returns {{ generations: number[], before: number | null, after: number | null }} Generations newest first.
 */
export function chooseTwo(generations, wanted) {
  const isWanted = (/** @type {number | null} */ one) => one !== null;
  const all = [...new Set([...generations, ...[wanted.before, wanted.after].filter(isWanted)])].map(Number).sort((a, b) => b - a);
  const after = wanted.after ?? all.find((one) => one !== wanted.before) ?? null;
  const before = wanted.before ?? all.find((one) => after !== null && one < after) ?? null;
  return { generations: all, before, after };
}

/**
 * @param {string[]} known
 * @param {string} stage
 */
function rank(known, stage) {
  const position = known.indexOf(stage);
  return position === -1 ? known.length : position;
}
