/**
 * What a painter is asked to paint.
 *
 * @import { ClassScheme } from '../core/class_scheme.js'
 * @import { Mask } from '../core/mask.js'
 *
 * @typedef {'filled' | 'contour' | 'side-by-side' | 'blend' | 'cut-out'} ViewName
 *
 * @typedef {{ kind: 'blur' }
 *   | { kind: 'colour', colour: readonly number[] }
 *   | { kind: 'picture', picture: ImageBitmap }
 *   | { kind: 'transparent' }} Backdrop What a cut-out puts behind what it keeps. A colour is red, green, blue, 0 to 255;
 *   a picture has at most 4096 pixels a side, covers the whole output and is never mirrored.
 *
 * @typedef {object} Look How the user wants it.
 * @property {ViewName} view
 * @property {number} opacity 0 to 1, of the colours in `filled` and `side-by-side`.
 * @property {Backdrop} backdrop
 * @property {boolean} isMirrored
 *
 * @typedef {object} Picture
 * @property {HTMLVideoElement | ImageBitmap | VideoFrame | HTMLCanvasElement} source
 * @property {number} widthPx
 * @property {number} heightPx
 * @property {number} version Another one when the source's pixels are.
 *
 * @typedef {object} Layer
 * @property {Mask | null} mask Without one the picture is painted alone.
 * @property {ClassScheme} scheme
 *
 * @typedef {object} Scene
 * @property {Picture} picture
 * @property {Layer} layer
 * @property {{ layer: Layer, split: number } | null} other To compare with: painted right of the split, which counts from 0
 *   to 1 across the screen, mirrored or not.
 * @property {Look} look
 * @property {number} widthPx Of one picture on the canvas: side by side they take twice as much.
 * @property {number} heightPx
 */

/**
 * Makes the canvas as large as the scene needs; setting a size clears it, so only when it changes.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Scene} scene
 */
export function fitCanvas(canvas, { widthPx, heightPx, look }) {
  const wantedPx = look.view === 'side-by-side' ? 2 * widthPx : widthPx;
  if (canvas.width !== wantedPx) canvas.width = wantedPx;
  if (canvas.height !== heightPx) canvas.height = heightPx;
}
