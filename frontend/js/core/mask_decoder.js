/** @import { Result } from './wire.js' */

import { inflate } from './inflate.js';
import { Mask } from './mask.js';
import { ProtocolError } from './protocol_error.js';
import { expandRuns, MAX_RUN_BYTES } from './runs.js';
import { ENCODING_MASK, ENCODING_SOFT_MASK } from './wire.js';

const MAX_PIXELS = 8192 * 8192;

/**
 * Turns the results of one socket into masks, in the order they came: a delta builds on the mask before it.
 */
export class MaskDecoder {
  /** @type {Mask | null} */
  #previous = null;
  /** @type {Promise<unknown>} */
  #last = Promise.resolve();

  /**
   * @param {Result} result
   * @param {number} classCount Ids of the result's mode go from 0 to below this.
   * @param {() => void} [onBegin] Called when its turn has come: results wait for those before them.
   * @returns {Promise<Mask>} Fails with a ProtocolError; the next whole mask decodes again.
   */
  decode(result, classCount, onBegin = () => {}) {
    const decoded = this.#last.then(() => {
      onBegin();
      return this.#decode(result, classCount);
    });
    this.#last = decoded.catch(() => (this.#previous = null));
    return decoded;
  }

  /**
   * @param {Result} result
   * @param {number} classCount
   */
  async #decode(result, classCount) {
    const { widthPx, heightPx } = result;
    const pixelCount = widthPx * heightPx;
    if (pixelCount === 0 || pixelCount > MAX_PIXELS) throw new ProtocolError(`a mask cannot be ${widthPx}x${heightPx}`);
    const { runs, plane } = splitPayload(result);
    const [runBytes, confidence] = await Promise.all([
      inflate(runs, pixelCount * MAX_RUN_BYTES),
      plane && inflate(plane, pixelCount),
    ]);
    if (confidence && confidence.length !== pixelCount) {
      throw new ProtocolError(`the confidence plane has ${confidence.length} of ${pixelCount} bytes`);
    }
    const ids = expandRuns(runBytes, pixelCount);
    if (result.isDelta) this.#applyPrevious(ids, widthPx, heightPx);
    checkIds(ids, classCount);
    this.#previous = new Mask(widthPx, heightPx, ids, confidence);
    return this.#previous;
  }

  /**
   * @param {Uint8Array} ids Differences on entry, class ids on return.
   * @param {number} widthPx
   * @param {number} heightPx
   */
  #applyPrevious(ids, widthPx, heightPx) {
    const previous = this.#previous;
    if (!previous || previous.widthPx !== widthPx || previous.heightPx !== heightPx) {
      throw new ProtocolError('a mask came as a difference to one that is not here');
    }
    for (let pixel = 0; pixel < ids.length; pixel += 1) ids[pixel] ^= previous.classIds[pixel];
  }
}

/**
 * @param {Result} result
 * @returns {{ runs: Uint8Array<ArrayBuffer>, plane: Uint8Array<ArrayBuffer> | null }}
 */
function splitPayload({ encoding, payload }) {
  if (encoding === ENCODING_MASK) return { runs: payload, plane: null };
  if (encoding !== ENCODING_SOFT_MASK) throw new ProtocolError(`a result of unknown encoding ${encoding}`);
  if (payload.byteLength < 4) throw new ProtocolError('a soft mask ends before its length');
  const length = new DataView(payload.buffer, payload.byteOffset).getUint32(0, true);
  if (length > payload.byteLength - 4) throw new ProtocolError('a soft mask is shorter than its length says');
  return { runs: payload.subarray(4, 4 + length), plane: payload.subarray(4 + length) };
}

/**
 * @param {Uint8Array} ids
 * @param {number} classCount
 */
function checkIds(ids, classCount) {
  let highest = 0;
  for (const id of ids) if (id > highest) highest = id;
  if (highest >= classCount) throw new ProtocolError(`class id ${highest} is beyond the mode's ${classCount} classes`);
}
