/**
 * @typedef {object} Format
 * @property {number} internal
 * @property {number} external
 * @property {boolean} isSmooth Whether it is mixed between its pixels when it is stretched.
 */

import { GlError } from './gl_error.js';

const FIRST_UNIT = 0;

/** An image in the graphics card's memory; it can be drawn to as well. The first row is the top one. */
export class GlTexture {
  widthPx = 0;
  heightPx = 0;

  #gl;
  #format;
  #texture;
  /** @type {WebGLFramebuffer | null} */
  #framebuffer = null;

  /**
   * @param {WebGL2RenderingContext} gl
   * @param {Format} format
   */
  constructor(gl, format) {
    this.#gl = gl;
    this.#format = format;
    this.#texture = this.#create();
  }

  /** @param {WebGL2RenderingContext} gl */
  static ofColours(gl, { isSmooth = true } = {}) {
    return new GlTexture(gl, { internal: gl.RGBA8, external: gl.RGBA, isSmooth });
  }

  /**
   * Whole numbers, 0 to 255, such as class ids: nothing lies between two of them.
   *
   * @param {WebGL2RenderingContext} gl
   */
  static ofBytes(gl) {
    return new GlTexture(gl, { internal: gl.R8UI, external: gl.RED_INTEGER, isSmooth: false });
  }

  /** For drawing to it. */
  get framebuffer() {
    return this.#framebuffer ?? this.#createFramebuffer();
  }

  /** @param {number} unit */
  bind(unit) {
    this.#gl.activeTexture(this.#gl.TEXTURE0 + unit);
    this.#gl.bindTexture(this.#gl.TEXTURE_2D, this.#texture);
  }

  /**
   * @param {number} widthPx
   * @param {number} heightPx
   */
  resize(widthPx, heightPx) {
    if (this.widthPx === widthPx && this.heightPx === heightPx) return;
    if (this.widthPx > 0) {
      this.close();
      this.#texture = this.#create();
    }
    this.bind(FIRST_UNIT);
    this.#gl.texStorage2D(this.#gl.TEXTURE_2D, 1, this.#format.internal, widthPx, heightPx);
    this.widthPx = widthPx;
    this.heightPx = heightPx;
  }

  /** @param {Uint8Array} pixels As many as it has. */
  write(pixels) {
    const gl = this.#gl;
    this.bind(FIRST_UNIT);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, this.widthPx, this.heightPx, this.#format.external, gl.UNSIGNED_BYTE, pixels);
  }

  /**
   * Takes over the pixels and the size of a picture. Not into fixed storage: browsers copy a video's frame within the
   * graphics card only this way.
   *
   * @param {TexImageSource} source
   * @param {{ isShrunk?: boolean }} [how] With `isShrunk` it looks good much smaller, too.
   */
  take(source, { isShrunk = false } = {}) {
    const gl = this.#gl;
    this.bind(FIRST_UNIT);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, source);
    if (!isShrunk) return;
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
  }

  close() {
    this.#gl.deleteFramebuffer(this.#framebuffer);
    this.#gl.deleteTexture(this.#texture);
    this.#framebuffer = null;
  }

  #create() {
    const gl = this.#gl;
    const texture = gl.createTexture();
    const filter = this.#format.isSmooth ? gl.LINEAR : gl.NEAREST;
    gl.activeTexture(gl.TEXTURE0 + FIRST_UNIT);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, filter);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, filter);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    return texture;
  }

  #createFramebuffer() {
    const gl = this.#gl;
    const framebuffer = gl.createFramebuffer();
    if (!framebuffer) throw new GlError('no framebuffer could be made');
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.#texture, 0);
    this.#framebuffer = framebuffer;
    return framebuffer;
  }
}
