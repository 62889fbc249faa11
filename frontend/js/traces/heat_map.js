/**
 * @import { Mark, Trace } from '../core/traces.js'
 * @import { Plot } from './axis_painter.js'
 * @import { HeatGrid } from './heat_grid.js'
 * @import { Size } from './surface.js'
 * @import { Tip } from './tip.js'
 */

import { FONT, paintTimeAxis } from './axis_painter.js';
import { BrushGesture } from './brush_gesture.js';
import { countCells, heightOf, microsAtHeight, strengthOf } from './heat_grid.js';
import { markAt, markInWords, paintMarks } from './mark_painter.js';
import { Palette } from './palette.js';
import { Surface } from './surface.js';
import { TimeWindow } from './time_window.js';
import { count, counted, duration, timeOfDay } from './words.js';

const AXIS_PX = 22;
const LABELS_PX = 52;
const DROPS_PX = 12;
const TOP_PX = 2;
const ROWS = 32;
const CELL_PX = 7;
const MARK_REACH_PX = 8;
const LABELLED_MICROS = [1000, 10_000, 100_000, 1_000_000, 10_000_000];
const KEY_SHARE = 0.1;

/** How long frames took, over time; dropped frames have a row of their own at the bottom. Dragging chooses a range of time. */
export class HeatMap {
  #tip;
  #words;
  #onRange;
  #palette;
  #surface;
  #brush;
  #abort = new AbortController();
  /** @type {Trace[]} */
  #traces = [];
  /** @type {Mark[]} */
  #marks = [];
  #slowMicros = 0;
  #window = new TimeWindow(0, 1);
  /** @type {HeatGrid} */
  #grid = countCells([], this.#window, 1, ROWS);
  /** Being brushed, on the canvas. @type {{ from: number, to: number } | null} */
  #brushed = null;

  /**
   * @param {{ canvas: HTMLCanvasElement, words: HTMLElement, tip: Tip }} parts
   * @param {(since: number, until: number) => void} onRange Microseconds since the epoch.
   */
  constructor({ canvas, words, tip }, onRange) {
    this.#tip = tip;
    this.#words = words;
    this.#onRange = onRange;
    this.#surface = new Surface(canvas, (context, size) => this.#paint(context, size));
    this.#palette = new Palette(() => this.#surface.invalidate());
    this.#brush = new BrushGesture(canvas, {
      brush: (from, to) => this.#setBrushed({ from, to }),
      choose: (from, to) => this.#choose(from, to),
      cancel: () => this.#setBrushed(null),
      point: (x, y, event) => this.#point(x, y, event),
      leave: () => tip.hide(),
    });
    canvas.addEventListener('keydown', (event) => this.#press(event), { signal: this.#abort.signal });
  }

  /**
   * @param {Trace[]} traces The newest first.
   * @param {Mark[]} marks
   * @param {number} slowMillis
   */
  show(traces, marks, slowMillis) {
    this.#traces = traces;
    this.#marks = marks;
    this.#slowMicros = slowMillis * 1000;
    const first = traces.at(-1)?.startMicros ?? 0;
    const last = traces[0]?.startMicros ?? 1;
    const room = Math.max(1000, (last - first) * 0.01);
    this.#window = new TimeWindow(first - room, last + room);
    this.#words.textContent = inWords(traces, this.#slowMicros);
    this.#surface.invalidate();
  }

  close() {
    this.#abort.abort();
    this.#brush.close();
    this.#palette.close();
    this.#surface.close();
  }

  /** @returns {Plot} */
  #plotOf({ widthPx, heightPx } = this.#surface.size) {
    return { left: LABELS_PX, top: TOP_PX, width: Math.max(1, widthPx - LABELS_PX), height: heightPx - AXIS_PX - DROPS_PX - TOP_PX };
  }

  /** @param {{ from: number, to: number } | null} brushed */
  #setBrushed(brushed) {
    this.#brushed = brushed;
    this.#tip.hide();
    this.#surface.invalidate();
  }

  /**
   * @param {number} from
   * @param {number} to
   */
  #choose(from, to) {
    this.#setBrushed(null);
    const plot = this.#plotOf();
    const [since, until] = [from, to].map((x) => Math.round(this.#window.microsAt(Math.max(0, x - plot.left), plot.width)));
    this.#onRange(since, until);
  }

  /**
   * Without a pointer: a tenth of the time less at either end.
   *
   * @param {KeyboardEvent} event
   */
  #press(event) {
    const cut = Math.round(this.#window.span * KEY_SHARE);
    const { from, to } = this.#window;
    if (event.key === 'ArrowRight') this.#onRange(Math.round(from + cut), Math.round(to));
    else if (event.key === 'ArrowLeft') this.#onRange(Math.round(from), Math.round(to - cut));
    else return;
    event.preventDefault();
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {PointerEvent} event
   */
  #point(x, y, event) {
    const plot = this.#plotOf();
    const mark = markAt(this.#marks, this.#window, x - plot.left, plot.width, MARK_REACH_PX);
    if (mark) return this.#tip.show(`${timeOfDay(mark.atMicros)}\n${markInWords(mark)}`, event.clientX, event.clientY);
    if (x < plot.left) return this.#tip.hide();
    const { columns, rows, counts, dropped } = this.#grid;
    const column = Math.min(columns - 1, Math.floor(((x - plot.left) / plot.width) * columns));
    const when = timeOfDay(this.#window.microsAt(x - plot.left, plot.width));
    if (y > plot.top + plot.height) return this.#tip.show(`${when}: ${counted(dropped[column], 'frame')} dropped`, event.clientX, event.clientY);
    const row = Math.max(0, Math.min(rows - 1, Math.floor((1 - (y - plot.top) / plot.height) * rows)));
    const range = [row, row + 1].map((edge) => duration(microsAtHeight(edge / rows))).join(' to ');
    this.#tip.show(`${when}, ${range}: ${counted(counts[row * columns + column], 'frame')}`, event.clientX, event.clientY);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Size} size
   */
  #paint(context, size) {
    const plot = this.#plotOf(size);
    const palette = this.#palette;
    const columns = Math.max(1, Math.floor(plot.width / CELL_PX));
    this.#grid = countCells(this.#traces, this.#window, columns, ROWS);
    paintTimeAxis(context, { ...plot, height: plot.height + DROPS_PX }, this.#window, palette, true);
    this.#paintLatencyAxis(context, plot);
    this.#paintCells(context, plot);
    this.#paintSlowLine(context, plot);
    paintMarks(context, plot, this.#window, palette, this.#marks);
    if (this.#brushed) {
      const [left, right] = [this.#brushed.from, this.#brushed.to].map((x) => Math.max(plot.left, x));
      context.fillStyle = palette.accent;
      context.globalAlpha = 0.25;
      context.fillRect(left, plot.top, right - left, plot.height + DROPS_PX);
      context.globalAlpha = 1;
    }
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Plot} plot
   */
  #paintLatencyAxis(context, plot) {
    context.font = FONT;
    context.textAlign = 'right';
    for (const micros of LABELLED_MICROS) {
      const height = heightOf(micros);
      const y = plot.top + (1 - height) * plot.height;
      context.fillStyle = this.#palette.grid;
      context.fillRect(plot.left, Math.round(y), plot.width, 1);
      context.fillStyle = this.#palette.inkSoft;
      context.textBaseline = height === 0 ? 'bottom' : height === 1 ? 'top' : 'middle';
      context.fillText(micros >= 1_000_000 ? `${micros / 1_000_000} s` : `${micros / 1000} ms`, plot.left - 8, y);
    }
    context.textBaseline = 'middle';
    context.fillText('drops', plot.left - 8, plot.top + plot.height + DROPS_PX / 2 + 2);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Plot} plot
   */
  #paintCells(context, plot) {
    const { columns, rows, counts, dropped, most, mostDropped } = this.#grid;
    const width = plot.width / columns;
    const height = plot.height / rows;
    for (let cell = 0; cell < counts.length; cell += 1) {
      if (counts[cell] === 0) continue;
      const row = Math.floor(cell / columns);
      context.fillStyle = this.#palette.heatOf(strengthOf(counts[cell], most));
      context.fillRect(plot.left + (cell % columns) * width, plot.top + (rows - 1 - row) * height, width - 0.6, height - 0.6);
    }
    context.fillStyle = this.#palette.bad;
    dropped.forEach((drops, column) => {
      if (drops === 0) return;
      context.globalAlpha = 0.35 + 0.65 * strengthOf(drops, mostDropped);
      context.fillRect(plot.left + column * width, plot.top + plot.height + 3, width - 0.6, DROPS_PX - 4);
    });
    context.globalAlpha = 1;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Plot} plot
   */
  #paintSlowLine(context, plot) {
    if (this.#slowMicros <= 0) return;
    const y = plot.top + (1 - heightOf(this.#slowMicros)) * plot.height;
    context.strokeStyle = context.fillStyle = this.#palette.slow;
    context.lineWidth = 1;
    context.setLineDash([6, 4]);
    context.beginPath();
    context.moveTo(plot.left, y);
    context.lineTo(plot.left + plot.width, y);
    context.stroke();
    context.setLineDash([]);
    context.textAlign = 'left';
    context.textBaseline = 'bottom';
    context.fillText(`slow from ${duration(this.#slowMicros)}`, plot.left + 4, y - 2);
  }
}

/**
 * @param {Trace[]} traces
 * @param {number} slowMicros
 */
function inWords(traces, slowMicros) {
  if (traces.length === 0) return '';
  const slow = traces.filter((trace) => trace.isSlow).length;
  const dropped = traces.filter((trace) => trace.outcome === 'dropped').length;
  const range = `${timeOfDay(traces[traces.length - 1].startMicros)} to ${timeOfDay(traces[0].startMicros)}`;
  return `${counted(traces.length, 'frame')} from ${range}: ${count(slow)} at or above ${duration(slowMicros)}, ${count(dropped)} dropped.`;
}
