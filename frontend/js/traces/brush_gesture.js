/**
 * @typedef {object} BrushMoves Places are CSS pixels from the canvas's corner.
 * @property {(from: number, to: number) => void} brush While it goes on.
 * @property {(from: number, to: number) => void} choose
 * @property {() => void} cancel
 * @property {(x: number, y: number, event: PointerEvent) => void} point
 * @property {() => void} leave
 */

const LEAST_PX = 6;

/** Dragging over a chart to choose a range. Escape lets go of it. */
export class BrushGesture {
  #canvas;
  #moves;
  /** @type {number | null} */
  #from = null;
  #abort = new AbortController();

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {BrushMoves} moves
   */
  constructor(canvas, moves) {
    this.#canvas = canvas;
    this.#moves = moves;
    const { signal } = this.#abort;
    canvas.addEventListener('pointerdown', (event) => this.#down(event), { signal });
    canvas.addEventListener('pointermove', (event) => this.#move(event), { signal });
    canvas.addEventListener('pointerup', (event) => this.#up(event), { signal });
    canvas.addEventListener('pointercancel', () => this.#cancel(), { signal });
    canvas.addEventListener('pointerleave', () => moves.leave(), { signal });
    document.addEventListener('keydown', (event) => event.key === 'Escape' && this.#cancel(), { signal });
  }

  close() {
    this.#abort.abort();
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (event.button !== 0) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#from = this.#xOf(event);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const x = this.#xOf(event);
    if (this.#from === null) return this.#moves.point(x, event.clientY - this.#canvas.getBoundingClientRect().top, event);
    if (Math.abs(x - this.#from) >= LEAST_PX) this.#moves.brush(Math.min(this.#from, x), Math.max(this.#from, x));
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const from = this.#from;
    const to = this.#xOf(event);
    this.#from = null;
    if (from === null) return;
    if (Math.abs(to - from) < LEAST_PX) this.#moves.cancel();
    else this.#moves.choose(Math.min(from, to), Math.max(from, to));
  }

  #cancel() {
    if (this.#from === null) return;
    this.#from = null;
    this.#moves.cancel();
  }

  /** @param {PointerEvent} event */
  #xOf(event) {
    const { left, width } = this.#canvas.getBoundingClientRect();
    return Math.max(0, Math.min(width, event.clientX - left));
  }
}
