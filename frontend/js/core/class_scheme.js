/** @import { Mode } from './messages.js' */

/** Which classes of a mode are drawn, in which colours, and which of them a cut-out keeps. */
export class ClassScheme {
  #mode;

  /** @param {Mode} mode */
  constructor(mode) {
    this.#mode = mode;
    /** Red, green, blue, 0 to 255, by class id. @type {number[][]} */
    this.colours = Array.from({ length: 256 }, (_, id) => mode.palette[id] ?? [128, 128, 128]);
  }

  get mode() {
    return this.#mode;
  }

  /** @param {number} id */
  label(id) {
    return this.#mode.labels[id] ?? `class ${id}`;
  }

  /** @param {number} id */
  isDrawn(id) {
    return id !== 0 || this.label(0) !== 'background';
  }

  /**
   * A model that names everything in the room has no background: there a cut-out keeps the people.
   *
   * @param {number} id
   */
  isKept(id) {
    if (this.label(0) === 'background') return id !== 0;
    return this.#mode.labels.includes('person') ? this.label(id) === 'person' : true;
  }
}
