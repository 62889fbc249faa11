/**
 * The parts of the page that only show: diagnosis, marks, the capsule's banner.
 *
 * @import { Diagnosis, Mark } from '../core/traces.js'
 * @import { Capsule } from './capsule.js'
 */

import { find } from '../app/find.js';
import { part } from '../app/part.js';
import { markInWords } from './mark_painter.js';
import { sideOf } from './stages.js';
import { counted, splitVerdict, timeOfDay } from './words.js';

const MOST_MARKS = 30;
const FREQUENT_CAUSES = 3;

/**
 * The verdict large, what follows from it below, and the causes with how many frames each had.
 *
 * @param {Diagnosis} diagnosis
 */
export function showDiagnosis({ text, isFine, frames, causes }) {
  const [first, rest] = splitVerdict(text);
  const verdict = find('diagnosis-text');
  if (verdict.textContent !== first) verdict.textContent = first;
  verdict.dataset.tone = frames === 0 ? 'calm' : isFine ? 'good' : 'bad';
  const more = find('diagnosis-more');
  if (more.textContent !== rest) more.textContent = rest;
  showCauses(find('causes'), causes.slice(0, FREQUENT_CAUSES));
  showCauses(find('rare-causes'), causes.slice(FREQUENT_CAUSES));
  find('more-causes').hidden = causes.length <= FREQUENT_CAUSES;
}

/**
 * @param {HTMLElement} list
 * @param {Diagnosis['causes']} causes
 */
function showCauses(list, causes) {
  const key = causes.map((cause) => `${cause.frames} ${cause.text}`).join('\n');
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(
    ...causes.map((cause) => {
      const item = document.createElement('li');
      item.dataset.side = sideOf(cause.stage);
      item.append(part('b', '', counted(cause.frames, 'frame')), ` ${cause.text}`);
      return item;
    }),
  );
}

/** @param {Mark[]} marks The newest first. */
export function showMarks(marks) {
  const summary = marks.length === 0 ? 'No reload, swap or crash so far' : `Reloads, swaps and crashes: ${marks.length}`;
  const title = find('marks-summary');
  const list = find('marks');
  const shown = marks.slice(0, MOST_MARKS);
  const key = shown.map((mark) => `${mark.atMicros} ${mark.text}`).join('\n');
  if (title.textContent === summary && list.dataset.key === key) return;
  title.textContent = summary;
  list.dataset.key = key;
  list.replaceChildren(...shown.map(markItem));
}

/** @param {Capsule | null} capsule */
export function showCapsule(capsule) {
  find('capsule').hidden = capsule === null;
  if (!capsule) return;
  const { capturedAt, seconds, generation, profile, modes } = capsule.facts;
  const when = new Date(capturedAt);
  const time = Number.isNaN(when.getTime()) ? capturedAt : when.toLocaleString();
  find('capsule-text').textContent = `${capsule.name}: ${counted(seconds, 'second')} up to ${time}, generation ${generation}. Nothing here is live, and the diagnosis is of all its frames.`;
  find('capsule-facts').textContent = JSON.stringify({ profile, modes }, null, 2);
}

/** @param {Mark} mark */
function markItem(mark) {
  const item = document.createElement('li');
  item.dataset.kind = mark.kind;
  item.dataset.outcome = mark.outcome;
  const time = part('time', '', timeOfDay(mark.atMicros));
  time.setAttribute('datetime', new Date(mark.atMicros / 1000).toISOString());
  item.append(time, part('b', '', mark.kind), part('span', '', markInWords(mark)));
  return item;
}
