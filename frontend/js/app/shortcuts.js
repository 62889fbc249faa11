/**
 * @typedef {object} Actions
 * @property {() => void} toggle
 * @property {() => void} mirror
 * @property {() => void} nextView
 * @property {() => void} help
 * @property {(position: number) => void} mode
 */

/** Keys for the whole page. A focused button or switch keeps its own use of the space bar. */
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
    if (event.target instanceof Element && event.target.closest('dialog')) return;
    const { key } = event;
    if (key === ' ') {
      if (event.target instanceof Element && event.target.closest('button, a, input[type="checkbox"]')) return;
      event.preventDefault();
      this.#actions.toggle();
    } else if (key >= '1' && key <= '9') this.#actions.mode(Number(key));
    else if (key === 'm') this.#actions.mirror();
    else if (key === 'v') this.#actions.nextView();
    else if (key === '?') this.#actions.help();
  }
}
