/** @import { Scene } from './scene.js' */

import { Signal } from '../core/signal.js';
import { GlError } from './gl_error.js';
import { GlKit } from './gl_kit.js';
import { fitCanvas } from './scene.js';

/** What was painted can be read until the task that painted it ends: to keep it for longer takes a copy each time. @type {WebGLContextAttributes} */
const ATTRIBUTES = { alpha: true, premultipliedAlpha: true, antialias: false, depth: false, stencil: false };

/** Names of renderers that are none. */
const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/** Paints with the graphics card. When the card is lost it paints nothing, and when it is back it goes on by itself. */
export class GlPainter {
  /** @type {'webgl2'} */
  kind = 'webgl2';
  /** The canvas came back empty and has to be painted again. @type {Signal<void>} */
  restored = new Signal();

  #canvas;
  #gl;
  /** @type {GlKit | null} */
  #kit = null;
  #abort = new AbortController();

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {WebGL2RenderingContext} gl Of this canvas.
   */
  constructor(canvas, gl) {
    this.#canvas = canvas;
    this.#gl = gl;
    const { signal } = this.#abort;
    canvas.addEventListener('webglcontextlost', (event) => this.#lose(event), { signal });
    canvas.addEventListener('webglcontextrestored', () => this.restored.emit(), { signal });
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{ evenIfSlow: boolean }} how Whether the processor may do the graphics card's work.
   * @returns {GlPainter | null} Null where WebGL2 can't do it; the canvas is then still free for another kind of context.
   */
  static on(canvas, { evenIfSlow }) {
    if (!isAble(canvas.ownerDocument, evenIfSlow)) return null;
    const gl = canvas.getContext('webgl2', ATTRIBUTES);
    return gl && new GlPainter(canvas, gl);
  }

  /** @param {Scene} scene */
  paint(scene) {
    fitCanvas(this.#canvas, scene);
    this.#kit ??= buildKit(this.#gl);
    this.#kit?.paint(scene);
  }

  close() {
    this.#abort.abort();
    this.#kit?.close();
    this.#kit = null;
  }

  /** @param {Event} event */
  #lose(event) {
    event.preventDefault(); // Says that a restored one is wanted.
    this.#kit = null;
  }
}

/**
 * Tries it on another canvas: one that was once asked for WebGL gives no other context any more.
 *
 * @param {Document} document
 * @param {boolean} evenIfSlow
 */
function isAble(document, evenIfSlow) {
  const gl = document.createElement('canvas').getContext('webgl2', { ...ATTRIBUTES, failIfMajorPerformanceCaveat: !evenIfSlow });
  if (!gl) return false;
  try {
    return (evenIfSlow || !isInSoftware(gl)) && buildKit(gl) !== null;
  } catch (error) {
    if (error instanceof GlError) return false;
    throw error;
  } finally {
    gl.getExtension('WEBGL_lose_context')?.loseContext();
  }
}

/**
 * Whether the processor does the graphics card's work. Not every browser that does so owns up to the performance caveat.
 *
 * @param {WebGL2RenderingContext} gl
 */
function isInSoftware(gl) {
  const vague = gl.getParameter(gl.RENDERER);
  const exact = vague === 'WebKit WebGL' ? gl.getExtension('WEBGL_debug_renderer_info')?.UNMASKED_RENDERER_WEBGL : undefined;
  return SOFTWARE.test(exact === undefined ? vague : gl.getParameter(exact));
}

/**
 * @param {WebGL2RenderingContext} gl
 * @returns {GlKit | null} Null while the card is lost.
 */
function buildKit(gl) {
  if (gl.isContextLost()) return null;
  try {
    return new GlKit(gl);
  } catch (error) {
    if (gl.isContextLost()) return null;
    throw error;
  }
}
