const OFFSET_PX = 14;
const MARGIN_PX = 8;

/** What is under the pointer, in words beside it. The same words stand under the chart for those who have no pointer. */
export class Tip {
  #element;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
  }

  /**
   * @param {string} text
   * @param {number} clientX
   * @param {number} clientY
   */
  show(text, clientX, clientY) {
    const element = this.#element;
    if (element.textContent !== text) element.textContent = text;
    element.hidden = false;
    const { offsetWidth, offsetHeight } = element;
    const isRight = clientX + OFFSET_PX + offsetWidth + MARGIN_PX > window.innerWidth;
    const isLow = clientY + OFFSET_PX + offsetHeight + MARGIN_PX > window.innerHeight;
    const left = isRight ? clientX - OFFSET_PX - offsetWidth : clientX + OFFSET_PX;
    const top = isLow ? clientY - OFFSET_PX - offsetHeight : clientY + OFFSET_PX;
    element.style.transform = `translate(${Math.max(MARGIN_PX, left)}px, ${Math.max(MARGIN_PX, top)}px)`;
  }

  hide() {
    this.#element.hidden = true;
  }
}
