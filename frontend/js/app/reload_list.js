/** @import { Attempt } from '../core/reloads.js' */

import { attemptInWords, changeInWords, outcomeName, timeInWords, tookInWords } from './operator_words.js';
import { part, texts } from './part.js';

const MOST_SHOWN = 12;

/** The last attempts to change the profile, the newest first: what each changed, or all that was wrong with it. */
export class ReloadList {
  #list;
  /** An attempt is told once and stays: what is selected or being read aloud is not built anew. @type {Map<string, HTMLElement>} */
  #items = new Map();

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /** @param {Attempt[]} attempts */
  show(attempts) {
    const shown = attempts.slice(0, MOST_SHOWN);
    const items = new Map(shown.map((attempt) => [keyOf(attempt), this.#items.get(keyOf(attempt)) ?? buildItem(attempt)]));
    const isSame = [...items.keys()].join() === [...this.#items.keys()].join();
    this.#items = items;
    if (!isSame) this.#list.replaceChildren(...items.values());
  }
}

/**
 * The number alone would do for one run of the server.
 *
 * @param {Attempt} attempt
 */
function keyOf({ number, at }) {
  return `${number} ${at}`;
}

/** @param {Attempt} attempt */
function buildItem(attempt) {
  const item = part('li', 'reload');
  item.dataset.outcome = attempt.outcome;
  const head = part('p', 'reload-head');
  const time = document.createElement('time');
  time.dateTime = attempt.at;
  time.textContent = timeInWords(attempt.at);
  head.append(part('b', 'reload-outcome', outcomeName(attempt.outcome)), part('span', 'reload-took', tookInWords(attempt)), time);
  item.append(head, part('p', 'muted', attemptInWords(attempt)));
  if (attempt.changes.length > 0) item.append(changesOf(attempt));
  if (attempt.faults.length > 0) item.append(texts('faults', attempt.faults));
  return item;
}

/** @param {Attempt} attempt */
function changesOf({ changes }) {
  const list = part('ul', 'changes');
  for (const change of changes) {
    const row = part('li', '');
    row.append(part('span', 'change-key', change.key), ' ', part('span', 'change-values', changeInWords(change)));
    if (change.origin) row.append(' ', part('span', 'muted', change.origin));
    list.append(row);
  }
  return list;
}
