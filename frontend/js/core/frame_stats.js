/**
 * @import { Clock } from './clock.js'
 * @import { LatencyPoint } from './latency_series.js'
 *
 * @typedef {object} Snapshot
 * @property {number} fps Masks painted a second.
 * @property {number | null} medianMillis Capture to paint.
 * @property {number | null} p95Millis
 * @property {number} upKBps
 * @property {number} downKBps
 * @property {number} painted Since the page opened.
 * @property {Record<string, number>} dropped By reason, since the page opened.
 * @property {Record<string, number>} droppedLately By reason, in the last five seconds; without those that were not.
 * @property {LatencyPoint[]} latencies Of the last minute, one each half second, the oldest first.
 */

import { LatencySeries } from './latency_series.js';
import { RollingWindow } from './rolling_window.js';

const SPAN_MICROS = 3_000_000;
/** The losses of so long are told apart from those since the page opened. */
export const LATELY_MICROS = 5_000_000;

/** The numbers of the stream: rates and latency of the last seconds, latency over the last minute, drops since the page opened. */
export class FrameStats {
  #clock;
  #latencies = new RollingWindow(SPAN_MICROS);
  #up = new RollingWindow(SPAN_MICROS);
  #down = new RollingWindow(SPAN_MICROS);
  #series = new LatencySeries();
  #since = 0;
  #painted = 0;
  /** @type {Map<string, number>} */
  #dropped = new Map();
  /** @type {Map<string, RollingWindow>} */
  #droppedLately = new Map();

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
    this.#series.add(paintedAt, paintedAt - capturedAt);
  }

  /** @param {string} reason */
  dropped(reason) {
    this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + 1);
    const lately = this.#droppedLately.get(reason) ?? new RollingWindow(LATELY_MICROS);
    this.#droppedLately.set(reason, lately);
    lately.add(this.#clock.micros(), 1);
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
      droppedLately: this.#droppedInWindow(now),
      latencies: this.#series.points(now),
    };
  }

  /** @param {number} now */
  #droppedInWindow(now) {
    const counts = [...this.#droppedLately].map(([reason, lately]) => /** @type {const} */ ([reason, lately.count(now)]));
    return Object.fromEntries(counts.filter(([, count]) => count > 0));
  }
}
