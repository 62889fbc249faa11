/**
 * @import { GlTexture as Texture } from './gl_texture.js'
 * @import { Scene } from './scene.js'
 *
 * @typedef {object} BackdropUse How the last pass reads its backdrop.
 * @property {Texture | null} texture
 * @property {readonly number[]} colour Premultiplied, 0 to 1.
 * @property {boolean} followsPicture
 * @property {readonly number[]} crop
 * @property {number} level
 */

import { GlBlur } from './gl_blur.js';
import { GlLayer } from './gl_layer.js';
import { GlProgram } from './gl_program.js';
import { GlTexture } from './gl_texture.js';
import { coverOf, recipeOf } from './recipes.js';
import { LAYER, MIX, SCENE } from './shaders.js';

const WHOLE = [0, 0, 1, 1];
const NO_COLOUR = [0, 0, 0, 0];
/** Everything lies left of it. */
const NO_SPLIT = 2;

/** All that is kept in the graphics card, and the passes of a scene. When the card loses it, another kit takes its place. */
export class GlKit {
  #layerProgram;
  #sceneProgram;
  #blur;
  #first;
  #second;
  #picture;
  /** @type {TexImageSource | null} */
  #pictureSource = null;
  #pictureVersion = -1;
  #backdrop;
  /** @type {ImageBitmap | null} */
  #backdropSource = null;

  /** @param {WebGL2RenderingContext} gl */
  constructor(gl) {
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    gl.disable(gl.DITHER);
    this.#layerProgram = new GlProgram(gl, LAYER);
    this.#sceneProgram = new GlProgram(gl, SCENE);
    this.#blur = new GlBlur(gl);
    this.#first = new GlLayer(gl, this.#layerProgram);
    this.#second = new GlLayer(gl, this.#layerProgram);
    this.#picture = GlTexture.ofColours(gl);
    this.#backdrop = GlTexture.ofColours(gl);
  }

  /** @param {Scene} scene */
  paint(scene) {
    const { layer, other, look, widthPx, heightPx } = scene;
    this.#takePicture(scene);
    const recipe = recipeOf(look.view);
    const first = this.#first.show(layer, recipe);
    const second = other ? this.#second.show(other.layer, recipe) : first;
    /** @param {GlProgram} program */
    const reading = (program) =>
      program
        .texture('picture', this.#picture)
        .texture('first', first)
        .texture('second', second)
        .real('split', other ? other.split : NO_SPLIT)
        .whole('isMirrored', look.isMirrored);
    const backdrop = this.#backdropOf(scene, reading);
    reading(this.#sceneProgram.use())
      .texture('backdrop', backdrop.texture ?? this.#picture)
      .wholes('size', widthPx, heightPx)
      .whole('isDouble', look.view === 'side-by-side')
      .whole('mixing', mixingOf(scene))
      .real('opacity', look.view === 'contour' ? 1 : look.opacity)
      .reals('backdropColour', backdrop.colour)
      .whole('hasBackdropTexture', backdrop.texture !== null)
      .whole('followsPicture', backdrop.followsPicture)
      .reals('backdropCrop', backdrop.crop)
      .real('backdropLevel', backdrop.level)
      .drawToCanvas();
  }

  close() {
    const parts = [this.#layerProgram, this.#sceneProgram, this.#blur, this.#first, this.#second, this.#picture, this.#backdrop];
    for (const part of parts) part.close();
  }

  /** @param {Scene} scene */
  #takePicture({ picture: { source, version } }) {
    if (this.#pictureSource === source && this.#pictureVersion === version) return;
    this.#picture.take(source);
    this.#pictureSource = source;
    this.#pictureVersion = version;
  }

  /**
   * @param {Scene} scene
   * @param {(program: GlProgram) => GlProgram} reading
   * @returns {BackdropUse}
   */
  #backdropOf(scene, reading) {
    const { look, widthPx, heightPx } = scene;
    const use = { texture: null, colour: NO_COLOUR, followsPicture: false, crop: WHOLE, level: 0 };
    if (look.view !== 'cut-out') return use;
    const { backdrop } = look;
    switch (backdrop.kind) {
      case 'blur':
        return { ...use, texture: this.#blur.of(scene, reading), followsPicture: true };
      case 'colour':
        return { ...use, colour: [...backdrop.colour.map((part) => part / 255), 1] };
      case 'picture': {
        const { x, y, width, height, scale } = coverOf(backdrop.picture, widthPx, heightPx);
        const { width: allPx, height: allHighPx } = backdrop.picture;
        this.#takeBackdrop(backdrop.picture);
        const crop = [x / allPx, y / allHighPx, width / allPx, height / allHighPx];
        return { ...use, texture: this.#backdrop, crop, level: Math.max(0, -Math.log2(scale)) };
      }
      case 'transparent':
        return use;
    }
  }

  /** @param {ImageBitmap} picture */
  #takeBackdrop(picture) {
    if (this.#backdropSource === picture) return;
    this.#backdrop.take(picture, { isShrunk: true });
    this.#backdropSource = picture;
  }
}

/** @param {Scene} scene */
function mixingOf({ look: { view } }) {
  if (view === 'cut-out') return MIX.cutOut;
  return view === 'blend' ? MIX.hue : MIX.cover;
}
