const FIRST_MILLIS = 500;
const LONGEST_MILLIS = 15_000;

/** Delays between attempts to connect: each up to twice the last, half of it by chance so that clients come back apart. */
export class Backoff {
  #attempts = 0;
  #random;

  /** @param {() => number} random 0 to below 1. */
  constructor(random = Math.random) {
    this.#random = random;
  }

  /** @returns {number} Milliseconds to wait before the next attempt. */
  next() {
    const ceiling = Math.min(LONGEST_MILLIS, FIRST_MILLIS * 2 ** this.#attempts);
    this.#attempts += 1;
    return Math.round(ceiling / 2 + (this.#random() * ceiling) / 2);
  }

  reset() {
    this.#attempts = 0;
  }
}
