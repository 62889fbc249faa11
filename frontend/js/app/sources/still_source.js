import { SourceError } from './source_error.js';
import { nextVersion } from './version.js';

/** Nothing moves: often enough to follow a change of mode or settings. */
const INTERVAL_MILLIS = 500;
/** Larger ones are shrunk, so that they fit a texture. */
const MOST_PIXELS_A_SIDE = 4096;

/** One picture from a file, sent now and then. */
export class StillSource {
  isSelfView = false;
  deviceId = '';
  leastIntervalMillis = INTERVAL_MILLIS;

  #bitmap;
  #version = nextVersion();

  /** @param {ImageBitmap} bitmap */
  constructor(bitmap) {
    this.#bitmap = bitmap;
  }

  /**
   * @param {File} file
   * @returns {Promise<StillSource>} Fails with a SourceError.
   */
  static async read(file) {
    try {
      const bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' });
      const longerSide = Math.max(bitmap.width, bitmap.height);
      if (longerSide <= MOST_PIXELS_A_SIDE) return new StillSource(bitmap);
      const resizeWidth = Math.max(1, Math.round((bitmap.width * MOST_PIXELS_A_SIDE) / longerSide));
      const resizeHeight = Math.max(1, Math.round((bitmap.height * MOST_PIXELS_A_SIDE) / longerSide));
      const shrunk = await createImageBitmap(bitmap, { resizeWidth, resizeHeight, resizeQuality: 'high' });
      bitmap.close();
      return new StillSource(shrunk);
    } catch (cause) {
      throw new SourceError('unreadable', { cause });
    }
  }

  readable() {
    return null;
  }

  picture() {
    return { source: this.#bitmap, widthPx: this.#bitmap.width, heightPx: this.#bitmap.height, version: this.#version };
  }

  async grab() {
    const capturedAt = Math.round((performance.timeOrigin + performance.now()) * 1000);
    return { picture: await createImageBitmap(this.#bitmap), capturedAt, takenAt: capturedAt };
  }

  /** A picture stays. */
  onLost() {}

  close() {
    this.#bitmap.close();
  }
}
