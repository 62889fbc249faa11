/**
 * Paints lanes of frames. Thousands of frames narrower than a few pixels are one bar each; wider ones show their stages.
 *
 * @import { Trace } from '../core/traces.js'
 * @import { Plot } from './axis_painter.js'
 * @import { LaneRows } from './lane_rows.js'
 * @import { Layout, Place } from './lanes.js'
 * @import { Palette } from './palette.js'
 * @import { Side } from './stages.js'
 * @import { TimeWindow } from './time_window.js'
 *
 * @typedef {object} LaneView
 * @property {Layout} layout
 * @property {TimeWindow} window
 * @property {Plot} plot
 * @property {LaneRows} rows
 * @property {Palette} palette
 */

import { firstAfter } from './lanes.js';
import { shortName, sideOf, SIDES } from './stages.js';

const STAGES_FROM_PX = 5;
const NAMES_FROM_PX = 46;
const GAP_PX = 2;

/** The side that a frame spent most of its time on, which does not change. @type {WeakMap<Trace, Side>} */
const LONGEST = new WeakMap();

/**
 * @param {CanvasRenderingContext2D} context
 * @param {LaneView} view
 */
export function paintLanes(context, view) {
  const { layout, plot, rows } = view;
  /** One path for each colour: filling is what takes time. @type {Record<Side, Path2D>} */
  const bars = { browser: new Path2D(), network: new Path2D(), server: new Path2D(), plugin: new Path2D() };
  const seams = new Path2D();
  const slow = new Path2D();
  const dropped = new Path2D();
  /** @type {{ text: string, x: number, y: number, room: number }[]} */
  const names = [];
  layout.lanes.forEach((places, lane) => {
    const top = rows.topOf(lane);
    if (top + rows.lanePx < plot.top || top > plot.top + plot.height) return;
    const height = rows.lanePx - GAP_PX;
    for (const { trace, x, width } of visible(places, view)) {
      if (width < STAGES_FROM_PX) bars[longestSide(trace)].rect(x, top, Math.max(1, width - 0.5), height);
      else addStages(trace, x, top, height, view, bars, seams, names);
      if (trace.outcome === 'dropped') dropped.rect(x + 0.5, top + 0.5, Math.max(2, width - 1), height - 1);
      else if (trace.isSlow) slow.rect(x, top - 1, Math.max(3, width), 3);
    }
  });
  fill(context, view.palette, { bars, seams, slow, dropped });
  paintNames(context, view.palette, names);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {LaneView} view
 * @param {Place} place
 * @param {string} colour
 */
export function paintRing(context, { window, plot, rows }, place, colour) {
  const x = plot.left + window.xOf(place.from, plot.width);
  const width = Math.max(3, ((place.to - place.from) / window.span) * plot.width);
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.strokeRect(x - 2, rows.topOf(place.lane) - 2, width + 4, rows.lanePx - GAP_PX + 4);
}

/**
 * @param {Place[]} places
 * @param {LaneView} view
 */
function* visible(places, { window, plot }) {
  const pxPerMicro = plot.width / window.span;
  for (let position = Math.max(0, firstAfter(places, window.from) - 1); position < places.length; position += 1) {
    const { trace, from, to } = places[position];
    if (from > window.to) return;
    if (to >= window.from) yield { trace, x: plot.left + (from - window.from) * pxPerMicro, width: (to - from) * pxPerMicro };
  }
}

/**
 * @param {Trace} trace
 * @param {number} x
 * @param {number} top
 * @param {number} height
 * @param {LaneView} view
 * @param {Record<Side, Path2D>} bars
 * @param {Path2D} seams
 * @param {{ text: string, x: number, y: number, room: number }[]} names
 */
function addStages(trace, x, top, height, { window, plot }, bars, seams, names) {
  const pxPerMicro = plot.width / window.span;
  for (const { name, startMicros, durationMicros } of trace.stages) {
    const left = x + startMicros * pxPerMicro;
    const width = durationMicros * pxPerMicro;
    if (left > plot.left + plot.width || left + width < plot.left) continue;
    bars[sideOf(name)].rect(left, top, Math.max(0.5, width), height);
    if (width > 3) seams.rect(left + width - 0.75, top, 0.75, height);
    const shownLeft = Math.max(left, plot.left);
    const room = Math.min(left + width, plot.left + plot.width) - shownLeft - 8;
    if (room > NAMES_FROM_PX && height >= 11) names.push({ text: shortName(name), x: shownLeft + 4, y: top + height / 2, room });
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Palette} palette
 * @param {{ bars: Record<Side, Path2D>, seams: Path2D, slow: Path2D, dropped: Path2D }} paths
 */
function fill(context, palette, { bars, seams, slow, dropped }) {
  for (const side of SIDES) {
    context.fillStyle = palette.sides[side];
    context.fill(bars[side]);
  }
  context.fillStyle = palette.surface;
  context.fill(seams);
  context.fillStyle = palette.slow;
  context.fill(slow);
  context.strokeStyle = palette.ink;
  context.lineWidth = 1;
  context.stroke(dropped);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Palette} palette
 * @param {{ text: string, x: number, y: number, room: number }[]} names
 */
function paintNames(context, palette, names) {
  context.font = '600 11px system-ui, sans-serif';
  context.textAlign = 'left';
  context.textBaseline = 'middle';
  context.fillStyle = palette.surface;
  for (const { text, x, y, room } of names) if (context.measureText(text).width <= room) context.fillText(text, x, y + 0.5);
}

/** @param {Trace} trace */
function longestSide(trace) {
  const known = LONGEST.get(trace);
  if (known) return known;
  const spent = { browser: 0, network: 0, server: 0, plugin: 0 };
  for (const { name, durationMicros } of trace.stages) spent[sideOf(name)] += durationMicros;
  const longest = SIDES.reduce((best, side) => (spent[side] > spent[best] ? side : best), SIDES[0]);
  LONGEST.set(trace, longest);
  return longest;
}
