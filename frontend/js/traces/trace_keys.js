/**
 * @typedef {object} TraceActions
 * @property {() => void} previous
 * @property {() => void} next
 * @property {() => void} close
 * @property {() => void} follow
 * @property {() => void} slow
 * @property {() => void} help
 */

const TAKES_TEXT = 'dialog, input[type="number"], select';

/** Keys for the whole page. A focused control keeps its own use of them. */
export class TraceKeys {
  #actions;
  /** @param {KeyboardEvent} event */
  #onKey = (event) => this.#press(event);

  /** @param {TraceActions} actions */
  constructor(actions) {
    this.#actions = actions;
    document.addEventListener('keydown', this.#onKey);
  }

  close() {
    document.removeEventListener('keydown', this.#onKey);
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target instanceof Element && event.target.closest(TAKES_TEXT)) return;
    /** @type {Record<string, () => void>} */
    const actions = {
      j: this.#actions.previous,
      k: this.#actions.next,
      Escape: this.#actions.close,
      f: this.#actions.follow,
      s: this.#actions.slow,
      '?': this.#actions.help,
    };
    actions[event.key]?.();
  }
}
