/** @import { Mode } from '../core/messages.js' */

/** Sends a mode's labels and colours once, and its number after that. */
export class Describer {
  /** @type {WeakMap<Mode, number>} */
  #numbers = new WeakMap();
  #last = 0;

  /**
   * @param {Mode} mode
   * @returns {{ mode: number, description?: Mode }}
   */
  describe(mode) {
    const known = this.#numbers.get(mode);
    if (known !== undefined) return { mode: known };
    this.#last += 1;
    this.#numbers.set(mode, this.#last);
    return { mode: this.#last, description: mode };
  }
}
