/**
 * @import { ClassScheme } from '../core/class_scheme.js'
 * @import { Mask } from '../core/mask.js'
 * @import { Settings } from '../core/settings.js'
 *
 * @typedef {{ item: HTMLLIElement, toggle: HTMLButtonElement, swatch: HTMLElement, label: HTMLElement, share: HTMLElement, solo: HTMLButtonElement }} Row
 */

import { ClassFilter } from '../core/class_filter.js';
import { find } from './find.js';
import { LegendOrder } from './legend_order.js';
import { part } from './part.js';

const MOST_ROWS = 12;
const MOST_FOUND = 40;
/** From so many classes on there is a search box. */
const MANY_CLASSES = 12;

/**
 * The classes in the picture, in the colours they are painted in. A click hides one or shows it again, "Only" shows it
 * alone; a search finds those that are not in the picture, too.
 */
export class Legend {
  #settings;
  #list = find('legend');
  #empty = find('legend-empty');
  #all = find('legend-all');
  #count = find('legend-count');
  #search = find('legend-search', HTMLInputElement);
  /** By label. @type {Map<string, Row>} */
  #rows = new Map();
  #order = new LegendOrder(MOST_ROWS);
  /** @type {{ mask: Mask, scheme: ClassScheme } | null} */
  #shown = null;

  /** @param {Settings} settings */
  constructor(settings) {
    this.#settings = settings;
    this.#all.addEventListener('click', () => this.showAll());
    this.#search.addEventListener('input', () => this.#render());
    settings.changed.subscribe((key) => (key === 'hidden' || key === 'only') && this.#render());
  }

  /**
   * @param {Mask} mask
   * @param {ClassScheme} scheme
   */
  show(mask, scheme) {
    this.#shown = { mask, scheme };
    this.#render();
  }

  clear() {
    this.#shown = null;
    this.#order.clear();
    this.#render();
  }

  showAll() {
    this.#settings.set('only', '');
    this.#settings.set('hidden', []);
  }

  focusSearch() {
    if (!this.#search.hidden) this.#search.focus();
  }

  #render() {
    const { hidden, only } = this.#settings.now;
    this.#all.hidden = hidden.length === 0 && only === '';
    const labels = this.#shown?.scheme.mode.labels ?? [];
    const isInUse = this.#search.value !== '' || document.activeElement === this.#search;
    this.#search.hidden = labels.length < MANY_CLASSES && !isInUse;
    const shares = this.#shares();
    const wanted = this.#search.value.trim().toLowerCase();
    const isSearching = wanted !== '' && !this.#search.hidden;
    const names = isSearching ? found(labels, wanted) : this.#order.of(shares);
    const filter = new ClassFilter(hidden, only);
    this.#place(names);
    for (const name of names) this.#fill(name, shares.get(name) ?? 0, filter.shows(name, labels));
    this.#count.textContent = shares.size > 0 ? `· ${shares.size}` : '';
    this.#empty.hidden = names.length > 0;
    this.#empty.textContent = isSearching ? 'No class has that name.' : 'Nothing yet.';
  }

  /** By label, of the classes in the picture. @returns {Map<string, number>} */
  #shares() {
    const shares = new Map();
    if (!this.#shown) return shares;
    const { mask, scheme } = this.#shown;
    mask.pixelsByClass().forEach((pixels, id) => {
      if (pixels > 0 && scheme.label(id) !== 'background') shares.set(scheme.label(id), pixels / mask.classIds.length);
    });
    return shares;
  }

  /**
   * Rows that stay are not touched: whoever is about to click one, or has the focus on it, finds it there.
   *
   * @param {string[]} names
   */
  #place(names) {
    for (const [name, row] of this.#rows) {
      if (names.includes(name) || row.item.contains(document.activeElement)) continue;
      row.item.remove();
      this.#rows.delete(name);
    }
    names.forEach((name, position) => {
      const row = this.#rows.get(name) ?? this.#buildRow(name);
      this.#rows.set(name, row);
      if (this.#list.children[position] !== row.item) this.#list.insertBefore(row.item, this.#list.children[position] ?? null);
    });
  }

  /**
   * @param {string} name
   * @param {number} share
   * @param {boolean} isShown
   */
  #fill(name, share, isShown) {
    const row = this.#rows.get(name);
    if (!row || !this.#shown) return;
    const { scheme } = this.#shown;
    const [red, green, blue] = scheme.colours[scheme.mode.labels.indexOf(name)] ?? [128, 128, 128];
    row.swatch.style.backgroundColor = `rgb(${red}, ${green}, ${blue})`;
    row.toggle.setAttribute('aria-pressed', String(isShown));
    row.solo.setAttribute('aria-pressed', String(this.#settings.now.only === name));
    const text = share === 0 ? '–' : share < 0.001 ? '< 0.1 %' : `${(share * 100).toFixed(1)} %`;
    if (row.share.textContent !== text) row.share.textContent = text;
  }

  /**
   * @param {string} name
   * @returns {Row}
   */
  #buildRow(name) {
    const item = document.createElement('li');
    const toggle = document.createElement('button');
    toggle.type = 'button';
    toggle.className = 'legend-toggle';
    toggle.title = 'Hide or show it';
    const swatch = part('span', 'swatch');
    const label = part('span', 'legend-label', name);
    const share = part('span', 'share');
    // Read aloud it would interrupt four times a second.
    share.setAttribute('aria-hidden', 'true');
    toggle.append(swatch, label, share);
    toggle.addEventListener('click', (event) => (event.shiftKey ? this.#solo(name) : this.#toggle(name)));
    const solo = document.createElement('button');
    solo.type = 'button';
    solo.className = 'legend-solo';
    solo.textContent = 'Only';
    solo.setAttribute('aria-label', `Only ${name}`);
    solo.addEventListener('click', () => this.#solo(name));
    item.append(toggle, solo);
    return { item, toggle, swatch, label, share, solo };
  }

  /** @param {string} name */
  #toggle(name) {
    const { hidden, only } = this.#settings.now;
    const labels = this.#shown?.scheme.mode.labels ?? [];
    if (name === only) return this.#settings.set('only', '');
    // Another class joins the one that was alone: all the others of this mode are hidden from here on.
    if (only !== '' && labels.includes(only)) {
      this.#settings.set('only', '');
      return this.#settings.set('hidden', labels.filter((label) => label !== only && label !== name));
    }
    const isHidden = hidden.includes(name);
    this.#settings.set('hidden', isHidden ? hidden.filter((label) => label !== name) : [...hidden, name]);
  }

  /** @param {string} name */
  #solo(name) {
    this.#settings.set('only', this.#settings.now.only === name ? '' : name);
  }
}

/**
 * @param {readonly string[]} labels
 * @param {string} wanted In lower case.
 */
function found(labels, wanted) {
  return labels.filter((label) => label !== 'background' && label.toLowerCase().includes(wanted)).slice(0, MOST_FOUND);
}
