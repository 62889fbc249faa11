/**
 * @import { ClassScheme } from '../core/class_scheme.js'
 * @import { Mask } from '../core/mask.js'
 *
 * @typedef {{ mask: Mask, scheme: ClassScheme, from: number, to: number }} NamedLayer Between where and where it is seen, 0 to 1
 *   across the picture.
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
   * @param {NamedLayer[]} layers
   * @param {{ isMirrored: boolean, isBeside: boolean, picture: HTMLCanvasElement }} where `isBeside`: in the right half.
   */
  draw(layers, { isMirrored, isBeside, picture }) {
    const now = performance.now();
    if (!this.#context || now - this.#drawnAt < INTERVAL_MILLIS) return;
    this.#drawnAt = now;
    this.#fit(picture);
    const { width, height } = this.#canvas;
    this.#context.clearRect(0, 0, width, height);
    const left = isBeside ? width / 2 : 0;
    const [widthPx, heightPx] = [width - left, height];
    for (const { mask, scheme, from, to } of layers) {
      this.#context.save();
      this.#context.translate(left, 0);
      this.#context.beginPath();
      this.#context.rect(from * widthPx, 0, (to - from) * widthPx, heightPx);
      this.#context.clip();
      drawLabels(this.#context, findRegions(mask, scheme, { most: MOST_LABELS }), scheme, { isMirrored, widthPx, heightPx });
      this.#context.restore();
    }
  }

  clear() {
    this.#drawnAt = -Infinity;
    this.#context?.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  /**
   * As fine as the screen, so that letters are sharp over a picture that is blown up.
   *
   * @param {HTMLCanvasElement} picture
   */
  #fit(picture) {
    const width = Math.max(picture.width, Math.round(picture.clientWidth * window.devicePixelRatio));
    const height = Math.round((width * picture.height) / picture.width);
    if (this.#canvas.width === width && this.#canvas.height === height) return;
    this.#canvas.width = width;
    this.#canvas.height = height;
  }
}
