/** @import { EncodedFrame, FrameSettings } from '../core/frame_pump.js' */

/** A frame that has lain here for longer is not worth encoding: the camera's next is near. */
const FRESH_MICROS = 12_000;

/**
 * Holds the newest frame of the source and nothing older; encodes it when asked, or waits for the next where it is not
 * fresh.
 */
export class NewestFrameEncoder {
  /** Frames offered since the stream began. */
  offered = 0;

  /** @type {{ picture: VideoFrame | ImageBitmap, capturedAt: number, takenAt: number | null } | null} */
  #newest = null;
  /** @type {{ settings: FrameSettings, resolve: (frame: Promise<EncodedFrame>) => void, reject: (error: Error) => void } | null} */
  #asked = null;
  #canvas = new OffscreenCanvas(1, 1);
  #context = this.#canvas.getContext('2d', { alpha: false, willReadFrequently: true });
  #onAsked;
  #isClosed = false;

  /** @param {() => void} [onAsked] Told when a frame is wanted: a source that only the page can read gives one then. */
  constructor(onAsked = () => {}) {
    this.#onAsked = onAsked;
  }

  /**
   * @param {VideoFrame | ImageBitmap} picture
   * @param {number} capturedAt
   * @param {number | null} takenAt When it began to be copied for the encoder, which is part of the work; null: it was not.
   */
  offer(picture, capturedAt, takenAt = null) {
    if (this.#isClosed) return picture.close();
    this.offered += 1;
    this.#letGo();
    this.#newest = { picture, capturedAt, takenAt };
    this.#advance();
  }

  /**
   * Takes all that comes of a source.
   *
   * @param {ReadableStream<VideoFrame>} readable
   */
  async readFrom(readable) {
    const reader = readable.getReader();
    try {
      for (let part = await reader.read(); !part.done; part = await reader.read()) this.offer(part.value, nowMicros());
    } catch (error) {
      this.fail(String(error));
    }
  }

  /**
   * One frame at a time: ask again when it has come.
   *
   * @param {FrameSettings} settings
   * @returns {Promise<EncodedFrame>}
   */
  next(settings) {
    return new Promise((resolve, reject) => {
      this.#asked = { settings, resolve, reject };
      if (this.#newest && nowMicros() - this.#newest.capturedAt > FRESH_MICROS) this.#letGo();
      this.#onAsked();
      this.#advance();
    });
  }

  /** @param {string} reason Told to whoever waits for a frame. */
  fail(reason) {
    this.#asked?.reject(new Error(reason));
    this.#asked = null;
  }

  close() {
    this.#isClosed = true;
    this.#letGo();
    this.fail('the encoder was closed');
  }

  #letGo() {
    this.#newest?.picture.close();
    this.#newest = null;
  }

  #advance() {
    if (!this.#asked || !this.#newest) return;
    const { picture, capturedAt, takenAt } = this.#newest;
    const { settings, resolve } = this.#asked;
    this.#asked = null;
    this.#newest = null;
    resolve(this.#encode(picture, capturedAt, takenAt ?? nowMicros(), settings));
  }

  /**
   * @param {VideoFrame | ImageBitmap} source
   * @param {number} capturedAt
   * @param {number} startedAt
   * @param {FrameSettings} settings
   * @returns {Promise<EncodedFrame>}
   */
  async #encode(source, capturedAt, startedAt, { maxDimensionPx, jpegQuality }) {
    const fullWidth = 'displayWidth' in source ? source.displayWidth : source.width;
    const fullHeight = 'displayHeight' in source ? source.displayHeight : source.height;
    const scale = Math.min(1, maxDimensionPx / Math.max(fullWidth, fullHeight));
    const widthPx = Math.max(1, Math.round(fullWidth * scale));
    const heightPx = Math.max(1, Math.round(fullHeight * scale));
    if (this.#canvas.width !== widthPx) this.#canvas.width = widthPx;
    if (this.#canvas.height !== heightPx) this.#canvas.height = heightPx;
    this.#context?.drawImage(source, 0, 0, widthPx, heightPx);
    source.close();
    const blob = await this.#canvas.convertToBlob({ type: 'image/jpeg', quality: jpegQuality / 100 });
    const jpeg = new Uint8Array(await blob.arrayBuffer());
    // Taken, not copied: the next frame is drawn onto a canvas of its own.
    const picture = this.#canvas.transferToImageBitmap();
    return { jpeg, picture, widthPx, heightPx, capturedAt, startedAt, encodedAt: nowMicros() };
  }
}

/** The page's clock, which a worker shares. */
export function nowMicros() {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}
