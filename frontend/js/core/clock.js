/**
 * The client's one clock: microseconds since the epoch that never step back, the same in the page and in its worker,
 * and timers on it. Tests put a clock in its place that moves only when told.
 *
 * @typedef {object} Clock
 * @property {() => number} micros
 * @property {(delayMillis: number, action: () => void) => () => void} after Runs `action` once; call the answer to cancel.
 */

/** @implements {Clock} */
export class SystemClock {
  micros() {
    return Math.round((performance.timeOrigin + performance.now()) * 1000);
  }

  /**
   * @param {number} delayMillis
   * @param {() => void} action
   */
  after(delayMillis, action) {
    const timer = setTimeout(action, delayMillis);
    return () => clearTimeout(timer);
  }
}
