/**
 * Which stretch of time the lanes can show, and show first.
 *
 * @import { Layout } from './lanes.js'
 *
 * @typedef {'sessions' | 'frames'} LaneKind
 */

import { TimeWindow } from './time_window.js';

const FIRST_SPAN_MICROS = 6_000_000;
const LEAST_ROOM_MICROS = 500;
const ROOM = 0.02;

/**
 * @param {Layout} layout
 * @param {LaneKind} kind
 */
export function boundsOf({ from, to }, kind) {
  if (to < from) return new TimeWindow(0, 1000);
  const room = Math.max(LEAST_ROOM_MICROS, (to - from) * ROOM);
  return kind === 'frames' ? new TimeWindow(0, to + room) : new TimeWindow(from - room, to + room);
}

/**
 * By session, the newest seconds; frame by frame, room for nearly all: the few that took far longer are reached by zooming out.
 *
 * @param {Layout} layout
 * @param {LaneKind} kind
 */
export function firstWindow(layout, kind) {
  const bounds = boundsOf(layout, kind);
  if (kind === 'sessions') return new TimeWindow(Math.max(bounds.from, bounds.to - FIRST_SPAN_MICROS), bounds.to);
  const sorted = Float64Array.from(layout.places.values(), (place) => place.to).sort();
  const nearlyAll = (sorted[Math.floor(sorted.length * 0.98)] ?? 0) * 1.25;
  return new TimeWindow(0, Math.min(bounds.to, Math.max(1000, nearlyAll)));
}
