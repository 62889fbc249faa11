/** @import { Clock } from '../core/clock.js' */

const SHOWN_MILLIS = 6000;

/** A sentence about something that passed; it goes away by itself. */
export class Toast {
  #element;
  #clock;
  #cancelTimer = () => {};

  /**
   * @param {HTMLElement} element
   * @param {Clock} clock
   */
  constructor(element, clock) {
    this.#element = element;
    this.#clock = clock;
  }

  /** @param {string} text */
  show(text) {
    this.#cancelTimer();
    this.#element.textContent = text;
    this.#element.hidden = false;
    this.#cancelTimer = this.#clock.after(SHOWN_MILLIS, () => (this.#element.hidden = true));
  }
}
