/** What a cut-out puts behind its subject. @import { Backdrop } from './cutout_view.js' */

const BLUR_STEPS = 3;

/** @type {Backdrop} */
export function dim(context) {
  fill(context, '#05070a');
}

/** @type {Backdrop} */
export function solid(context) {
  fill(context, '#1f6f6b');
}

const small = document.createElement('canvas');
const smallContext = small.getContext('2d');

/**
 * Blurs by shrinking the picture and growing it again, which every browser does fast.
 *
 * @type {Backdrop}
 */
export function blur(context, video) {
  const { width, height } = context.canvas;
  small.width = Math.max(1, Math.round(width / 16));
  small.height = Math.max(1, Math.round(height / 16));
  smallContext?.drawImage(video, 0, 0, small.width, small.height);
  context.imageSmoothingQuality = 'high';
  for (let step = 0; step < BLUR_STEPS; step += 1) {
    context.globalAlpha = 1 / (step + 1); // Averages copies that lie a few pixels apart.
    const shift = (step - 1) * 6;
    context.drawImage(small, shift - 8, shift - 8, width + 16, height + 16);
  }
  context.globalAlpha = 1;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} colour
 */
function fill(context, colour) {
  context.fillStyle = colour;
  context.fillRect(0, 0, context.canvas.width, context.canvas.height);
}
