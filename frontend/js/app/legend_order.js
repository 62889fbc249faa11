/** A class that is gone for a moment keeps its row. */
const KEPT_MILLIS = 2000;

/** Which classes are listed, and in which order: a row does not jump because shares change a little. */
export class LegendOrder {
  #most;
  /** When each was last there, by label; in the order of the list. @type {Map<string, number>} */
  #seenAt = new Map();

  /** @param {number} most */
  constructor(most) {
    this.#most = most;
  }

  /**
   * @param {Map<string, number>} shares By label, of what is in the picture.
   * @param {number} [now] Milliseconds.
   * @returns {string[]} The largest first when they came together; whoever comes later stands below.
   */
  of(shares, now = performance.now()) {
    for (const [label, seenAt] of this.#seenAt) {
      if (shares.has(label)) this.#seenAt.set(label, now);
      else if (now - seenAt > KEPT_MILLIS) this.#seenAt.delete(label);
    }
    const bySize = [...shares].sort(([, one], [, other]) => other - one);
    for (const [label] of bySize) {
      if (!this.#seenAt.has(label) && this.#seenAt.size < this.#most) this.#seenAt.set(label, now);
    }
    return [...this.#seenAt.keys()];
  }

  clear() {
    this.#seenAt.clear();
  }
}
