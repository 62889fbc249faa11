/**
 * @import { Mark, Trace } from '../core/traces.js'
 * @import { LaneKind } from './lane_window.js'
 * @import { Layout, Place } from './lanes.js'
 * @import { LaneView } from './lane_painter.js'
 * @import { Size } from './surface.js'
 */

import { FONT, paintTimeAxis } from './axis_painter.js';
import { ChartGestures } from './chart_gestures.js';
import { paintLanes, paintRing } from './lane_painter.js';
import { LaneRows } from './lane_rows.js';
import { boundsOf, firstWindow } from './lane_window.js';
import { alignFrames, packBySession, placeAt } from './lanes.js';
import { paintMarks } from './mark_painter.js';
import { Palette } from './palette.js';
import { Surface } from './surface.js';
import { TimeWindow } from './time_window.js';
import { counted, sessionName, traceInWords } from './words.js';

const AXIS_PX = 22;
const LANE_PX = { sessions: 18, frames: 14 };
const REACH_PX = 5;
const KEY_ZOOM = 1.5;
const KEY_PAN = 0.2;
const HINT = 'Wheel or pinch zooms, dragging pans, a click opens. By keys: arrows, + and −, Enter.';

/** Every frame as a bar of its stages, by session on one axis of time, or each in a lane of its own. */
export class LaneChart {
  #canvas;
  #words;
  #tip;
  #openPlace;
  #palette;
  #surface;
  #gestures;
  #abort = new AbortController();

  /** @type {LaneKind} */
  #kind = 'sessions';
  /** @type {Layout} */
  #layout = packBySession([]);
  /** @type {Trace[]} The newest first. */
  #traces = [];
  /** @type {Mark[]} */
  #marks = [];
  #window = new TimeWindow(0, 1);
  /** The window goes with the newest frame. */
  #isAtEnd = true;
  /** The window is chosen anew with the frames that come next. */
  #isFresh = true;
  #rows = new LaneRows(LANE_PX.sessions);
  /** Under the pointer or chosen by keys. @type {string} */
  #pointed = '';
  #opened = '';

  /**
   * @param {{ canvas: HTMLCanvasElement, words: HTMLElement, tip: import('./tip.js').Tip }} parts
   * @param {(trace: Trace) => void} onOpen
   */
  constructor({ canvas, words, tip }, onOpen) {
    this.#canvas = canvas;
    this.#words = words;
    this.#tip = tip;
    this.#openPlace = (/** @type {Place | null} */ place) => place && onOpen(place.trace);
    this.#surface = new Surface(canvas, (context, size) => this.#paint(context, size));
    this.#palette = new Palette(() => this.#surface.invalidate());
    this.#gestures = new ChartGestures(canvas, {
      zoom: (factor, x) => this.#zoom(factor, this.#window.microsAt(x, this.#widthPx)),
      pan: (dx, dy) => this.#pan(-(dx / this.#widthPx) * this.#window.span, dy),
      point: (x, y, event) => this.#pointAt(this.#placeAt(x, y), event),
      leave: () => this.#leave(),
      tap: (x, y) => this.#openPlace(this.#placeAt(x, y)),
    });
    canvas.addEventListener('keydown', (event) => this.#press(event), { signal: this.#abort.signal });
    this.restart();
  }

  /**
   * @param {Trace[]} traces The newest first.
   * @param {Mark[]} marks
   * @param {LaneKind} kind
   */
  show(traces, marks, kind) {
    if (kind !== this.#kind) {
      this.#kind = kind;
      this.restart();
    }
    const inSight = kind === 'frames' ? this.#layout.lanes[this.#rows.firstLane]?.[0].trace.traceId : '';
    this.#traces = traces;
    this.#marks = marks;
    this.#layout = kind === 'sessions' ? packBySession(traces) : alignFrames(traces);
    this.#rows.setLayout(this.#layout);
    const place = inSight ? this.#placeOf(inSight) : null;
    if (place && this.#rows.isScrolled) this.#rows.keepFirst(place.lane, this.#heightPx);
    this.#settleWindow();
    this.#surface.invalidate();
  }

  /** What is asked for is other than before: the window starts anew. */
  restart() {
    this.#isFresh = true;
    this.#words.textContent = HINT;
    this.#rows = new LaneRows(LANE_PX[this.#kind]);
    this.#rows.setLayout(this.#layout);
  }

  /** @param {string} traceId The open frame; it is brought into sight. */
  select(traceId) {
    if (this.#opened === traceId) return;
    this.#opened = traceId;
    const place = this.#placeOf(traceId);
    if (place) this.#bringIntoSight(place);
    this.#surface.invalidate();
  }

  /** @param {number} steps Above zero shows less time. */
  zoom(steps) {
    this.#zoom(KEY_ZOOM ** steps, (this.#window.from + this.#window.to) / 2);
  }

  showAll() {
    this.#setWindow(this.#bounds);
  }

  close() {
    this.#abort.abort();
    this.#gestures.close();
    this.#palette.close();
    this.#surface.close();
  }

  get #widthPx() {
    return Math.max(1, this.#surface.size.widthPx);
  }

  /** Of the lanes. */
  get #heightPx() {
    return Math.max(0, this.#surface.size.heightPx - AXIS_PX);
  }

  get #bounds() {
    return boundsOf(this.#layout, this.#kind);
  }

  #settleWindow() {
    const bounds = this.#bounds;
    if (this.#isFresh) {
      this.#isFresh = this.#traces.length === 0;
      this.#window = firstWindow(this.#layout, this.#kind);
      this.#isAtEnd = true;
      const opened = this.#placeOf(this.#opened);
      if (opened) this.#bringIntoSight(opened);
    } else if (this.#isAtEnd && this.#kind === 'sessions') this.#window = this.#window.pan(bounds.to - this.#window.to).within(bounds);
  }

  /** @param {TimeWindow} window */
  #setWindow(window) {
    const bounds = this.#bounds;
    this.#window = window.within(bounds);
    this.#isAtEnd = this.#window.to >= bounds.to - this.#window.span * 0.01;
    this.#tip.hide();
    this.#surface.invalidate();
  }

  /**
   * @param {number} factor
   * @param {number} at
   */
  #zoom(factor, at) {
    this.#setWindow(this.#window.zoom(factor, at));
  }

  /**
   * @param {number} micros
   * @param {number} dy
   */
  #pan(micros, dy) {
    this.#rows.scroll(-dy, this.#heightPx);
    this.#setWindow(this.#window.pan(micros));
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  #placeAt(x, y) {
    const reach = (REACH_PX / this.#widthPx) * this.#window.span;
    return placeAt(this.#layout, this.#rows.laneAt(y), this.#window.microsAt(x, this.#widthPx), reach);
  }

  /** @param {string} traceId */
  #placeOf(traceId) {
    const trace = traceId && this.#traces.find((one) => one.traceId === traceId);
    return trace ? this.#layout.places.get(trace) ?? null : null;
  }

  /** @param {Place} place */
  #bringIntoSight(place) {
    if (this.#kind === 'sessions') this.#window = this.#window.showing(place.from, place.to);
    this.#isAtEnd = this.#window.to >= this.#bounds.to - this.#window.span * 0.01;
    this.#rows.bringIntoSight(place.lane, this.#heightPx);
  }

  /**
   * @param {Place | null} place
   * @param {PointerEvent} event
   */
  #pointAt(place, event) {
    if (place) {
      this.#canvas.dataset.pointing = '';
      this.#tip.show(traceInWords(place.trace), event.clientX, event.clientY);
    } else this.#leave();
    this.#point(place?.trace.traceId ?? '');
  }

  #leave() {
    delete this.#canvas.dataset.pointing;
    this.#tip.hide();
  }

  /** @param {string} traceId */
  #point(traceId) {
    if (traceId === this.#pointed) return;
    this.#pointed = traceId;
    this.#surface.invalidate();
  }

  /**
   * By keys, to the frame that began before or after.
   *
   * @param {number} step 1 is later.
   */
  #walk(step) {
    const known = this.#traces.findIndex((trace) => trace.traceId === (this.#pointed || this.#opened));
    const position = known === -1 ? 0 : Math.max(0, Math.min(this.#traces.length - 1, known - step));
    const place = this.#traces[position] && this.#layout.places.get(this.#traces[position]);
    if (!place) return;
    this.#bringIntoSight(place);
    this.#point(place.trace.traceId);
    this.#words.textContent = `${traceInWords(place.trace)} Enter opens it.`;
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    /** @type {Record<string, () => void>} */
    const actions = {
      ArrowLeft: () => this.#pan(-this.#window.span * KEY_PAN, 0),
      ArrowRight: () => this.#pan(this.#window.span * KEY_PAN, 0),
      ArrowUp: () => this.#walk(this.#kind === 'frames' ? 1 : -1),
      ArrowDown: () => this.#walk(this.#kind === 'frames' ? -1 : 1),
      '+': () => this.zoom(1),
      '=': () => this.zoom(1),
      '-': () => this.zoom(-1),
      0: () => this.showAll(),
      Enter: () => this.#openPlace(this.#placeOf(this.#pointed)),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Size} size
   */
  #paint(context, { widthPx, heightPx }) {
    const plot = { left: 0, top: 0, width: widthPx, height: heightPx - AXIS_PX };
    const palette = this.#palette;
    /** @type {LaneView} */
    const view = { layout: this.#layout, window: this.#window, plot, rows: this.#rows, palette };
    paintTimeAxis(context, plot, this.#window, palette, this.#kind === 'sessions');
    context.save();
    context.beginPath();
    context.rect(0, 0, plot.width, plot.height);
    context.clip();
    paintLanes(context, view);
    this.#paintTitles(context);
    if (this.#kind === 'sessions') paintMarks(context, plot, this.#window, palette, this.#marks);
    for (const [traceId, colour] of [[this.#pointed, palette.inkSoft], [this.#opened, palette.ink]]) {
      const place = this.#placeOf(traceId);
      if (place) paintRing(context, view, place, colour);
    }
    context.restore();
  }

  /** @param {CanvasRenderingContext2D} context */
  #paintTitles(context) {
    context.font = FONT;
    context.textAlign = 'left';
    context.textBaseline = 'bottom';
    context.fillStyle = this.#palette.inkSoft;
    for (const { lane, session, frames } of this.#layout.groups) {
      context.fillText(`${sessionName(session)} · ${counted(frames, 'frame')}`, 4, this.#rows.topOf(lane) - 2);
    }
  }
}
