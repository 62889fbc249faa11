/** @import { SentFrame } from '../core/frame_pump.js' */

/** For debugging: the last frames as they were sent. Off until `keep` is called. */
export class FrameKeeper {
  /** @type {Map<number, Uint8Array>} */
  #jpegs = new Map();
  #most = 0;

  /** @param {number} most 0 keeps none. */
  keep(most) {
    this.#most = most;
    this.#trim();
  }

  /** @param {SentFrame} sent */
  add({ frameId, frame }) {
    if (this.#most === 0) return;
    this.#jpegs.set(frameId, frame.jpeg);
    this.#trim();
  }

  /** @param {number} frameId */
  jpeg(frameId) {
    return this.#jpegs.get(frameId);
  }

  #trim() {
    for (const frameId of this.#jpegs.keys()) {
      if (this.#jpegs.size <= this.#most) break;
      this.#jpegs.delete(frameId);
    }
  }
}
