/** @import { Words } from './status_words.js' */

/** Says the state: a line that is read aloud when it changes, and a note over the stage while there is no live mask. */
export class StatusLine {
  #line;
  #lineText;
  #notice;
  #title;
  #text;
  #countdown;
  #retry;
  #shown = '';

  /** @param {(id: string) => HTMLElement} element */
  constructor(element) {
    this.#line = element('status');
    this.#lineText = element('status-text');
    this.#notice = element('notice');
    this.#title = element('notice-title');
    this.#text = element('notice-text');
    this.#countdown = element('notice-countdown');
    this.#retry = element('retry');
  }

  /**
   * @param {Words} words
   * @param {number} retryInMillis
   */
  show(words, retryInMillis) {
    this.#countdown.hidden = !words.canRetry;
    this.#countdown.textContent = `Trying again in ${Math.ceil(retryInMillis / 1000)} s`;
    const key = JSON.stringify(words);
    if (key === this.#shown) return;
    this.#shown = key;
    this.#line.dataset.tone = words.tone;
    this.#lineText.textContent = words.title;
    this.#notice.dataset.tone = words.tone;
    this.#notice.hidden = words.tone === 'good';
    this.#title.textContent = words.title;
    this.#text.textContent = words.text;
    this.#retry.hidden = !words.canRetry;
    document.title = words.tone === 'calm' && words.title === 'Paused' ? 'Paused – Segue' : 'Segue';
  }
}
