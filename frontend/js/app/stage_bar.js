/**
 * @import { StageShare } from '../core/stage_times.js'
 *
 * @typedef {{ piece: HTMLElement, item: HTMLElement, millis: HTMLElement }} Part
 */

import { PART_NAMES, PART_PURPOSES, PART_TITLES } from '../core/stage_times.js';
import { part } from './part.js';

/** Where a frame's time goes: a bar of the parts of its way, and their names and times below it. */
export class StageBar {
  element = part('div', 'stage-bar');

  #total = part('b', '', '–');
  #parts = PART_NAMES.map(buildPart);

  constructor() {
    this.element.setAttribute('role', 'img');
    const head = part('p', 'stage-bar-total');
    head.append(this.#total, ' from camera to screen');
    const track = part('div', 'stage-bar-track');
    track.append(...this.#parts.map(({ piece }) => piece));
    const legend = part('div', 'stage-bar-legend');
    legend.append(...this.#parts.map(({ item }) => item));
    this.element.append(head, track, legend);
    this.show([]);
  }

  /** @param {StageShare[]} shares One for each part in order, or none. */
  show(shares) {
    const isEmpty = shares.length === 0;
    const total = shares.reduce((sum, { millis }) => sum + millis, 0);
    this.element.toggleAttribute('data-empty', isEmpty);
    setText(this.#total, isEmpty ? '–' : inMillis(total));
    this.#parts.forEach(({ piece, item, millis }, position) => {
      const share = shares[position];
      // In steps of a thousandth: what cannot be seen is not laid out anew.
      piece.style.flexGrow = String(share ? Math.round(1000 * share.share) : 0);
      item.toggleAttribute('data-slight', share !== undefined && share.share < 0.02);
      setText(millis, share ? inMillis(share.millis) : '–');
    });
    const label = isEmpty ? 'Where a frame’s time goes: nothing painted yet.' : inWords(shares, total);
    if (this.element.getAttribute('aria-label') !== label) this.element.setAttribute('aria-label', label);
  }
}

/**
 * @param {StageShare['name']} name
 * @returns {Part}
 */
function buildPart(name) {
  const piece = part('span', 'stage-piece');
  const item = part('div', 'stage-item');
  for (const element of [piece, item]) {
    element.dataset.part = name;
    element.title = PART_PURPOSES[name];
  }
  const millis = part('span', 'stage-millis', '–');
  item.append(part('span', 'stage-name', PART_TITLES[name]), millis);
  return { piece, item, millis };
}

/**
 * @param {StageShare[]} shares
 * @param {number} total
 */
function inWords(shares, total) {
  const parts = shares.map(({ title, millis }) => `${title} ${inMillis(millis)}`).join('; ');
  return `A frame takes ${inMillis(total)} from camera to screen. ${parts}.`;
}

/** @param {number} millis */
function inMillis(millis) {
  return `${millis.toFixed(millis < 9.95 ? 1 : 0)} ms`;
}

/**
 * @param {HTMLElement} element
 * @param {string} text
 */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
