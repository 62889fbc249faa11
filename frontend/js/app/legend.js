/**
 * @import { ClassScheme } from '../core/class_scheme.js'
 * @import { Mask } from '../core/mask.js'
 *
 * @typedef {{ item: HTMLLIElement, swatch: HTMLElement, label: HTMLElement, share: HTMLElement }} Row
 */

const MOST_ROWS = 12;

/** The classes in the picture, in the colours they are painted in, the largest first. */
export class Legend {
  #list;
  #empty;
  /** @type {Row[]} */
  #rows = [];

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} empty Shown while no class is.
   */
  constructor(list, empty) {
    this.#list = list;
    this.#empty = empty;
  }

  /**
   * @param {Mask} mask
   * @param {ClassScheme} scheme
   */
  show(mask, scheme) {
    const total = mask.classIds.length;
    const present = [...mask.pixelsByClass()]
      .map((pixels, id) => ({ id, share: pixels / total }))
      .filter(({ id, share }) => share > 0 && scheme.isDrawn(id))
      .sort((a, b) => b.share - a.share)
      .slice(0, MOST_ROWS);
    this.#resize(present.length);
    present.forEach(({ id, share }, position) => {
      const row = this.#rows[position];
      const [red, green, blue] = scheme.colours[id];
      row.swatch.style.backgroundColor = `rgb(${red}, ${green}, ${blue})`;
      row.label.textContent = scheme.label(id);
      row.share.textContent = share < 0.001 ? '< 0.1 %' : `${(share * 100).toFixed(1)} %`;
    });
  }

  clear() {
    this.#resize(0);
  }

  /** @param {number} count */
  #resize(count) {
    while (this.#rows.length < count) this.#rows.push(buildRow());
    this.#rows.length = count;
    this.#list.replaceChildren(...this.#rows.map((row) => row.item));
    this.#empty.hidden = count > 0;
  }
}

/** @returns {Row} */
function buildRow() {
  const item = document.createElement('li');
  const swatch = document.createElement('span');
  swatch.className = 'swatch';
  const label = document.createElement('span');
  const share = document.createElement('span');
  share.className = 'share';
  item.append(swatch, label, share);
  return { item, swatch, label, share };
}
