/** @typedef {{ medianMillis: number | null, p95Millis: number | null }} LatencyPoint Both null where nothing was painted. */

export const POINT_MICROS = 500_000;
const MOST_POINTS = 120;

/** The latency of the last minute, in points of half a second each. The point that is still being filled is not shown. */
export class LatencySeries {
  /** @type {LatencyPoint[]} */
  #points = [];
  /** @type {number[]} Latencies of the current point, microseconds. */
  #filling = [];
  /** @type {number | null} When the current point began. */
  #beganAt = null;

  /**
   * @param {number} at Microseconds.
   * @param {number} latencyMicros
   */
  add(at, latencyMicros) {
    this.#beganAt ??= at;
    this.#moveTo(at);
    this.#filling.push(latencyMicros);
  }

  /**
   * @param {number} now Microseconds.
   * @returns {LatencyPoint[]} The oldest first.
   */
  points(now) {
    this.#moveTo(now);
    return this.#points;
  }

  /** @param {number} now */
  #moveTo(now) {
    if (this.#beganAt === null) return;
    const passed = Math.floor((now - this.#beganAt) / POINT_MICROS);
    if (passed <= 0) return;
    this.#beganAt += passed * POINT_MICROS;
    const points = [pointOf(this.#filling), ...Array.from({ length: Math.min(passed, MOST_POINTS) - 1 }, () => pointOf([]))];
    this.#points = [...this.#points, ...points].slice(-MOST_POINTS);
    this.#filling = [];
  }
}

/**
 * @param {number[]} latencies Microseconds.
 * @returns {LatencyPoint}
 */
function pointOf(latencies) {
  if (latencies.length === 0) return { medianMillis: null, p95Millis: null };
  const sorted = latencies.sort((a, b) => a - b);
  /** @param {number} share */
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] / 1000;
  return { medianMillis: at(0.5), p95Millis: at(0.95) };
}
