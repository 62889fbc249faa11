/**
 * The stages of one frame below each other, each where it stands in the frame's time.
 *
 * @import { Trace } from '../core/traces.js'
 */

import { part } from '../app/part.js';
import { stageName } from './stage_name.js';
import { purposeOf, sideOf, SIDE_NAMES, SIDES } from './stages.js';
import { duration, percent } from './words.js';

/** @param {Trace} trace */
export function waterfallOf(trace) {
  const table = part('table', 'waterfall');
  const head = document.createElement('thead');
  const titles = document.createElement('tr');
  for (const [title, className] of [['Stage', ''], ['', 'track'], ['Start', 'started'], ['Took', 'took'], ['Share', 'share']]) {
    const cell = part('th', className, title);
    cell.setAttribute('scope', 'col');
    // The bars are hidden from screen readers, and what is above them, too.
    if (title === '') cell.setAttribute('aria-hidden', 'true');
    titles.append(cell);
  }
  head.append(titles);
  const body = document.createElement('tbody');
  body.append(...trace.stages.map((stage) => rowOf(stage, trace)));
  table.append(head, body);
  return table;
}

/**
 * How the sides share the frame's time: a bar, and the same in numbers.
 *
 * @param {Trace} trace
 */
export function sharesOf({ stages, totalMicros }) {
  const bar = part('div', 'sides');
  bar.setAttribute('aria-hidden', 'true');
  const key = part('ul', 'sides-key');
  for (const side of SIDES) {
    const spent = stages.filter(({ name }) => sideOf(name) === side).reduce((sum, { durationMicros }) => sum + durationMicros, 0);
    if (spent === 0) continue;
    const piece = part('span', '');
    piece.dataset.side = side;
    piece.style.width = `${(100 * spent) / Math.max(1, totalMicros)}%`;
    bar.append(piece);
    const item = part('li', '', `${SIDE_NAMES[side]} ${duration(spent)}, ${percent(spent / Math.max(1, totalMicros))}`);
    item.dataset.side = side;
    key.append(item);
  }
  return [bar, key];
}

/**
 * @param {Trace['stages'][number]} stage
 * @param {Trace} trace
 */
function rowOf({ name, startMicros, durationMicros }, { totalMicros, why }) {
  const row = document.createElement('tr');
  row.dataset.side = sideOf(name);
  row.title = purposeOf(name);
  if (why?.stage === name && why.extraMicros > 0) row.dataset.guilty = '';
  const total = Math.max(1, totalMicros);
  const bar = part('div', 'track-bar');
  bar.style.left = `${Math.min(100, (100 * startMicros) / total)}%`;
  bar.style.width = `${Math.min(100, (100 * durationMicros) / total)}%`;
  const line = part('div', 'track-line');
  line.append(bar);
  const track = part('td', 'track');
  track.setAttribute('aria-hidden', 'true');
  track.append(line);
  const title = part('th', '');
  title.append(...stageName(name));
  title.setAttribute('scope', 'row');
  row.append(
    title,
    track,
    part('td', 'started muted', duration(startMicros)),
    part('td', 'took', duration(durationMicros)),
    part('td', 'share muted', percent(durationMicros / total)),
  );
  return row;
}
