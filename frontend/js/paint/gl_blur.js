/** @import { Scene } from './scene.js' */

import { GlProgram } from './gl_program.js';
import { GlTexture } from './gl_texture.js';
import { BLUR, SHRINK } from './shaders.js';
import { BLUR_SIGMA_PX, blurSizeOf } from './recipes.js';

/**
 * The picture blurred as if what is kept had not been in it: only the rest has weight, so that a person's colours don't
 * shine into the room behind.
 */
export class GlBlur {
  #shrink;
  #blur;
  #small;
  #spare;

  /** @param {WebGL2RenderingContext} gl */
  constructor(gl) {
    this.#shrink = new GlProgram(gl, SHRINK);
    this.#blur = new GlProgram(gl, BLUR);
    this.#small = GlTexture.ofColours(gl);
    this.#spare = GlTexture.ofColours(gl);
  }

  /**
   * @param {Scene} scene
   * @param {(program: GlProgram) => GlProgram} reading Gives a program the picture and its layers.
   * @returns {GlTexture} Premultiplied.
   */
  of({ widthPx, heightPx }, reading) {
    const small = blurSizeOf(widthPx, heightPx);
    this.#small.resize(small.widthPx, small.heightPx);
    this.#spare.resize(small.widthPx, small.heightPx);
    reading(this.#shrink.use()).wholes('size', small.widthPx, small.heightPx).drawTo(this.#small);
    this.#blur.use().texture('image', this.#small).wholes('direction', 1, 0).real('sigmaPx', BLUR_SIGMA_PX).drawTo(this.#spare);
    this.#blur.use().texture('image', this.#spare).wholes('direction', 0, 1).real('sigmaPx', BLUR_SIGMA_PX).drawTo(this.#small);
    return this.#small;
  }

  close() {
    for (const part of [this.#shrink, this.#blur, this.#small, this.#spare]) part.close();
  }
}
