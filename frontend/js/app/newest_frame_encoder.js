/**
 * @import { WorkerReply } from './worker_encoder.js'
 *
 * @typedef {{ maxDimensionPx: number, quality: number }} EncodeSettings
 */

/** A frame that has lain here for longer is not worth encoding: the camera's next is near. */
const FRESH_MICROS = 12_000;

/** Holds the newest camera frame and nothing older; encodes it when asked, or waits for the next where it is not fresh. */
export class NewestFrameEncoder {
  /** @type {{ picture: VideoFrame | ImageBitmap, capturedAt: number } | null} */
  #newest = null;
  /** @type {EncodeSettings | null} */
  #asked = null;
  #canvas = new OffscreenCanvas(1, 1);
  #context = this.#canvas.getContext('2d', { alpha: false });
  #deliver;

  /** @param {(encoded: Promise<WorkerReply>) => void} deliver */
  constructor(deliver) {
    this.#deliver = deliver;
  }

  /**
   * @param {VideoFrame | ImageBitmap} picture
   * @param {number} capturedAt
   */
  offer(picture, capturedAt) {
    this.#letGo();
    this.#newest = { picture, capturedAt };
    this.#advance();
  }

  /** @param {EncodeSettings} settings */
  ask(settings) {
    this.#asked = settings;
    if (this.#newest && nowMicros() - this.#newest.capturedAt > FRESH_MICROS) this.#letGo();
    this.#advance();
  }

  #letGo() {
    this.#newest?.picture.close();
    this.#newest = null;
  }

  #advance() {
    if (!this.#asked || !this.#newest) return;
    const { picture, capturedAt } = this.#newest;
    const settings = this.#asked;
    this.#asked = null;
    this.#newest = null;
    this.#deliver(this.#encode(picture, capturedAt, settings));
  }

  /**
   * @param {VideoFrame | ImageBitmap} picture
   * @param {number} capturedAt
   * @param {EncodeSettings} settings
   * @returns {Promise<WorkerReply>}
   */
  async #encode(picture, capturedAt, { maxDimensionPx, quality }) {
    const startedAt = nowMicros();
    const fullWidth = 'displayWidth' in picture ? picture.displayWidth : picture.width;
    const fullHeight = 'displayHeight' in picture ? picture.displayHeight : picture.height;
    const scale = Math.min(1, maxDimensionPx / Math.max(fullWidth, fullHeight));
    const widthPx = Math.max(1, Math.round(fullWidth * scale));
    const heightPx = Math.max(1, Math.round(fullHeight * scale));
    if (this.#canvas.width !== widthPx) this.#canvas.width = widthPx;
    if (this.#canvas.height !== heightPx) this.#canvas.height = heightPx;
    this.#context?.drawImage(picture, 0, 0, widthPx, heightPx);
    picture.close();
    const blob = await this.#canvas.convertToBlob({ type: 'image/jpeg', quality });
    const jpeg = await blob.arrayBuffer();
    return { jpeg, widthPx, heightPx, capturedAt, startedAt, encodedAt: nowMicros() };
  }
}

/** The page's clock, which a worker shares. */
export function nowMicros() {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}
