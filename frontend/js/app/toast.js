/**
 * @import { Clock } from '../core/clock.js'
 *
 * @typedef {{ text: string, href: string }} Link
 */

const SHOWN_MILLIS = 6000;
/** There is something to click. */
const LINK_SHOWN_MILLIS = 15_000;

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

  /**
   * @param {string} text
   * @param {Link} [link] Opens beside the page, which goes on.
   */
  show(text, link) {
    this.#cancelTimer();
    this.#element.textContent = text;
    if (link) this.#element.append(' ', anchorOf(link));
    this.#element.hidden = false;
    this.#cancelTimer = this.#clock.after(link ? LINK_SHOWN_MILLIS : SHOWN_MILLIS, () => (this.#element.hidden = true));
  }
}

/** @param {Link} link */
function anchorOf({ text, href }) {
  const anchor = document.createElement('a');
  anchor.textContent = text;
  anchor.href = href;
  anchor.target = '_blank';
  return anchor;
}
