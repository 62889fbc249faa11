/**
 * @import { ClassScheme } from '../core/class_scheme.js'
 * @import { Mask } from '../core/mask.js'
 */

import { drawLabels, findRegions } from '../paint/labels.js';

const MOST_LABELS = 6;
/** Names that move with every mask are hard to read. */
const INTERVAL_MILLIS = 120;

/** Names on the largest regions, on a canvas over the picture. */
export class LabelLayer {
  #canvas;
  #context;
  #drawnAt = -Infinity;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d');
  }

  get canvas() {
    return this.#canvas;
  }

  /**
   * @param {Mask} mask
   * @param {ClassScheme} scheme
   * @param {{ isMirrored: boolean, isBeside: boolean, picture: HTMLCanvasElement }} where `isBeside`: in the right half.
   */
  draw(mask, scheme, { isMirrored, isBeside, picture }) {
    const now = performance.now();
    if (!this.#context || now - this.#drawnAt < INTERVAL_MILLIS) return;
    this.#drawnAt = now;
    this.#fit(picture);
    const { width, height } = this.#canvas;
    this.#context.clearRect(0, 0, width, height);
    const left = isBeside ? width / 2 : 0;
    this.#context.save();
    this.#context.translate(left, 0);
    drawLabels(this.#context, findRegions(mask, scheme, { most: MOST_LABELS }), scheme, { isMirrored, widthPx: width - left, heightPx: height });
    this.#context.restore();
  }

  clear() {
    this.#drawnAt = -Infinity;
    this.#context?.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  /** @param {HTMLCanvasElement} picture */
  #fit({ width, height }) {
    if (this.#canvas.width === width && this.#canvas.height === height) return;
    this.#canvas.width = width;
    this.#canvas.height = height;
  }
}
