import { BLUR_SIGMA_PX } from './recipes.js';

const REACH = Math.ceil(2.5 * BLUR_SIGMA_PX);
/** Of the pixels from `-REACH` to `REACH`. Their sum does not matter: in the end all is divided by the alpha that came with it. */
const WEIGHTS = Float32Array.from({ length: 2 * REACH + 1 }, (_, at) => Math.exp(-0.5 * ((at - REACH) / BLUR_SIGMA_PX) ** 2));
const CHANNELS = 4;

/** Blurs a small picture in which transparent pixels count less. Nothing in the result is transparent. */
export class CanvasBlur {
  #from = new Float32Array(0);
  #to = new Float32Array(0);

  /** @param {ImageData} image Changed. */
  blur({ data, width, height }) {
    if (this.#from.length !== data.length) {
      this.#from = new Float32Array(data.length);
      this.#to = new Float32Array(data.length);
    }
    premultiply(data, this.#from);
    for (let y = 0; y < height; y += 1) blurLine(this.#from, this.#to, y * width * CHANNELS, CHANNELS, width);
    for (let x = 0; x < width; x += 1) blurLine(this.#to, this.#from, x * CHANNELS, width * CHANNELS, height);
    divide(this.#from, data);
  }
}

/**
 * @param {Float32Array} from
 * @param {Float32Array} to
 * @param {number} start Of a row or column.
 * @param {number} step To its next pixel.
 * @param {number} length In pixels.
 */
function blurLine(from, to, start, step, length) {
  for (let place = 0; place < length; place += 1) {
    let [red, green, blue, alpha] = [0, 0, 0, 0];
    const last = Math.min(REACH, length - 1 - place);
    for (let distance = -Math.min(REACH, place); distance <= last; distance += 1) {
      const at = start + (place + distance) * step;
      const weight = WEIGHTS[distance + REACH];
      red += weight * from[at];
      green += weight * from[at + 1];
      blue += weight * from[at + 2];
      alpha += weight * from[at + 3];
    }
    const at = start + place * step;
    to[at] = red;
    to[at + 1] = green;
    to[at + 2] = blue;
    to[at + 3] = alpha;
  }
}

/**
 * @param {Uint8ClampedArray} data
 * @param {Float32Array} to
 */
function premultiply(data, to) {
  for (let at = 0; at < data.length; at += CHANNELS) {
    const alpha = data[at + 3] / 255;
    to[at] = data[at] * alpha;
    to[at + 1] = data[at + 1] * alpha;
    to[at + 2] = data[at + 2] * alpha;
    to[at + 3] = alpha;
  }
}

/**
 * @param {Float32Array} from
 * @param {Uint8ClampedArray} data
 */
function divide(from, data) {
  for (let at = 0; at < data.length; at += CHANNELS) {
    const alpha = Math.max(from[at + 3], 1 / 255);
    data[at] = from[at] / alpha;
    data[at + 1] = from[at + 1] / alpha;
    data[at + 2] = from[at + 2] / alpha;
    data[at + 3] = 255;
  }
}
