/** @typedef {{ widthPx: number, heightPx: number }} Size In CSS pixels. */

/** A canvas as sharp as the screen, painted at most once a frame and only when something changed. */
export class Surface {
  #canvas;
  #context;
  #paint;
  #animation = 0;
  #observer;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(context: CanvasRenderingContext2D, size: Size) => void} paint
   */
  constructor(canvas, paint) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d', { alpha: true });
    this.#paint = paint;
    this.#observer = new ResizeObserver(() => this.invalidate());
    this.#observer.observe(canvas);
  }

  /** @returns {Size} */
  get size() {
    return { widthPx: this.#canvas.clientWidth, heightPx: this.#canvas.clientHeight };
  }

  invalidate() {
    if (this.#animation === 0) this.#animation = requestAnimationFrame(() => this.#repaint());
  }

  close() {
    this.#observer.disconnect();
    cancelAnimationFrame(this.#animation);
  }

  #repaint() {
    this.#animation = 0;
    const { size } = this;
    const context = this.#context;
    if (!context || size.widthPx === 0) return;
    const scale = window.devicePixelRatio || 1;
    const width = Math.round(size.widthPx * scale);
    const height = Math.round(size.heightPx * scale);
    if (this.#canvas.width !== width) this.#canvas.width = width;
    if (this.#canvas.height !== height) this.#canvas.height = height;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, size.widthPx, size.heightPx);
    this.#paint(context, size);
  }
}
