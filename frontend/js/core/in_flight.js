/** @typedef {{ sentAt: number, encodeStartedAt: number }} Departure When a frame was sent, and when its encoding began. */

const GIVEN_UP_AFTER_MICROS = 10_000_000;

/** Frames sent and not yet answered, by frame id. A frame that is never answered gives its slot back after ten seconds. */
export class InFlight {
  /** @type {Map<number, Departure>} */
  #departures = new Map();

  get size() {
    return this.#departures.size;
  }

  /**
   * @param {number} frameId
   * @param {Departure} departure
   */
  add(frameId, departure) {
    this.#departures.set(frameId, departure);
  }

  /**
   * @param {number} frameId
   * @returns {Departure | undefined} Undefined where that frame was not in flight.
   */
  settle(frameId) {
    const departure = this.#departures.get(frameId);
    this.#departures.delete(frameId);
    return departure;
  }

  /**
   * @param {number} nowMicros
   * @returns {number[]} Frames given up.
   */
  expire(nowMicros) {
    const expired = [];
    for (const [frameId, { sentAt }] of this.#departures) {
      if (nowMicros - sentAt < GIVEN_UP_AFTER_MICROS) break; // In the order they were sent.
      this.#departures.delete(frameId);
      expired.push(frameId);
    }
    return expired;
  }

  clear() {
    this.#departures.clear();
  }
}
