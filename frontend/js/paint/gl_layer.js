/**
 * @import { ClassScheme } from '../core/class_scheme.js'
 * @import { Mask } from '../core/mask.js'
 * @import { GlProgram } from './gl_program.js'
 * @import { Recipe } from './recipes.js'
 * @import { Layer } from './scene.js'
 */

import { GlTexture } from './gl_texture.js';
import { SOFT_STEP, paletteOf, reachOf, subjectOf } from './recipes.js';

/** A mask's layer in the graphics card, made anew only when the mask, its classes' colours or the view are others. */
export class GlLayer {
  #program;
  #classIds;
  #confidence;
  #palette;
  #softStep;
  #layer;
  /** @type {Mask | null} */
  #mask = null;
  /** @type {ClassScheme | null} */
  #scheme = null;
  /** @type {Recipe | null} */
  #recipe = null;

  /**
   * @param {WebGL2RenderingContext} gl
   * @param {GlProgram} program
   */
  constructor(gl, program) {
    this.#program = program;
    this.#classIds = GlTexture.ofBytes(gl);
    this.#confidence = GlTexture.ofBytes(gl);
    this.#confidence.resize(1, 1); // For masks without: a texture must have a size.
    this.#palette = GlTexture.ofColours(gl, { isSmooth: false });
    this.#palette.resize(256, 1);
    this.#softStep = GlTexture.ofColours(gl, { isSmooth: false });
    this.#softStep.resize(256, 1);
    this.#softStep.write(Uint8Array.from({ length: 4 * 256 }, (_, at) => SOFT_STEP[at >> 2]));
    this.#layer = GlTexture.ofColours(gl);
  }

  /**
   * @param {Layer} layer
   * @param {Recipe} recipe
   * @returns {GlTexture}
   */
  show(layer, recipe) {
    const { mask, scheme } = subjectOf(layer);
    const isSamePalette = this.#scheme === scheme && this.#recipe === recipe;
    if (isSamePalette && this.#mask === mask) return this.#layer;
    if (!isSamePalette) this.#palette.write(paletteOf(scheme, recipe.palette));
    if (this.#mask !== mask) this.#write(mask);
    this.#mask = mask;
    this.#scheme = scheme;
    this.#recipe = recipe;
    this.#draw(mask, recipe);
    return this.#layer;
  }

  close() {
    for (const texture of [this.#classIds, this.#confidence, this.#palette, this.#softStep, this.#layer]) texture.close();
  }

  /** @param {Mask} mask */
  #write({ widthPx, heightPx, classIds, confidence }) {
    this.#classIds.resize(widthPx, heightPx);
    this.#classIds.write(classIds);
    if (confidence) {
      this.#confidence.resize(widthPx, heightPx);
      this.#confidence.write(confidence);
    }
    this.#layer.resize(widthPx, heightPx);
  }

  /**
   * @param {Mask} mask
   * @param {Recipe} recipe
   */
  #draw(mask, { isLine }) {
    this.#program
      .use()
      .texture('classIds', this.#classIds)
      .texture('confidence', this.#confidence)
      .texture('palette', this.#palette)
      .texture('softStep', this.#softStep)
      .whole('reach', isLine ? reachOf(mask) : 0)
      .whole('isSoft', mask.confidence !== null && !isLine)
      .drawTo(this.#layer);
  }
}
