/** A class id for every pixel, in row order, and with soft edges how sure the model is of each. */
export class Mask {
  /**
   * @param {number} widthPx
   * @param {number} heightPx
   * @param {Uint8Array} classIds width x height class ids.
   * @param {Uint8Array | null} confidence width x height, 255 = certain.
   */
  constructor(widthPx, heightPx, classIds, confidence) {
    this.widthPx = widthPx;
    this.heightPx = heightPx;
    this.classIds = classIds;
    this.confidence = confidence;
  }

  /** @returns {Uint32Array} Pixels of each class id. */
  pixelsByClass() {
    const pixels = new Uint32Array(256);
    for (const id of this.classIds) pixels[id] += 1;
    return pixels;
  }
}
