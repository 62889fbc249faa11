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
import { counted, timeOfDay } from './words.js';

const MOST_MARKS = 30;

/** @param {Diagnosis} diagnosis */
export function showDiagnosis({ text, isFine, frames, causes }) {
  const verdict = find('diagnosis-text');
  if (verdict.textContent !== text) verdict.textContent = text;
  verdict.dataset.tone = frames === 0 ? 'calm' : isFine ? 'good' : 'bad';
  const list = find('causes');
  if ([...list.children].map((item) => item.textContent).join('\n') === causes.map((cause) => cause.text).join('\n')) return;
  list.replaceChildren(
    ...causes.map((cause) => {
      const item = part('li', '', cause.text);
      item.dataset.side = sideOf(cause.stage);
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
