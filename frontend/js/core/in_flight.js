const GIVEN_UP_AFTER_MICROS = 10_000_000;

/** Frames sent and not yet answered, by frame id. A frame that is never answered gives its slot back after ten seconds. */
export class InFlight {
  /** @type {Map<number, number>} */
  #sentAt = new Map();

  get size() {
    return this.#sentAt.size;
  }

  /**
   * @param {number} frameId
   * @param {number} nowMicros
   */
  add(frameId, nowMicros) {
    this.#sentAt.set(frameId, nowMicros);
  }

  /**
   * @param {number} frameId
   * @returns {boolean} Whether that frame was in flight.
   */
  settle(frameId) {
    return this.#sentAt.delete(frameId);
  }

  /**
   * @param {number} nowMicros
   * @returns {number[]} Frames given up.
   */
  expire(nowMicros) {
    const expired = [];
    for (const [frameId, sentAt] of this.#sentAt) {
      if (nowMicros - sentAt < GIVEN_UP_AFTER_MICROS) break; // In the order they were sent.
      this.#sentAt.delete(frameId);
      expired.push(frameId);
    }
    return expired;
  }

  clear() {
    this.#sentAt.clear();
  }
}
