/**
 * @typedef {object} TraceContext
 * @property {Uint8Array} traceId 16 bytes.
 * @property {Uint8Array} spanId 8 bytes.
 * @property {boolean} keepTrace
 */

/** The ids under which frames are traced. One frame at a time may be asked to have its trace kept. */
export class TraceIds {
  #keepNext = false;

  keepNext() {
    this.#keepNext = true;
  }

  /** @returns {TraceContext} Of the frame that is sent now. */
  next() {
    const random = crypto.getRandomValues(new Uint8Array(24));
    const keepTrace = this.#keepNext;
    this.#keepNext = false;
    return { traceId: random.subarray(0, 16), spanId: random.subarray(16), keepTrace };
  }
}

/**
 * An id as people and other tools write it.
 *
 * @param {Uint8Array} id
 */
export function idInHex(id) {
  return Array.from(id, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
