/**
 * @import { ClassFilter } from '../core/class_filter.js'
 * @import { Mode } from '../core/messages.js'
 */

import { ClassScheme } from '../core/class_scheme.js';

/** Made once for each mode and choice of classes, so that whoever paints by it sees at a glance whether it is another. */
export class SchemeShelf {
  /** @type {WeakMap<Mode, ClassScheme>} */
  #schemes = new WeakMap();
  /** @type {ClassFilter | null} */
  #filter = null;

  /**
   * @param {Mode} mode
   * @param {ClassFilter} filter The same object as long as it is the same choice.
   */
  of(mode, filter) {
    if (filter !== this.#filter) {
      this.#filter = filter;
      this.#schemes = new WeakMap();
    }
    const known = this.#schemes.get(mode) ?? new ClassScheme(mode, filter.hiddenOf(mode.labels));
    this.#schemes.set(mode, known);
    return known;
  }
}
