/**
 * @import { Settings } from '../core/settings.js'
 * @import { QualityNow } from '../stream/orders.js'
 * @import { Stream } from './stream.js'
 */

import { find } from './find.js';

/** Below it there is little left to segment. */
const SMALLEST_PX = 128;

/** What quality and size frames are sent with and why, and the choice to set both by hand. */
export class QualityPanel {
  #settings;
  #stream;
  #now = find('quality-now');
  #byHand = find('by-hand', HTMLInputElement);
  #hand = find('hand');
  #quality = find('quality', HTMLInputElement);
  #qualityOutput = find('quality-output');
  #size = find('size', HTMLInputElement);
  #sizeOutput = find('size-output');

  /**
   * @param {Settings} settings
   * @param {Stream} stream
   */
  constructor(settings, stream) {
    this.#settings = settings;
    this.#stream = stream;
    this.#byHand.addEventListener('change', () => this.#takeInHand(this.#byHand.checked));
    this.#quality.addEventListener('input', () => settings.set('quality', Number(this.#quality.value)));
    this.#size.addEventListener('input', () => settings.set('size', Number(this.#size.value)));
    settings.changed.subscribe((key) => (key === 'quality' || key === 'size') && this.#apply());
    stream.changed.subscribe(() => this.#render());
    stream.pulsed.subscribe(({ quality }) => this.#say(quality));
    this.#apply();
  }

  /** @param {boolean} isByHand */
  #takeInHand(isByHand) {
    const now = this.#stream.pulse?.quality.settings ?? this.#stream.limits;
    this.#settings.set('quality', isByHand ? (now?.jpegQuality ?? 50) : 0);
    this.#settings.set('size', isByHand ? (now?.maxDimensionPx ?? 640) : 0);
  }

  #apply() {
    const { quality, size } = this.#settings.now;
    this.#stream.pin(quality > 0 && size > 0 ? { jpegQuality: quality, maxDimensionPx: size } : null);
    this.#render();
  }

  #render() {
    const { quality, size } = this.#settings.now;
    const { limits } = this.#stream;
    const isByHand = quality > 0 && size > 0;
    this.#byHand.checked = isByHand;
    this.#hand.hidden = !isByHand;
    if (!isByHand) return;
    // The operator's limits stay the most that is sent.
    if (limits) {
      this.#quality.max = String(limits.jpegQuality);
      this.#size.min = String(Math.min(SMALLEST_PX, limits.maxDimensionPx));
      this.#size.max = String(limits.maxDimensionPx);
    }
    this.#quality.value = String(quality);
    this.#size.value = String(size);
    this.#qualityOutput.textContent = this.#quality.value;
    this.#sizeOutput.textContent = `${this.#size.value} px`;
  }

  /** @param {QualityNow} now */
  #say({ settings, reason }) {
    const text = settings ? `${settings.maxDimensionPx} px, quality ${settings.jpegQuality}. ${reason}`.trim() : '–';
    if (this.#now.textContent !== text) this.#now.textContent = text;
  }
}
