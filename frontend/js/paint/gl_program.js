/** @import { GlTexture } from './gl_texture.js' */

import { GlError } from './gl_error.js';

/** One triangle over the whole target; it needs no buffers. */
const VERTEX = `#version 300 es
void main() {
  gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}`;

/** One pass: a fragment shader that is run for every pixel of its target. */
export class GlProgram {
  #gl;
  #program;
  /** @type {Map<string, WebGLUniformLocation | null>} */
  #uniforms = new Map();
  #units = 0;

  /**
   * @param {WebGL2RenderingContext} gl
   * @param {string} fragment
   */
  constructor(gl, fragment) {
    this.#gl = gl;
    this.#program = gl.createProgram();
    for (const [type, source] of /** @type {const} */ ([[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, fragment]])) {
      const shader = gl.createShader(type);
      if (!shader) throw new GlError('no shader could be made');
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(this.#program, shader);
      gl.deleteShader(shader); // Goes when the program does.
    }
    gl.linkProgram(this.#program);
    if (!gl.getProgramParameter(this.#program, gl.LINK_STATUS)) throw new GlError(this.#complaints());
    const count = gl.getProgramParameter(this.#program, gl.ACTIVE_UNIFORMS);
    for (let index = 0; index < count; index += 1) {
      const name = gl.getActiveUniform(this.#program, index)?.name ?? '';
      this.#uniforms.set(name, gl.getUniformLocation(this.#program, name));
    }
  }

  /** The uniforms and textures that are set from here on are this program's. */
  use() {
    this.#gl.useProgram(this.#program);
    this.#units = 0;
    return this;
  }

  /**
   * @param {string} name
   * @param {GlTexture} texture
   */
  texture(name, texture) {
    texture.bind(this.#units);
    return this.whole(name, this.#units++);
  }

  /**
   * @param {string} name
   * @param {number | boolean} value
   */
  whole(name, value) {
    this.#gl.uniform1i(this.#location(name), Number(value));
    return this;
  }

  /**
   * @param {string} name
   * @param {number} x
   * @param {number} y
   */
  wholes(name, x, y) {
    this.#gl.uniform2i(this.#location(name), x, y);
    return this;
  }

  /**
   * @param {string} name
   * @param {number} value
   */
  real(name, value) {
    this.#gl.uniform1f(this.#location(name), value);
    return this;
  }

  /**
   * @param {string} name
   * @param {readonly number[]} values Four.
   */
  reals(name, [x, y, z, w]) {
    this.#gl.uniform4f(this.#location(name), x, y, z, w);
    return this;
  }

  /** @param {GlTexture} target */
  drawTo({ framebuffer, widthPx, heightPx }) {
    this.#draw(framebuffer, widthPx, heightPx);
  }

  drawToCanvas() {
    this.#draw(null, this.#gl.drawingBufferWidth, this.#gl.drawingBufferHeight);
  }

  close() {
    this.#gl.deleteProgram(this.#program);
  }

  /**
   * @param {WebGLFramebuffer | null} framebuffer
   * @param {number} widthPx
   * @param {number} heightPx
   */
  #draw(framebuffer, widthPx, heightPx) {
    const gl = this.#gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    gl.viewport(0, 0, widthPx, heightPx);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /** @param {string} name */
  #location(name) {
    return this.#uniforms.get(name) ?? null;
  }

  #complaints() {
    const shaders = this.#gl.getAttachedShaders(this.#program) ?? [];
    const logs = [this.#gl.getProgramInfoLog(this.#program), ...shaders.map((shader) => this.#gl.getShaderInfoLog(shader))];
    return logs.filter(Boolean).join('\n') || 'a shader was refused';
  }
}
