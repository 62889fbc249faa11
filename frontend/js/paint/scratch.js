/** A canvas that is never seen and whose pixels are read and written by the page itself. */
export class Scratch {
  canvas = document.createElement('canvas');

  #context = this.canvas.getContext('2d', { willReadFrequently: true });

  /**
   * Empties it, at this size.
   *
   * @param {number} widthPx
   * @param {number} heightPx
   */
  clear(widthPx, heightPx) {
    const { canvas } = this;
    if (canvas.width !== widthPx || canvas.height !== heightPx) {
      canvas.width = widthPx;
      canvas.height = heightPx;
    } else {
      this.context.clearRect(0, 0, widthPx, heightPx);
    }
    return this.context;
  }

  get context() {
    if (!this.#context) throw new Error('this browser gives no canvas to draw on');
    return this.#context;
  }

  read() {
    return this.context.getImageData(0, 0, this.canvas.width, this.canvas.height);
  }

  /** @param {ImageData} image */
  write(image) {
    this.context.putImageData(image, 0, 0);
  }

  /** Gives its memory back; it may be used again. */
  close() {
    this.canvas.width = 0;
    this.canvas.height = 0;
  }
}
