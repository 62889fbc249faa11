/**
 * @import { ClassScheme } from '../core/class_scheme.js'
 * @import { Mask } from '../core/mask.js'
 * @import { Recipe } from './recipes.js'
 * @import { Layer } from './scene.js'
 */

import { SOFT_STEP, paletteOf, reachOf, subjectOf } from './recipes.js';
import { Scratch } from './scratch.js';

/** A mask's layer on a canvas of its size, made anew only when the mask, its classes' colours or the view are others. */
export class CanvasLayer {
  #scratch = new Scratch();
  /** @type {ImageData | null} */
  #image = null;
  /** @type {Mask | null} */
  #mask = null;
  /** @type {ClassScheme | null} */
  #scheme = null;
  /** @type {Recipe | null} */
  #recipe = null;
  /** Red, green, blue and alpha of each class in one number. */
  #palette = new Uint32Array(256);

  /**
   * @param {Layer} layer
   * @param {Recipe} recipe
   * @returns {HTMLCanvasElement}
   */
  show(layer, recipe) {
    const { mask, scheme } = subjectOf(layer);
    const isSamePalette = this.#scheme === scheme && this.#recipe === recipe;
    if (isSamePalette && this.#mask === mask) return this.#scratch.canvas;
    if (!isSamePalette) this.#palette = new Uint32Array(paletteOf(scheme, recipe.palette).buffer);
    this.#mask = mask;
    this.#scheme = scheme;
    this.#recipe = recipe;
    this.#draw(mask, recipe);
    return this.#scratch.canvas;
  }

  /** The canvas lost its content. */
  forget() {
    this.#mask = null;
  }

  close() {
    this.#scratch.close();
    this.forget();
  }

  /**
   * @param {Mask} mask
   * @param {Recipe} recipe
   */
  #draw(mask, { isLine }) {
    const { widthPx, heightPx, confidence } = mask;
    if (this.#image?.width !== widthPx || this.#image.height !== heightPx) this.#image = new ImageData(widthPx, heightPx);
    const { data } = this.#image;
    const pixels = new Uint32Array(data.buffer);
    if (isLine) drawLines(pixels, this.#palette, mask);
    else {
      fill(pixels, this.#palette, mask);
      if (confidence) soften(data, confidence);
    }
    this.#scratch.clear(widthPx, heightPx);
    this.#scratch.write(this.#image);
  }
}

/**
 * @param {Uint32Array} pixels
 * @param {Uint32Array} palette
 * @param {Mask} mask
 */
function fill(pixels, palette, { classIds }) {
  for (let at = 0; at < pixels.length; at += 1) pixels[at] = palette[classIds[at]];
}

/**
 * @param {Uint8ClampedArray} data
 * @param {Uint8Array} confidence
 */
function soften(data, confidence) {
  for (let at = 0, alphaAt = 3; at < confidence.length; at += 1, alphaAt += 4) {
    if (data[alphaAt] !== 0) data[alphaAt] = SOFT_STEP[confidence[at]];
  }
}

/**
 * Whatever lies near enough to a place where the class changes is on a line.
 *
 * @param {Uint32Array} pixels
 * @param {Uint32Array} palette
 * @param {Mask} mask
 */
function drawLines(pixels, palette, mask) {
  const { widthPx, heightPx, classIds } = mask;
  const reach = reachOf(mask);
  /**
   * Draws along one row or column.
   *
   * @param {number} change Where another class begins.
   * @param {number} step To the next pixel.
   * @param {number} before How many pixels there are before it.
   * @param {number} after How many from it on.
   */
  const mark = (change, step, before, after) => {
    const end = change + Math.min(reach, after) * step;
    for (let at = change - Math.min(reach, before) * step; at < end; at += step) pixels[at] = palette[classIds[at]];
  };
  pixels.fill(0);
  for (let y = 0, at = 0; y < heightPx; y += 1) {
    for (let x = 0; x < widthPx; x += 1, at += 1) {
      if (x > 0 && classIds[at] !== classIds[at - 1]) mark(at, 1, x, widthPx - x);
      if (y > 0 && classIds[at] !== classIds[at - widthPx]) mark(at, widthPx, y, heightPx - y);
    }
  }
}
