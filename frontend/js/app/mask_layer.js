/**
 * @import { Mask } from '../core/mask.js'
 *
 * @typedef {(id: number) => readonly number[] | null} ColourOf Red, green, blue of a class; null leaves it clear.
 */

const CLEAR_BELOW = 90;
const SOLID_FROM = 200;

/** Alpha by confidence: a soft step, so that an edge fades where the model hesitates. */
const ALPHA_BY_CONFIDENCE = Uint8Array.from({ length: 256 }, (_, confidence) => {
  const t = Math.max(0, Math.min(1, (confidence - CLEAR_BELOW) / (SOLID_FROM - CLEAR_BELOW)));
  return Math.round(255 * t * t * (3 - 2 * t));
});

/** A mask in colours, on a canvas of the mask's size. */
export class MaskLayer {
  #canvas = document.createElement('canvas');
  #context = this.#canvas.getContext('2d');
  /** @type {ImageData | null} */
  #image = null;

  /**
   * @param {Mask} mask
   * @param {ColourOf} colourOf
   * @returns {HTMLCanvasElement} The same canvas each time.
   */
  draw(mask, colourOf) {
    const image = this.#imageFor(mask);
    const pixels = new Uint32Array(image.data.buffer); // Alpha, blue, green, red from the high byte down.
    const colours = new Uint32Array(256);
    const alphas = new Uint8Array(256);
    for (let id = 0; id < 256; id += 1) {
      const colour = colourOf(id);
      if (!colour) continue;
      colours[id] = colour[0] | (colour[1] << 8) | (colour[2] << 16);
      alphas[id] = 255;
    }
    const { classIds, confidence } = mask;
    for (let at = 0; at < pixels.length; at += 1) {
      const id = classIds[at];
      const alpha = confidence ? alphas[id] & ALPHA_BY_CONFIDENCE[confidence[at]] : alphas[id];
      pixels[at] = colours[id] | (alpha << 24);
    }
    this.#context?.putImageData(image, 0, 0);
    return this.#canvas;
  }

  /** @param {Mask} mask */
  #imageFor({ widthPx, heightPx }) {
    if (this.#image?.width !== widthPx || this.#image.height !== heightPx) {
      this.#canvas.width = widthPx;
      this.#canvas.height = heightPx;
      this.#image = new ImageData(widthPx, heightPx);
    }
    return this.#image;
  }
}
