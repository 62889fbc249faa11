/**
 * What each view takes from a mask, the same for both painters. A mask becomes a layer: for each of its pixels a weight, and
 * the colour that this weight belongs to. A layer can be stretched smoothly to any size; class ids can't.
 *
 * @import { ClassScheme } from '../core/class_scheme.js'
 * @import { Layer, ViewName } from './scene.js'
 *
 * @typedef {'colours' | 'hues' | 'kept'} PaletteName
 * @typedef {{ palette: PaletteName, isLine: boolean }} Recipe With `isLine`, only the classes' edges have a weight.
 * @typedef {{ mask: Mask, scheme: ClassScheme | null }} Subject What a layer is made of; without a scheme the picture stays alone.
 */

import { Mask } from '../core/mask.js';

const CLEAR_BELOW = 90;
const SOLID_FROM = 200;
const MASK_PX_PER_LINE_PX = 320;

/** Weight by confidence, 0 to 255: a soft step, so that an edge fades where the model hesitates. */
export const SOFT_STEP = Uint8Array.from({ length: 256 }, (_, confidence) => {
  const t = Math.max(0, Math.min(1, (confidence - CLEAR_BELOW) / (SOLID_FROM - CLEAR_BELOW)));
  return Math.round(255 * t * t * (3 - 2 * t));
});

/** @type {Readonly<Record<ViewName, Recipe>>} */
const RECIPES = {
  filled: { palette: 'colours', isLine: false },
  'side-by-side': { palette: 'colours', isLine: false },
  contour: { palette: 'colours', isLine: true },
  blend: { palette: 'hues', isLine: false },
  'cut-out': { palette: 'kept', isLine: false },
};

const NO_MASK = new Mask(1, 1, new Uint8Array(1), null);

/**
 * @param {Layer} layer
 * @returns {Subject}
 */
export function subjectOf({ mask, scheme }) {
  return mask ? { mask, scheme } : { mask: NO_MASK, scheme: null };
}

/** @param {ViewName} view */
export function recipeOf(view) {
  return RECIPES[view];
}

/**
 * How far from another class a line reaches, in pixels of the mask.
 *
 * @param {Mask} mask
 */
export function reachOf({ widthPx }) {
  return Math.max(1, Math.round(widthPx / MASK_PX_PER_LINE_PX));
}

/**
 * Red, green, blue and weight of each class, 0 to 255, one class after the other.
 *
 * @param {ClassScheme | null} scheme
 * @param {PaletteName} name
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function paletteOf(scheme, name) {
  const palette = new Uint8Array(4 * 256);
  for (let id = 0; id < 256; id += 1) {
    const colour = entryOf(scheme, name, id);
    if (colour) palette.set([colour[0], colour[1], colour[2], 255], 4 * id);
  }
  return palette;
}

/**
 * @param {ClassScheme | null} scheme
 * @param {PaletteName} name
 * @param {number} id
 * @returns {readonly number[] | null} Null where the class has no weight.
 */
function entryOf(scheme, name, id) {
  if (name === 'kept') return !scheme || scheme.isKept(id) ? [0, 0, 0] : null;
  if (!scheme?.isDrawn(id)) return null;
  return name === 'hues' ? pureHue(scheme.colours[id]) : scheme.colours[id];
}

/**
 * The colour of this hue that is as saturated and bright as can be. With saturation and value of a pixel it gives, by a
 * linear formula, the pixel in this hue: so pure hues may be mixed before the pixel is known.
 *
 * @param {readonly number[]} colour
 * @returns {number[] | null} Null for a grey, which has no hue.
 */
function pureHue(colour) {
  const high = Math.max(...colour);
  const low = Math.min(...colour);
  return high === low ? null : colour.map((part) => Math.round((255 * (part - low)) / (high - low)));
}

/** Of the small picture that a backdrop is blurred in. */
export const BLUR_SIGMA_PX = 2.5;
const BLUR_LONGER_SIDE_PX = 160;

/**
 * How large the picture is while it is blurred: the blur is as strong for every size of output.
 *
 * @param {number} widthPx
 * @param {number} heightPx
 */
export function blurSizeOf(widthPx, heightPx) {
  const scale = BLUR_LONGER_SIDE_PX / Math.max(widthPx, heightPx);
  return { widthPx: Math.max(1, Math.round(widthPx * scale)), heightPx: Math.max(1, Math.round(heightPx * scale)) };
}

/**
 * What is seen of a picture that covers an output of another shape, its middle in the middle. In pixels of the picture.
 *
 * @param {{ width: number, height: number }} picture
 * @param {number} widthPx
 * @param {number} heightPx
 */
export function coverOf(picture, widthPx, heightPx) {
  const scale = Math.max(widthPx / picture.width, heightPx / picture.height);
  const [width, height] = [widthPx / scale, heightPx / scale];
  return { x: (picture.width - width) / 2, y: (picture.height - height) / 2, width, height, scale };
}
