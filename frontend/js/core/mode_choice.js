/** @import { Mode, ModeChanged } from './messages.js' */

/**
 * The modes the server has, the one that answers now, and the one the user wants. The server decides, this follows:
 * a choice takes effect when the server says so, and survives a reconnect.
 */
export class ModeChoice {
  /** @type {Mode[]} */
  #modes = [];
  #current = '';
  /** @type {string | null} Chosen here, whether or not the server has it now. */
  #wanted = null;
  /** @type {string | null} Asked for and not yet answered. */
  #pending = null;

  get all() {
    return this.#modes;
  }

  /** The mode that answers frames now. */
  get current() {
    return this.named(this.#current);
  }

  /** The mode asked for that is not serving yet. */
  get pending() {
    return this.#pending === null ? undefined : this.named(this.#pending);
  }

  /** @param {string} name */
  named(name) {
    return this.#modes.find((mode) => mode.name === name);
  }

  /** @param {number} index As results carry it. */
  at(index) {
    return this.#modes.find((mode) => mode.index === index);
  }

  /** @param {string} name */
  want(name) {
    this.#wanted = name;
  }

  /**
   * A new session starts in the server's default mode.
   *
   * @param {Mode[]} modes
   * @param {string} current
   */
  begin(modes, current) {
    this.#modes = modes;
    this.#current = current;
    this.#pending = null;
  }

  /** @param {Mode[]} modes */
  replaceAll(modes) {
    this.#modes = modes;
  }

  /**
   * @param {ModeChanged} change
   * @returns {boolean} Whether a choice made here was refused.
   */
  follow(change) {
    const mode = this.named(change.mode);
    if (mode) Object.assign(mode, { index: change.index, state: change.state, message: change.message });
    if (change.state === 'loading') return false;
    const wasAsked = this.#pending === change.mode;
    if (wasAsked) this.#pending = null;
    if (change.state === 'ready') {
      this.#current = change.mode;
      return false;
    }
    if (wasAsked) this.#wanted = this.#current;
    return wasAsked;
  }

  /** @returns {string | null} A mode to ask the server for, at most once until it answers. */
  takeRequest() {
    const wanted = this.#wanted;
    if (wanted === null || wanted === (this.#pending ?? this.#current)) return null;
    const mode = this.named(wanted);
    if (!mode || mode.state === 'unavailable') return null;
    this.#pending = wanted;
    return wanted;
  }
}
