/**
 * Where each frame stands in the lane chart.
 *
 * @import { Trace } from '../core/traces.js'
 *
 * @typedef {object} Place
 * @property {Trace} trace
 * @property {number} lane
 * @property {number} from On the chart's axis.
 * @property {number} to
 *
 * @typedef {object} Layout
 * @property {Place[][]} lanes In each, by where frames begin; none overlaps the next.
 * @property {Map<Trace, Place>} places
 * @property {{ lane: number, session: number, frames: number }[]} groups Each begins at a lane.
 * @property {number} from Of the earliest frame.
 * @property {number} to
 */

/** What a frame that ended at once is wide. */
const LEAST_MICROS = 1;

/**
 * Lanes of each session on one axis of time: a frame goes into the first lane that is free when it begins.
 *
 * @param {Trace[]} traces
 * @returns {Layout}
 */
export function packBySession(traces) {
  /** @type {Map<number, Trace[]>} */
  const bySession = new Map();
  for (const trace of traces) {
    const known = bySession.get(trace.session);
    if (known) known.push(trace);
    else bySession.set(trace.session, [trace]);
  }
  const layout = empty();
  for (const [session, members] of [...bySession].sort(([a], [b]) => b - a)) {
    const first = layout.lanes.length;
    layout.groups.push({ lane: first, session, frames: members.length });
    members.sort((a, b) => a.startMicros - b.startMicros);
    /** @type {number[]} */
    const busyUntil = [];
    for (const trace of members) {
      const from = trace.startMicros;
      let lane = busyUntil.findIndex((until) => until <= from);
      if (lane === -1) lane = busyUntil.length;
      const to = from + Math.max(LEAST_MICROS, trace.totalMicros);
      busyUntil[lane] = to;
      put(layout, { trace, lane: first + lane, from, to });
    }
  }
  return layout;
}

/**
 * A lane for each frame, the newest on top, all of them from their own beginning.
 *
 * @param {Trace[]} traces
 * @returns {Layout}
 */
export function alignFrames(traces) {
  const layout = empty();
  const newestFirst = [...traces].sort((a, b) => b.startMicros - a.startMicros);
  newestFirst.forEach((trace, lane) => put(layout, { trace, lane, from: 0, to: Math.max(LEAST_MICROS, trace.totalMicros) }));
  return layout;
}

/**
 * The frame at a place of the chart, or the nearest one within reach.
 *
 * @param {Layout} layout
 * @param {number} lane
 * @param {number} at
 * @param {number} reach
 * @returns {Place | null}
 */
export function placeAt(layout, lane, at, reach) {
  const places = layout.lanes[lane];
  if (!places) return null;
  const next = firstAfter(places, at);
  const candidates = [places[next - 1], places[next]].filter(Boolean);
  const gap = (/** @type {Place} */ place) => Math.max(place.from - at, at - place.to, 0);
  const [nearest] = candidates.sort((a, b) => gap(a) - gap(b));
  return nearest && gap(nearest) <= reach ? nearest : null;
}

/**
 * The position of the first frame of a lane that begins after a moment.
 *
 * @param {Place[]} places
 * @param {number} at
 */
export function firstAfter(places, at) {
  let low = 0;
  let high = places.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (places[middle].from > at) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** @returns {Layout} */
function empty() {
  return { lanes: [], places: new Map(), groups: [], from: Infinity, to: -Infinity };
}

/**
 * @param {Layout} layout
 * @param {Place} place
 */
function put(layout, place) {
  (layout.lanes[place.lane] ??= []).push(place);
  layout.places.set(place.trace, place);
  layout.from = Math.min(layout.from, place.from);
  layout.to = Math.max(layout.to, place.to);
}
