/**
 * The colours of the page's style sheet, for what is painted on a canvas.
 *
 * @import { Side } from './stages.js'
 */

import { SIDES } from './stages.js';

const HEAT_STEPS = 5;

/** Read once and again when the system turns dark or light. */
export class Palette {
  #onChange;
  #isDark = matchMedia('(prefers-color-scheme: dark)');
  #listener = () => {
    this.#read();
    this.#onChange();
  };
  /** @type {Record<Side, string>} */
  sides = { browser: '', network: '', server: '', plugin: '' };
  /** From few to many. @type {string[]} */
  heat = [];
  ink = '';
  inkSoft = '';
  grid = '';
  surface = '';
  accent = '';
  slow = '';
  bad = '';

  /** @param {() => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#isDark.addEventListener('change', this.#listener);
    this.#read();
  }

  /** @param {number} strength 0 to 1. */
  heatOf(strength) {
    return this.heat[Math.min(this.heat.length - 1, Math.floor(strength * this.heat.length))];
  }

  close() {
    this.#isDark.removeEventListener('change', this.#listener);
  }

  #read() {
    const style = getComputedStyle(document.body);
    /** @param {string} name */
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    for (const side of SIDES) this.sides[side] = colour(side);
    this.heat = Array.from({ length: HEAT_STEPS }, (_, step) => colour(`heat-${step + 1}`));
    this.ink = colour('ink');
    this.inkSoft = colour('ink-soft');
    this.grid = colour('grid');
    this.surface = colour('surface');
    this.accent = colour('accent');
    this.slow = colour('slow');
    this.bad = colour('bad');
  }
}
