/**
 * Frames counted by when they began and how long they took.
 *
 * @import { Trace } from '../core/traces.js'
 * @import { TimeWindow } from './time_window.js'
 *
 * @typedef {object} HeatGrid
 * @property {number} columns
 * @property {number} rows The first is the fastest.
 * @property {Uint32Array} counts Answered frames, row by row.
 * @property {Uint32Array} dropped Dropped frames by column.
 * @property {number} most In one cell.
 * @property {number} mostDropped
 */

export const FASTEST_MICROS = 1000;
export const SLOWEST_MICROS = 10_000_000;
const DECADES = Math.log10(SLOWEST_MICROS / FASTEST_MICROS);

/**
 * How high a latency stands on the axis from 1 ms to 10 s.
 *
 * @param {number} micros
 * @returns {number} 0 to 1; what is beyond the axis stands at its end.
 */
export function heightOf(micros) {
  return Math.max(0, Math.min(1, Math.log10(Math.max(1, micros) / FASTEST_MICROS) / DECADES));
}

/** @param {number} height 0 to 1. */
export function microsAtHeight(height) {
  return FASTEST_MICROS * 10 ** (height * DECADES);
}

/**
 * @param {Trace[]} traces
 * @param {TimeWindow} window
 * @param {number} columns
 * @param {number} rows
 * @returns {HeatGrid}
 */
export function countCells(traces, window, columns, rows) {
  const counts = new Uint32Array(columns * rows);
  const dropped = new Uint32Array(columns);
  for (const { startMicros, totalMicros, outcome } of traces) {
    if (startMicros < window.from || startMicros > window.to) continue;
    const column = Math.min(columns - 1, Math.floor(window.xOf(startMicros, columns)));
    if (outcome === 'dropped') dropped[column] += 1;
    else counts[Math.min(rows - 1, Math.floor(heightOf(totalMicros) * rows)) * columns + column] += 1;
  }
  return { columns, rows, counts, dropped, most: mostOf(counts), mostDropped: mostOf(dropped) };
}

/**
 * How strong the colour of a count is: one frame is seen beside a thousand.
 *
 * @param {number} count
 * @param {number} most
 * @returns {number} 0 to 1.
 */
export function strengthOf(count, most) {
  return count === 0 ? 0 : most <= 1 ? 1 : 0.12 + 0.88 * (Math.log(count) / Math.log(most));
}

/** @param {Uint32Array} counts */
function mostOf(counts) {
  let most = 0;
  for (const count of counts) if (count > most) most = count;
  return most;
}
