/**
 * The names of classes, written on the picture.
 *
 * @import { ClassScheme } from '../core/class_scheme.js'
 * @import { Mask } from '../core/mask.js'
 * @import { Region } from './regions.js'
 *
 * @typedef {{ left: number, top: number, width: number, height: number }} Tag
 */

import { RegionFinder } from './regions.js';

const PICTURE_HEIGHT_PER_TEXT = 30;
const LEAST_TEXT_PX = 11;
const MOST_TEXT_PX = 30;
/** In tag heights from where a tag should be, the nearest first. */
const SHIFTS = [0, 1.1, -1.1, 2.2, -2.2];
/** Of relative luminance: black and white text are told from such a colour equally well. */
const AS_DARK_AS_LIGHT = 0.179;

const finder = new RegionFinder();

/**
 * @param {Mask} mask
 * @param {ClassScheme} scheme
 * @param {{ most?: number }} [how]
 * @returns {Region[]} The largest regions first.
 */
export function findRegions(mask, scheme, { most = 6 } = {}) {
  return finder.find(mask, scheme, most);
}

/**
 * Writes each region's name in a tag of its class's colour, where there is room: larger regions come first, and a tag that
 * would cover another is moved up or down, or left out.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Region[]} regions
 * @param {ClassScheme} scheme
 * @param {{ isMirrored: boolean, widthPx: number, heightPx: number }} picture
 */
export function drawLabels(context, regions, scheme, { isMirrored, widthPx, heightPx }) {
  const textPx = Math.round(Math.max(LEAST_TEXT_PX, Math.min(MOST_TEXT_PX, heightPx / PICTURE_HEIGHT_PER_TEXT)));
  const height = Math.round(textPx * 1.6);
  /** @type {Tag[]} */
  const placed = [];
  context.save();
  context.font = `600 ${textPx}px system-ui, sans-serif`;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  for (const { classId, x, y } of regions) {
    const label = scheme.label(classId);
    const width = Math.min(widthPx, Math.ceil(context.measureText(label).width + textPx * 1.2));
    const left = within((isMirrored ? 1 - x : x) * widthPx - width / 2, widthPx - width);
    const tag = SHIFTS.map((shift) => ({ left, top: within(y * heightPx + (shift - 0.5) * height, heightPx - height), width, height })).find(
      (candidate) => !placed.some((other) => overlap(candidate, other)),
    );
    if (!tag) continue;
    placed.push(tag);
    drawTag(context, tag, label, scheme.colours[classId], textPx);
  }
  context.restore();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Tag} tag
 * @param {string} label
 * @param {readonly number[]} colour
 * @param {number} textPx
 */
function drawTag(context, { left, top, width, height }, label, colour, textPx) {
  const isLight = luminance(colour) > AS_DARK_AS_LIGHT;
  context.beginPath();
  context.roundRect(left, top, width, height, height / 3);
  context.fillStyle = `rgb(${colour.join(', ')})`;
  context.fill();
  context.lineWidth = Math.max(1, textPx / 14);
  context.strokeStyle = isLight ? 'rgb(0 0 0 / 35%)' : 'rgb(255 255 255 / 45%)'; // Tells it from an area of the same colour.
  context.stroke();
  context.fillStyle = isLight ? '#000' : '#fff';
  context.fillText(label, left + width / 2, top + height / 2 + textPx / 16, width - textPx * 0.6);
}

/**
 * @param {number} place
 * @param {number} last
 */
function within(place, last) {
  return Math.round(Math.max(0, Math.min(last, place)));
}

/**
 * @param {Tag} a
 * @param {Tag} b
 */
function overlap(a, b) {
  return a.left < b.left + b.width && b.left < a.left + a.width && a.top < b.top + b.height && b.top < a.top + a.height;
}

/**
 * Relative luminance as WCAG 2 defines it, 0 to 1.
 *
 * @param {readonly number[]} colour
 */
function luminance(colour) {
  const [red, green, blue] = colour.map((part) => (part <= 10 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
