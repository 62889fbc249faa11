/**
 * Where the time of painted frames went, from capture to paint, in the few parts that people tell apart.
 *
 * @import { DecodedResult } from './decoded_result.js'
 * @import { StageMicros } from './wire.js'
 *
 * @typedef {object} PaintedFrame A frame's times on the client's clock, microseconds.
 * @property {number} sentAt
 * @property {number} paintedAt
 * @property {DecodedResult} decoded
 * @property {number | null} clockOffsetMicros How far the server's clock is ahead; null where it is not known.
 *
 * @typedef {'capture' | 'up' | 'queue' | 'decode' | 'model' | 'encode' | 'down' | 'paint'} PartName
 * @typedef {Record<PartName, number>} PartMicros They are never negative and add up to capture to paint.
 *
 * @typedef {object} StageShare
 * @property {PartName} name
 * @property {string} title
 * @property {number} millis Mean over the last frames.
 * @property {number} share Of the whole, 0 to 1.
 */

const MOST_FRAMES = 60;
/** Where frames are rare, a few older ones are kept. */
const LEAST_FRAMES = 8;
const SPAN_MICROS = 3_000_000;

/** In the order a frame meets them. @type {Record<PartName, string>} */
export const PART_TITLES = {
  capture: 'Capture',
  up: 'Upload',
  queue: 'Queue',
  decode: 'Decode',
  model: 'Model',
  encode: 'Compress',
  down: 'Download',
  paint: 'Paint',
};

/** @type {Record<PartName, string>} */
export const PART_PURPOSES = {
  capture: 'The picture waits for the encoder and becomes a JPEG.',
  up: 'The frame is on its way to the server.',
  queue: 'The frame waits for its model.',
  decode: 'The server makes pixels of the JPEG.',
  model: 'The model makes a mask of the picture.',
  encode: 'The server compresses the mask.',
  down: 'The mask is on its way back.',
  paint: 'The mask is unpacked, waits for the screen and is painted.',
};

export const PART_NAMES = /** @type {PartName[]} */ (Object.keys(PART_TITLES));

/** The last painted frames, sixty or three seconds of them, taken apart. */
export class StageTimes {
  /** @type {{ paintedAt: number, parts: PartMicros }[]} */
  #frames = [];

  /**
   * @param {PaintedFrame} frame
   * @returns {PartMicros}
   */
  add(frame) {
    const parts = partsOf(frame);
    this.#frames.push({ paintedAt: frame.paintedAt, parts });
    this.#forget(frame.paintedAt);
    return parts;
  }

  /** @returns {StageShare[]} One for each part, in order; none before the first frame. */
  get shares() {
    if (this.#frames.length === 0) return [];
    const millis = PART_NAMES.map((name) => this.#frames.reduce((sum, { parts }) => sum + parts[name], 0) / this.#frames.length / 1000);
    const total = millis.reduce((sum, part) => sum + part, 0);
    return PART_NAMES.map((name, position) => ({
      name,
      title: PART_TITLES[name],
      millis: millis[position],
      share: total > 0 ? millis[position] / total : 0,
    }));
  }

  /**
   * How steady a part is.
   *
   * @param {PartName} name
   * @returns {{ medianMillis: number, p95Millis: number } | null} Null before the first frame.
   */
  spreadOf(name) {
    if (this.#frames.length === 0) return null;
    const sorted = this.#frames.map(({ parts }) => parts[name]).sort((a, b) => a - b);
    /** @param {number} share */
    const millisAt = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] / 1000;
    return { medianMillis: millisAt(0.5), p95Millis: millisAt(0.95) };
  }

  /** The stream starts anew. */
  restart() {
    this.#frames = [];
  }

  /** @param {number} now */
  #forget(now) {
    const isOver = () => this.#frames.length > MOST_FRAMES || now - this.#frames[0].paintedAt > SPAN_MICROS;
    while (this.#frames.length > LEAST_FRAMES && isOver()) this.#frames.shift();
  }
}

/**
 * Clocks and roundings may disagree by a little: each time is taken to be at or after the one before it.
 *
 * @param {PaintedFrame} frame
 * @returns {PartMicros}
 */
export function partsOf({ sentAt, paintedAt, decoded, clockOffsetMicros }) {
  const { capturedAt, receivedAt, result } = decoded;
  const end = Math.max(capturedAt, paintedAt);
  const sent = between(capturedAt, sentAt, end);
  const received = between(sent, receivedAt, end);
  const server = serverParts(result.stageMicros, received - sent);
  const serverMicros = server.queue + server.decode + server.model + server.encode;
  const networkMicros = received - sent - serverMicros;
  const down =
    clockOffsetMicros === null
      ? networkMicros / 2
      : between(0, received - (Number(result.serverSentAt) - clockOffsetMicros), networkMicros);
  return { capture: sent - capturedAt, up: networkMicros - down, ...server, down, paint: end - received };
}

/**
 * @param {StageMicros} stages What is in none of them, such as the way to a worker, counts as the model's.
 * @param {number} mostMicros The server cannot have taken longer than the frame was away.
 */
function serverParts({ queue, decode, preprocess, infer, postprocess, encode, total }, mostMicros) {
  const named = queue + decode + preprocess + infer + postprocess + encode;
  const whole = Math.max(total, named);
  const scale = whole > mostMicros ? mostMicros / whole : 1;
  return { queue: queue * scale, decode: decode * scale, model: (whole - queue - decode - encode) * scale, encode: encode * scale };
}

/**
 * @param {number} low
 * @param {number} value
 * @param {number} high
 */
function between(low, value, high) {
  return Math.max(low, Math.min(high, value));
}
