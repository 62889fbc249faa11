/**
 * @import { Settings } from '../core/settings.js'
 * @import { Comparison } from '../stream/orders.js'
 * @import { ShownFrame, Stream } from './stream.js'
 */

import { find } from './find.js';

const STEP = 0.02;
const PAGE = 0.18;

/** Two modes on the same frames: the choice of the second, the line where they meet, and what each is good for. */
export class ComparePanel {
  #settings;
  #stream;
  #onSplit;
  #select = find('compare', HTMLSelectElement);
  #state = find('compare-state');
  #split = find('split');
  #first = find('tag-first');
  #second = find('tag-second');
  #agreement = find('agreement');
  #at = 0.5;

  /**
   * @param {Settings} settings
   * @param {Stream} stream
   * @param {(split: number) => void} onSplit
   */
  constructor(settings, stream, onSplit) {
    this.#settings = settings;
    this.#stream = stream;
    this.#onSplit = onSplit;
    this.#select.addEventListener('change', () => settings.set('compare', this.#select.value));
    settings.changed.subscribe((key) => key === 'compare' && this.#apply());
    stream.changed.subscribe(() => this.#render());
    this.#listenForDrags();
    this.#split.addEventListener('keydown', (event) => this.#press(event));
    this.#move(this.#at);
  }

  /** Asks for the comparison that was chosen before; the stream must be open to a server. */
  start() {
    this.#apply();
  }

  /**
   * @param {ShownFrame | null} painted
   * @param {Comparison | null} comparison
   */
  show(painted, comparison) {
    const { rival } = this.#stream.state;
    // Now and then one of them has no answer to a frame: that is no reason to flicker.
    const isOn = painted !== null && rival?.state === 'ready' && (comparison?.agreement ?? null) !== null;
    for (const element of [this.#split, this.#first, this.#second, this.#agreement]) element.hidden = !isOn;
    if (!painted || !rival || !comparison || comparison.agreement === null) return;
    const [first, second] = comparison.medianMillis;
    setText(this.#first, inWords(painted.mode.name, first));
    setText(this.#second, inWords(rival.mode, second));
    setText(this.#agreement, `${(100 * comparison.agreement).toFixed(1)} % agree`);
  }

  #apply() {
    this.#stream.compareWith(this.#settings.now.compare || null);
    this.#render();
  }

  #render() {
    const { modes, mode, state } = this.#stream;
    const { compare } = this.#settings.now;
    const names = modes.filter(({ name }) => name !== mode?.name || name === compare).map(({ name }) => name);
    if (compare !== '' && !names.includes(compare)) names.push(compare);
    const known = [...this.#select.options].slice(1).map((option) => option.value);
    if (known.join('\n') !== names.join('\n')) this.#select.replaceChildren(this.#select.options[0], ...names.map(optionOf));
    for (const option of this.#select.options) option.disabled = modes.some(({ name, state: now }) => name === option.value && now === 'unavailable');
    this.#select.value = compare;
    const { rival } = state;
    const isKnown = modes.some(({ name }) => name === rival?.mode);
    const waits = rival && rival.state !== 'ready' && modes.length > 0;
    setText(this.#state, waits ? rival.message || (isKnown ? `${rival.mode} is ${rival.state}.` : `This server has no mode ${rival.mode}.`) : '');
  }

  #listenForDrags() {
    const frame = find('stage');
    /** @param {PointerEvent} event */
    const drag = (event) => {
      const { left, width } = frame.getBoundingClientRect();
      const at = (event.clientX - left) / width;
      this.#move('beside' in frame.dataset ? 2 * at - 1 : at);
    };
    this.#split.addEventListener('pointerdown', (event) => {
      this.#split.setPointerCapture(event.pointerId);
      drag(event);
    });
    this.#split.addEventListener('pointermove', (event) => this.#split.hasPointerCapture(event.pointerId) && drag(event));
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const [less, more] = [this.#at - STEP, this.#at + STEP];
    const to = { ArrowLeft: less, ArrowDown: less, ArrowRight: more, ArrowUp: more, PageDown: less - PAGE, PageUp: more + PAGE, Home: 0, End: 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#move(to);
  }

  /** @param {number} at 0 to 1 across the stage. */
  #move(at) {
    this.#at = Math.max(0, Math.min(1, at));
    this.#split.style.setProperty('--at', String(this.#at));
    const percent = Math.round(100 * this.#at);
    this.#split.setAttribute('aria-valuenow', String(percent));
    this.#split.setAttribute('aria-valuetext', `${percent} % from the left`);
    this.#onSplit(this.#at);
  }
}

/**
 * @param {string} mode
 * @param {number | null} medianMillis
 */
function inWords(mode, medianMillis) {
  return medianMillis === null ? mode : `${mode} · ${Math.round(medianMillis)} ms`;
}

/** @param {string} name */
function optionOf(name) {
  const option = document.createElement('option');
  option.value = name;
  option.textContent = name;
  return option;
}

/**
 * @param {HTMLElement} element
 * @param {string} text
 */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
