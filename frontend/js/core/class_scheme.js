/** @import { Mode } from './messages.js' */

const BACKGROUND = 'background';
const PERSON = 'person';

/** Which classes of a mode are drawn, in which colours, and which of them a cut-out keeps. It never changes: another choice is another scheme. */
export class ClassScheme {
  #mode;
  #hidden;
  #keepsAllDrawn;

  /**
   * @param {Mode} mode
   * @param {ReadonlySet<string>} [hidden] Labels that the user does not want to see; those of other modes do not matter.
   */
  constructor(mode, hidden = new Set()) {
    this.#mode = mode;
    this.#hidden = hidden;
    const { labels } = mode;
    this.#keepsAllDrawn = labels.includes(BACKGROUND) || !labels.includes(PERSON) || labels.some((label) => hidden.has(label));
    /** Red, green, blue, 0 to 255, by class id. @type {number[][]} */
    this.colours = Array.from({ length: 256 }, (_, id) => mode.palette[id] ?? [128, 128, 128]);
  }

  get mode() {
    return this.#mode;
  }

  get hidden() {
    return this.#hidden;
  }

  /** @param {ReadonlySet<string>} hidden */
  withHidden(hidden) {
    return new ClassScheme(this.#mode, hidden);
  }

  /** @param {number} id */
  label(id) {
    return this.#mode.labels[id] ?? `class ${id}`;
  }

  /** @param {number} id */
  isDrawn(id) {
    const label = this.label(id);
    return label !== BACKGROUND && !this.#hidden.has(label);
  }

  /**
   * A model that names everything in the room has no background: there a cut-out keeps the people, until the user
   * chooses classes.
   *
   * @param {number} id
   */
  isKept(id) {
    return this.isDrawn(id) && (this.#keepsAllDrawn || this.label(id) === PERSON);
  }
}
