/**
 * @import { Signal } from '../core/signal.js'
 * @import { Scene } from './scene.js'
 *
 * @typedef {object} Painter
 * @property {'webgl2' | '2d'} kind
 * @property {Signal<void>} restored The canvas came back empty, as after a crash of the graphics card, and has to be painted again.
 * @property {(scene: Scene) => void} paint
 * @property {() => void} close
 */

import { CanvasPainter } from './canvas_painter.js';
import { GlPainter } from './gl_painter.js';

/**
 * @param {HTMLCanvasElement} canvas One that was not drawn to yet, or by a painter of the same kind.
 * @param {{ prefer?: 'webgl2' | '2d' }} [how] Without a preference it is the quicker one: WebGL without a graphics card takes
 *   ten times as long as a plain canvas.
 * @returns {Painter}
 */
export function createPainter(canvas, { prefer } = {}) {
  const painter = prefer === '2d' ? null : GlPainter.on(canvas, { evenIfSlow: prefer === 'webgl2' });
  return painter ?? new CanvasPainter(canvas);
}
