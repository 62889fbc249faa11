/**
 * @import { Mode, ModeChanged } from './messages.js'
 *
 * @typedef {'refused' | 'unasked' | null} Turn What a `mode` message does to the user's choice: the mode asked for was
 *   refused, or the server said something of a mode by itself.
 */

/**
 * The modes the server has, the one that answers now, and the one the user wants. The server decides, this follows:
 * a choice takes effect when the server says so, and survives a reconnect.
 */
export class ModeChoice {
  /** @type {Mode[]} */
  #modes = [];
  /**
   * By the index that results carry. A mode that is gone or was replaced stays until its index is given to another:
   * its results may still be on their way.
   *
   * @type {Map<number, Mode>}
   */
  #byIndex = new Map();
  #current = '';
  /** @type {string | null} Chosen here, whether or not the server has it now. */
  #wanted = null;
  /** @type {string | null} Asked for and not yet answered. */
  #pending = null;
  /** The server moved the session by itself: to ask back at once would be a quarrel. */
  #isMoved = false;

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

  /**
   * What there is to say when the wanted mode is not to be had here; or nothing. It was chosen at another server, or before this
   * one was restarted, and stays wanted.
   */
  get missingInWords() {
    const state = this.#wanted === null ? 'ready' : this.named(this.#wanted)?.state;
    if (state === 'ready' || state === 'loading') return '';
    return `This server cannot serve the mode ${this.#wanted} now: ${this.current?.name ?? 'another'} answers.`;
  }

  /** @param {string} name */
  named(name) {
    return this.#modes.find((mode) => mode.name === name);
  }

  /** @param {number} index As results carry it; also of a mode that is in the list no more. */
  at(index) {
    return this.#byIndex.get(index);
  }

  /** @param {string} name */
  want(name) {
    this.#wanted = name;
    this.#isMoved = false;
  }

  /**
   * A new session starts in the server's default mode.
   *
   * @param {Mode[]} modes
   * @param {string} current
   */
  begin(modes, current) {
    this.#byIndex.clear();
    this.#current = current;
    this.#pending = null;
    this.replaceAll(modes);
  }

  /** @param {Mode[]} modes */
  replaceAll(modes) {
    this.#modes = modes;
    for (const mode of modes) this.#byIndex.set(mode.index, mode);
    if (!this.pending) this.#pending = null;
    this.#isMoved = false;
  }

  /**
   * @param {ModeChanged} change
   * @returns {Turn}
   */
  follow(change) {
    this.#update(change);
    const wasAsked = this.#pending === change.mode;
    const isListed = this.named(change.mode) !== undefined;
    // With its mode gone, the session is in the one that the server names, whether or not that is ready.
    const isMoved = !wasAsked && (change.state === 'ready' || (isListed && !this.current));
    if (change.state === 'loading' && !isMoved) return null;
    if (wasAsked) this.#pending = null;
    if (change.state === 'ready' || isMoved) {
      this.#isMoved = isMoved && change.mode !== this.#current;
      this.#current = change.mode;
      return isMoved ? 'unasked' : null;
    }
    if (!isListed) return 'unasked'; // It stays wanted, should it come back.
    if (wasAsked) this.#wanted = this.#current;
    return wasAsked ? 'refused' : null;
  }

  /** @returns {string | null} A mode to ask the server for, at most once until it answers. */
  takeRequest() {
    const wanted = this.#wanted;
    if (wanted === null || this.#isMoved || wanted === (this.#pending ?? this.#current)) return null;
    const mode = this.named(wanted);
    if (!mode || mode.state === 'unavailable') return null;
    this.#pending = wanted;
    return wanted;
  }

  /**
   * The mode's new state; the object it had before stays as it is, for the results of its old index.
   *
   * @param {ModeChanged} change
   */
  #update({ mode: name, index, state, message }) {
    const before = this.named(name);
    if (!before) return;
    const after = { ...before, index, state, message };
    this.#modes = this.#modes.map((mode) => (mode === before ? after : mode));
    this.#byIndex.set(index, after);
  }
}
