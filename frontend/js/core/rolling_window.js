/** Numbers of the last few seconds. */
export class RollingWindow {
  /** @type {{ at: number, value: number }[]} */
  #entries = [];
  #spanMicros;

  /** @param {number} spanMicros */
  constructor(spanMicros) {
    this.#spanMicros = spanMicros;
  }

  /**
   * @param {number} at Microseconds, never before the entry before it.
   * @param {number} value
   */
  add(at, value) {
    this.#entries.push({ at, value });
    this.#forget(at);
  }

  /** @param {number} now */
  count(now) {
    this.#forget(now);
    return this.#entries.length;
  }

  /** @param {number} now */
  sum(now) {
    this.#forget(now);
    return this.#entries.reduce((sum, entry) => sum + entry.value, 0);
  }

  /**
   * @param {number} now
   * @param {number} share 0 to 1: 0.5 is the median.
   * @returns {number | null} Null where there is nothing.
   */
  percentile(now, share) {
    this.#forget(now);
    if (this.#entries.length === 0) return null;
    const sorted = this.#entries.map((entry) => entry.value).sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  }

  clear() {
    this.#entries = [];
  }

  /** @param {number} now */
  #forget(now) {
    const kept = this.#entries.findIndex((entry) => now - entry.at < this.#spanMicros);
    if (kept === -1) this.#entries = [];
    else if (kept > 0) this.#entries.splice(0, kept);
  }
}
