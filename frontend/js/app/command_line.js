import { part } from './part.js';

/** A command to type where the server runs, with a button that copies it. Without a command there is nothing to see. */
export class CommandLine {
  element = part('span', 'command');
  #text = part('code', '');
  #copy = part('button', 'command-copy', 'Copy');

  constructor() {
    this.#copy.setAttribute('type', 'button');
    this.#copy.addEventListener('click', (event) => {
      // It stands in the label of a choice, which is not meant.
      event.preventDefault();
      void this.#copyText();
    });
    this.element.append(this.#text, this.#copy);
    this.show('');
  }

  /** @param {string} command */
  show(command) {
    this.element.hidden = command === '';
    if (this.#text.textContent === command) return;
    this.#text.textContent = command;
    this.#copy.textContent = 'Copy';
    this.#copy.setAttribute('aria-label', `Copy ${command}`);
  }

  async #copyText() {
    try {
      await navigator.clipboard.writeText(this.#text.textContent ?? '');
      this.#copy.textContent = 'Copied';
    } catch {
      // The browser may forbid it; the command is there to be selected.
      this.#copy.textContent = 'Select it';
    }
  }
}
