/** @typedef {{ toggle: () => void, mode: (position: number) => void, keys: Record<string, () => void> }} Actions */

/** What takes every key for itself, and what takes the space bar. */
const TAKES_TEXT = 'input:is([type="password"], [type="text"], [type="search"]), textarea, select';
const TAKES_SPACE = 'button, a, summary, input:is([type="checkbox"], [type="color"], [type="file"])';

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
    const key = event.key.toLowerCase();
    if (key === ' ') {
      if (event.target instanceof Element && event.target.closest(TAKES_SPACE)) return;
      event.preventDefault();
      this.#actions.toggle();
    } else if (key >= '1' && key <= '9') this.#actions.mode(Number(key));
    else if (Object.hasOwn(this.#actions.keys, key)) {
      event.preventDefault();
      this.#actions.keys[key]();
    }
  }
}
