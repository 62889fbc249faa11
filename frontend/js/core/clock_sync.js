/** @import { ClockReply } from './messages.js' */

const SAMPLES_KEPT = 12;

/**
 * How far the server's clock is ahead of ours: of the last samples the one with the shortest round trip, whose two ways
 * have the least room to differ.
 */
export class ClockSync {
  /** @type {{ roundTripMicros: number, offsetMicros: number }[]} */
  #samples = [];

  /**
   * @param {ClockReply} reply
   * @param {number} arrivedAt Microseconds of the client's clock.
   */
  add({ sent, received, replied }, arrivedAt) {
    const roundTripMicros = Math.max(0, arrivedAt - sent - (replied - received));
    const offsetMicros = (received - sent + (replied - arrivedAt)) / 2;
    this.#samples.push({ roundTripMicros, offsetMicros });
    if (this.#samples.length > SAMPLES_KEPT) this.#samples.shift();
  }

  /** The best sample, or null before the first. */
  get best() {
    if (this.#samples.length === 0) return null;
    return this.#samples.reduce((best, sample) => (sample.roundTripMicros < best.roundTripMicros ? sample : best));
  }

  reset() {
    this.#samples = [];
  }
}
