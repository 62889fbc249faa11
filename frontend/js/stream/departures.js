/**
 * @import { DecodedResult } from '../core/decoded_result.js'
 * @import { SentFrame } from '../core/frame_pump.js'
 *
 * @typedef {{ encodedAt: number, sentAt: number, encodeStartedAt: number, jpegBytes: number, longerSidePx: number }} SentTimes
 * @typedef {SentTimes & { decoded: DecodedResult }} AnsweredFrame
 */

import { Mask } from '../core/mask.js';

/** Painted late or never: beyond these nobody waits for a word of their paint. */
const MOST_UNPAINTED = 64;

/** Frames on their way: the picture of each until it is answered, its times until it is painted. */
export class Departures {
  /** @type {Map<number, SentTimes & { picture: ImageBitmap | null }>} */
  #sent = new Map();
  /** @type {Map<number, AnsweredFrame>} */
  #answered = new Map();
  /** @type {Map<number, Uint8Array>} */
  #jpegs = new Map();
  #mostJpegs = 0;

  /**
   * @param {SentFrame} sent
   * @param {number} sentAt
   */
  add({ frameId, frame }, sentAt) {
    const { encodedAt, startedAt, jpeg, picture = null } = frame;
    const longerSidePx = Math.max(frame.widthPx, frame.heightPx);
    this.#sent.set(frameId, { encodedAt, sentAt, encodeStartedAt: startedAt, jpegBytes: jpeg.byteLength, longerSidePx, picture });
    if (this.#mostJpegs > 0) this.#jpegs.set(frameId, jpeg);
    trim(this.#jpegs, this.#mostJpegs);
  }

  /**
   * @param {number} frameId
   * @param {DecodedResult} decoded
   * @returns {{ picture: ImageBitmap | null } | undefined} The picture is the caller's from here.
   */
  answer(frameId, decoded) {
    const sent = this.#sent.get(frameId);
    if (!sent) return undefined;
    this.#sent.delete(frameId);
    const { picture, ...times } = sent;
    this.#answered.set(frameId, { ...times, decoded: timesOf(decoded) });
    trim(this.#answered, MOST_UNPAINTED);
    return { picture };
  }

  /**
   * Once for each frame.
   *
   * @param {number} frameId
   */
  painted(frameId) {
    const frame = this.#answered.get(frameId);
    this.#answered.delete(frameId);
    return frame;
  }

  /** @param {number} frameId It has no result. */
  forget(frameId) {
    this.#sent.get(frameId)?.picture?.close();
    this.#sent.delete(frameId);
  }

  clear() {
    for (const { picture } of this.#sent.values()) picture?.close();
    this.#sent.clear();
  }

  /** @param {number} most 0 keeps none. */
  keepJpegs(most) {
    this.#mostJpegs = most;
    trim(this.#jpegs, most);
  }

  /** @param {number} frameId */
  jpegOf(frameId) {
    return this.#jpegs.get(frameId);
  }
}

const NO_BYTES = new Uint8Array(0);
const NO_MASK = new Mask(0, 0, NO_BYTES, null);

/**
 * Without what is large: many of these may wait for a paint that never comes.
 *
 * @param {DecodedResult} decoded
 * @returns {DecodedResult}
 */
function timesOf(decoded) {
  return { ...decoded, mask: NO_MASK, result: { ...decoded.result, payload: NO_BYTES } };
}

/**
 * Lets the oldest go.
 *
 * @template T
 * @param {Map<number, T>} entries
 * @param {number} most
 */
function trim(entries, most) {
  for (const key of entries.keys()) {
    if (entries.size <= most) break;
    entries.delete(key);
  }
}
