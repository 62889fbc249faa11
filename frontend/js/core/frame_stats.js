/**
 * @import { Clock } from './clock.js'
 *
 * @typedef {object} Snapshot
 * @property {number} fps Masks painted a second.
 * @property {number | null} medianMillis Capture to paint.
 * @property {number | null} p95Millis
 * @property {number} upKBps
 * @property {number} downKBps
 * @property {number} painted Since the page opened.
 * @property {Record<string, number>} dropped By reason, since the page opened.
 */

import { RollingWindow } from './rolling_window.js';

const SPAN_MICROS = 3_000_000;

/** What the numbers strip shows: the last three seconds, and drops since the page opened. */
export class FrameStats {
  #clock;
  #latencies = new RollingWindow(SPAN_MICROS);
  #up = new RollingWindow(SPAN_MICROS);
  #down = new RollingWindow(SPAN_MICROS);
  #since = 0;
  #painted = 0;
  /** @type {Map<string, number>} */
  #dropped = new Map();

  /** @param {Clock} clock */
  constructor(clock) {
    this.#clock = clock;
    this.restart();
  }

  /** The stream starts anew: rates of before it do not count. */
  restart() {
    this.#since = this.#clock.micros();
    for (const numbers of [this.#latencies, this.#up, this.#down]) numbers.clear();
  }

  /** @param {number} bytes */
  sent(bytes) {
    this.#up.add(this.#clock.micros(), bytes);
  }

  /** @param {number} bytes */
  received(bytes) {
    this.#down.add(this.#clock.micros(), bytes);
  }

  /**
   * @param {number} capturedAt
   * @param {number} paintedAt
   */
  paintedFrame(capturedAt, paintedAt) {
    this.#painted += 1;
    this.#latencies.add(paintedAt, paintedAt - capturedAt);
  }

  /** @param {string} reason */
  dropped(reason) {
    this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + 1);
  }

  /** @returns {Snapshot} */
  snapshot() {
    const now = this.#clock.micros();
    const seconds = Math.max(0.5, Math.min(SPAN_MICROS, now - this.#since) / 1e6);
    /** @param {number} share */
    const latencyMillis = (share) => {
      const micros = this.#latencies.percentile(now, share);
      return micros === null ? null : micros / 1000;
    };
    return {
      fps: this.#latencies.count(now) / seconds,
      medianMillis: latencyMillis(0.5),
      p95Millis: latencyMillis(0.95),
      upKBps: this.#up.sum(now) / 1000 / seconds,
      downKBps: this.#down.sum(now) / 1000 / seconds,
      painted: this.#painted,
      dropped: Object.fromEntries(this.#dropped),
    };
  }
}
