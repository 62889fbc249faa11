/**
 * The steps between the best frames that the server takes and the smallest that it asks for.
 *
 * @import { FrameSettings } from './frame_pump.js'
 * @import { Limits } from './messages.js'
 *
 * @typedef {FrameSettings & { cost: number }} QualityLevel `cost` is proportional to the bytes of a frame, and comparable between ladders.
 */

const COST_PER_STEP = 0.75;
const DIMENSION_STEP_PX = 16;

/** How bytes fall with pixels and with the scale of libjpeg's quantisation tables: fitted to photographs. */
const SIDE_EXPONENT = 1.4;
const QUANTISATION_EXPONENT = -0.57;

/**
 * Quality and size fall together, each by the same share of its way at every step.
 *
 * @param {Limits} limits
 * @returns {QualityLevel[]} The best first; only that one where the client is not to adapt.
 */
export function buildLadder({ jpegQuality, maxDimensionPx, adaptive }) {
  const top = levelOf(jpegQuality, maxDimensionPx);
  if (!adaptive) return [top];
  const floor = levelOf(Math.min(adaptive.minJpegQuality, jpegQuality), Math.min(adaptive.minDimensionPx, maxDimensionPx));
  if (floor.cost >= top.cost) return [top];
  const steps = Math.max(1, Math.round(Math.log(floor.cost / top.cost) / Math.log(COST_PER_STEP)));
  const between = Array.from({ length: steps - 1 }, (_, index) => levelBetween(top, floor, (index + 1) / steps));
  return [top, ...between, floor];
}

/**
 * @param {QualityLevel} top
 * @param {QualityLevel} floor
 * @param {number} way 0 to 1.
 */
function levelBetween(top, floor, way) {
  const quality = qualityOf(geometric(quantisation(top.jpegQuality), quantisation(floor.jpegQuality), way));
  const side = geometric(top.maxDimensionPx, floor.maxDimensionPx, way);
  const wholeBlocks = DIMENSION_STEP_PX * Math.round(side / DIMENSION_STEP_PX);
  return levelOf(quality, Math.max(floor.maxDimensionPx, Math.min(top.maxDimensionPx, wholeBlocks)));
}

/**
 * @param {number} jpegQuality
 * @param {number} maxDimensionPx
 * @returns {QualityLevel}
 */
function levelOf(jpegQuality, maxDimensionPx) {
  const cost = quantisation(jpegQuality) ** QUANTISATION_EXPONENT * maxDimensionPx ** SIDE_EXPONENT;
  return { jpegQuality, maxDimensionPx, cost };
}

/**
 * What libjpeg makes of a quality, in percent of its basic tables.
 *
 * @param {number} quality
 */
function quantisation(quality) {
  return quality < 50 ? 5000 / quality : Math.max(1, 200 - 2 * quality);
}

/** @param {number} percent */
function qualityOf(percent) {
  return Math.round(percent > 100 ? 5000 / percent : (200 - percent) / 2);
}

/**
 * @param {number} from
 * @param {number} to
 * @param {number} way
 */
function geometric(from, to, way) {
  return from * (to / from) ** way;
}
