import { part } from '../app/part.js';

/** Copies a text, and says so. */
export class CopyButton {
  element = part('button', 'quiet copy', 'Copy');

  /**
   * @param {string} text
   * @param {string} label
   */
  constructor(text, label) {
    this.element.setAttribute('type', 'button');
    this.element.setAttribute('aria-label', label);
    this.element.addEventListener('click', () => this.#copy(text));
  }

  /** @param {string} text */
  async #copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      this.element.textContent = 'Copied';
    } catch {
      // The browser may forbid it; the text is there to be selected.
      this.element.textContent = 'Select it';
    }
  }
}
