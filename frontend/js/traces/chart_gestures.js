/**
 * @typedef {object} ChartMoves Places are CSS pixels from the canvas's corner.
 * @property {(factor: number, x: number) => void} zoom
 * @property {(dx: number, dy: number) => void} pan What was under the pointer goes with it.
 * @property {(x: number, y: number, event: PointerEvent) => void} point
 * @property {() => void} leave
 * @property {(x: number, y: number) => void} tap
 *
 * @typedef {{ x: number, y: number }} Spot
 */

const TAP_PX = 5;
const WHEEL_ZOOM = 0.0022;
const PINCH_ZOOM = 0.012;
const LINE_PX = 16;
/** A wheel that scrolls the page goes on scrolling when the chart comes under the pointer. */
const SCROLLS_ON_MILLIS = 250;

/** Wheel, drag and pinch over a chart. */
export class ChartGestures {
  #canvas;
  #moves;
  /** @type {Map<number, Spot>} */
  #pointers = new Map();
  #draggedPx = 0;
  #scrolledAt = -Infinity;
  #abort = new AbortController();

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {ChartMoves} moves
   */
  constructor(canvas, moves) {
    this.#canvas = canvas;
    this.#moves = moves;
    const { signal } = this.#abort;
    canvas.addEventListener('wheel', (event) => this.#wheel(event), { passive: false, signal });
    canvas.addEventListener('pointerdown', (event) => this.#down(event), { signal });
    canvas.addEventListener('pointermove', (event) => this.#move(event), { signal });
    canvas.addEventListener('pointerup', (event) => this.#up(event), { signal });
    canvas.addEventListener('pointercancel', (event) => this.#let(event), { signal });
    canvas.addEventListener('pointerleave', () => this.#pointers.size === 0 && moves.leave(), { signal });
    window.addEventListener('scroll', (event) => (this.#scrolledAt = event.timeStamp), { passive: true, signal });
  }

  close() {
    this.#abort.abort();
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    if (event.timeStamp - this.#scrolledAt < SCROLLS_ON_MILLIS && !event.ctrlKey) return;
    event.preventDefault();
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE_PX : 1;
    const dx = (event.shiftKey ? event.deltaY || event.deltaX : event.deltaX) * unit;
    const isSideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (isSideways) this.#moves.pan(-dx, 0);
    else this.#moves.zoom(Math.exp(-event.deltaY * unit * (event.ctrlKey ? PINCH_ZOOM : WHEEL_ZOOM)), this.#spotOf(event).x);
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (event.button !== 0) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, this.#spotOf(event));
    if (this.#pointers.size === 1) this.#draggedPx = 0;
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const spot = this.#spotOf(event);
    const before = this.#pointers.get(event.pointerId);
    if (!before) return this.#moves.point(spot.x, spot.y, event);
    this.#draggedPx += Math.abs(spot.x - before.x) + Math.abs(spot.y - before.y);
    if (this.#pointers.size === 2) this.#pinch(event.pointerId, before, spot);
    else if (this.#draggedPx > TAP_PX) {
      this.#canvas.dataset.dragging = '';
      this.#moves.leave();
      this.#moves.pan(spot.x - before.x, event.pointerType === 'touch' ? 0 : spot.y - before.y);
    }
    this.#pointers.set(event.pointerId, spot);
  }

  /**
   * Two fingers: how far they are apart zooms, where their middle goes pans.
   *
   * @param {number} pointerId
   * @param {Spot} before
   * @param {Spot} after
   */
  #pinch(pointerId, before, after) {
    const other = [...this.#pointers].find(([id]) => id !== pointerId)?.[1];
    if (!other) return;
    const apart = (/** @type {Spot} */ spot) => Math.max(20, Math.hypot(spot.x - other.x, spot.y - other.y));
    this.#moves.zoom(apart(after) / apart(before), (after.x + other.x) / 2);
    this.#moves.pan((after.x - before.x) / 2, 0);
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const wasAlone = this.#pointers.size === 1 && this.#pointers.has(event.pointerId);
    this.#let(event);
    const spot = this.#spotOf(event);
    if (wasAlone && this.#draggedPx <= TAP_PX) this.#moves.tap(spot.x, spot.y);
  }

  /** @param {PointerEvent} event */
  #let(event) {
    this.#pointers.delete(event.pointerId);
    if (this.#pointers.size === 0) delete this.#canvas.dataset.dragging;
  }

  /** @param {MouseEvent} event */
  #spotOf(event) {
    const { left, top } = this.#canvas.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }
}
