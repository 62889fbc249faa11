/**
 * @import { TwoGenerations } from './generation_samples.js'
 * @import { Comparison, Percentiles } from './percentiles.js'
 */

import { part } from '../app/part.js';
import { choicesInto } from './choices.js';
import { breakDown, compare, TOTAL } from './percentiles.js';
import { stageName } from './stage_name.js';
import { sideOf } from './stages.js';
import { counted, difference, duration } from './words.js';

const TITLES = ['p50', 'p95', 'p99'];
/** A change by less than this share of the old value, or by less time, is noise. */
const NOISE_SHARE = 0.05;
const NOISE_MICROS = 100;

/** How long each stage takes before and after a generation, side by side. */
export class ComparisonTable {
  #table;
  #words;
  #before;
  #after;

  /**
   * @param {{ table: HTMLElement, words: HTMLElement, before: HTMLSelectElement, after: HTMLSelectElement }} parts
   * @param {(before: number | null, after: number | null) => void} onChosen
   */
  constructor({ table, words, before, after }, onChosen) {
    this.#table = table;
    this.#words = words;
    this.#before = before;
    this.#after = after;
    const chosen = (/** @type {HTMLSelectElement} */ select) => (select.value === '' ? null : Number(select.value));
    for (const select of [before, after]) select.addEventListener('change', () => onChosen(chosen(before), chosen(after)));
  }

  /** @param {TwoGenerations} two */
  show({ traces, generations, before, after }) {
    const choices = generations.map((one) => ({ value: String(one), text: `generation ${one}` }));
    choicesInto(this.#before, before === null ? [{ value: '', text: 'none yet' }, ...choices] : choices, String(before ?? ''));
    choicesInto(this.#after, choices, String(after ?? ''));
    const [old, young] = [before, after].map((generation) => breakDown(traces.filter((trace) => trace.generation === generation)));
    const rows = compare(old.breakdown, young.breakdown);
    this.#words.textContent = inWords(before, old.frames, after, young.frames, rows[0]);
    this.#table.replaceChildren(headOf(before, after), bodyOf(rows));
  }
}

/**
 * @param {number | null} before
 * @param {number} oldFrames
 * @param {number | null} after
 * @param {number} youngFrames
 * @param {Comparison | undefined} total
 */
function inWords(before, oldFrames, after, youngFrames, total) {
  if (before === null) return `Every frame here ran under generation ${after ?? '–'}. When a reload or a swap makes another, the two stand here side by side.`;
  const frames = `Generation ${before}: ${counted(oldFrames, 'answered frame')}. Generation ${after}: ${counted(youngFrames, 'answered frame')}.`;
  if (!total?.difference || !total.before) return `${frames} One of them has none among the frames shown; widen the filters.`;
  const [p50, p95] = total.difference;
  return `${frames} The median changed by ${difference(p50)}, p95 by ${difference(p95)}.`;
}

/**
 * @param {number | null} before
 * @param {number | null} after
 */
function headOf(before, after) {
  const head = document.createElement('thead');
  const groups = document.createElement('tr');
  groups.append(document.createElement('td'));
  for (const title of [`Before: ${before ?? '–'}`, `After: ${after ?? '–'}`, 'Difference']) {
    const cell = part('th', 'group span', title);
    cell.setAttribute('colspan', '3');
    cell.setAttribute('scope', 'colgroup');
    groups.append(cell);
  }
  const titles = document.createElement('tr');
  titles.append(part('th', 'text', 'Stage'));
  for (let group = 0; group < 3; group += 1) {
    TITLES.forEach((title, position) => {
      const cell = part('th', position === 0 ? 'group' : '', title);
      cell.setAttribute('scope', 'col');
      titles.append(cell);
    });
  }
  head.append(groups, titles);
  return head;
}

/** @param {Comparison[]} rows */
function bodyOf(rows) {
  const body = document.createElement('tbody');
  for (const { stage, before, after, difference: change } of rows) {
    const row = document.createElement('tr');
    const title = part('th', 'text');
    title.setAttribute('scope', 'row');
    if (stage === TOTAL) {
      row.dataset.total = '';
      title.textContent = 'Whole way';
    } else {
      title.dataset.side = sideOf(stage);
      title.append(...stageName(stage));
    }
    row.append(title, ...valuesOf(before), ...valuesOf(after), ...changesOf(change, before));
    body.append(row);
  }
  return body;
}

/** @param {Percentiles | null} values */
function valuesOf(values) {
  return TITLES.map((_, position) => part('td', position === 0 ? 'group' : '', values ? duration(values[position]) : '–'));
}

/**
 * @param {Percentiles | null} change
 * @param {Percentiles | null} before
 */
function changesOf(change, before) {
  return TITLES.map((_, position) => {
    const group = position === 0 ? 'group ' : '';
    if (!change || !before) return part('td', `${group}same`, '–');
    const micros = change[position];
    const isNoise = Math.abs(micros) < Math.max(NOISE_MICROS, before[position] * NOISE_SHARE);
    const arrow = isNoise ? '' : micros > 0 ? '▲ ' : '▼ ';
    return part('td', group + (isNoise ? 'same' : micros > 0 ? 'worse' : 'better'), arrow + difference(micros));
  });
}
