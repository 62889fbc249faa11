/**
 * @typedef {object} Actions
 * @property {() => void} toggle
 * @property {() => void} mirror
 * @property {() => void} nextView
 * @property {() => void} keepTrace
 * @property {() => void} help
 * @property {(position: number) => void} mode
 */

/** What takes every key for itself, and what takes the space bar. */
const TAKES_TEXT = 'input[type="password"], input[type="text"], textarea, select';
const TAKES_SPACE = 'button, a, summary, input[type="checkbox"]';

/** Keys for the whole page. A focused control keeps its own use of them. */
export class Shortcuts {
  #actions;
  /** @param {KeyboardEvent} event */
  #onKey = (event) => this.#press(event);

  /** @param {Actions} actions */
  constructor(actions) {
    this.#actions = actions;
    document.addEventListener('keydown', this.#onKey);
  }

  close() {
    document.removeEventListener('keydown', this.#onKey);
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
    if (event.target instanceof Element && event.target.closest(`dialog, ${TAKES_TEXT}`)) return;
    const { key } = event;
    if (key === ' ') {
      if (event.target instanceof Element && event.target.closest(TAKES_SPACE)) return;
      event.preventDefault();
      this.#actions.toggle();
    } else if (key >= '1' && key <= '9') this.#actions.mode(Number(key));
    else if (key === 'm') this.#actions.mirror();
    else if (key === 'v') this.#actions.nextView();
    else if (key === 'k') this.#actions.keepTrace();
    else if (key === '?') this.#actions.help();
  }
}
