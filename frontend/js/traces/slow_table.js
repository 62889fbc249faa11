/** @import { Trace } from '../core/traces.js' */

import { part } from '../app/part.js';
import { sideOf } from './stages.js';
import { count, duration, outcomeInWords, timeOfDay } from './words.js';

/**
 * @typedef {object} Column
 * @property {string} title
 * @property {string} className
 * @property {(trace: Trace) => string | number} value By which it is sorted.
 * @property {(trace: Trace) => string} text
 */

/** @type {Column[]} */
const COLUMNS = [
  { title: 'Took', className: '', value: (trace) => trace.totalMicros, text: (trace) => duration(trace.totalMicros) },
  { title: 'When', className: '', value: (trace) => trace.startMicros, text: (trace) => timeOfDay(trace.startMicros) },
  { title: 'Session', className: '', value: (trace) => trace.session, text: (trace) => (trace.session === 0 ? 'posted' : String(trace.session)) },
  { title: 'Frame', className: '', value: (trace) => trace.frameId, text: (trace) => count(trace.frameId) },
  { title: 'Mode', className: 'text', value: (trace) => trace.mode, text: (trace) => trace.mode },
  { title: 'Gen.', className: '', value: (trace) => trace.generation, text: (trace) => String(trace.generation) },
  { title: 'Outcome', className: 'text', value: outcomeInWords, text: outcomeInWords },
  { title: 'Most lost in', className: 'text', value: (trace) => trace.why?.stage ?? '', text: (trace) => trace.why?.stage ?? '' },
  { title: 'Why', className: 'why', value: (trace) => trace.why?.extraMicros ?? 0, text: (trace) => trace.message || (trace.why?.text ?? '') },
];

/** The slowest frames in words and numbers; each opens its waterfall. */
export class SlowTable {
  #table;
  #onOpen;
  /** @type {Trace[]} */
  #traces = [];
  #opened = '';
  #column = COLUMNS[0];
  #isDescending = true;
  #shownKey = '';

  /**
   * @param {HTMLElement} table
   * @param {(trace: Trace) => void} onOpen
   */
  constructor(table, onOpen) {
    this.#table = table;
    this.#onOpen = onOpen;
  }

  /**
   * @param {Trace[]} traces
   * @param {string} opened
   */
  show(traces, opened) {
    this.#traces = traces;
    this.#opened = opened;
    this.#render();
  }

  /** @param {Column} column */
  #sortBy(column) {
    this.#isDescending = column === this.#column ? !this.#isDescending : true;
    this.#column = column;
    this.#render();
    /** @type {HTMLElement | null} */ (this.#table.querySelector('th[aria-sort] button'))?.focus();
  }

  /** Built anew only when it says something new: what has the focus stays. */
  #render() {
    const { value } = this.#column;
    const sign = this.#isDescending ? -1 : 1;
    const sorted = [...this.#traces].sort((a, b) => sign * order(value(a), value(b)));
    const key = JSON.stringify([sorted.map((trace) => [trace.traceId, trace.totalMicros]), this.#opened, this.#column.title, this.#isDescending]);
    if (key === this.#shownKey) return;
    this.#shownKey = key;
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.trace : undefined;
    const body = document.createElement('tbody');
    body.append(...sorted.map((trace) => this.#rowOf(trace)));
    this.#table.replaceChildren(this.#head(), body);
    if (focused) /** @type {HTMLElement | null} */ (this.#table.querySelector(`[data-trace="${CSS.escape(focused)}"]`))?.focus({ preventScroll: true });
  }

  #head() {
    const head = document.createElement('thead');
    const row = document.createElement('tr');
    for (const column of COLUMNS) {
      const cell = part('th', column.className);
      const isSorted = column === this.#column;
      cell.setAttribute('scope', 'col');
      if (isSorted) cell.setAttribute('aria-sort', this.#isDescending ? 'descending' : 'ascending');
      const button = part('button', 'sort', column.title + (isSorted ? (this.#isDescending ? ' ↓' : ' ↑') : ''));
      button.setAttribute('type', 'button');
      button.addEventListener('click', () => this.#sortBy(column));
      cell.append(button);
      row.append(cell);
    }
    head.append(row);
    return head;
  }

  /** @param {Trace} trace */
  #rowOf(trace) {
    const row = document.createElement('tr');
    if (trace.traceId === this.#opened) row.setAttribute('aria-current', 'true');
    for (const column of COLUMNS) row.append(this.#cellOf(column, trace));
    row.addEventListener('click', () => this.#onOpen(trace));
    return row;
  }

  /**
   * @param {Column} column
   * @param {Trace} trace
   */
  #cellOf(column, trace) {
    const text = column.text(trace);
    const cell = part('td', column.className);
    if (column === COLUMNS[0]) {
      const button = part('button', 'open', text);
      button.setAttribute('type', 'button');
      button.setAttribute('aria-label', `Open the frame that took ${text}`);
      button.dataset.trace = trace.traceId;
      cell.append(button);
    } else cell.textContent = text;
    if (column.title === 'Most lost in' && text) cell.dataset.side = sideOf(text);
    if (column.className === 'why') cell.title = text;
    return cell;
  }
}

/**
 * @param {string | number} a
 * @param {string | number} b
 */
function order(a, b) {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return String(a).localeCompare(String(b));
}
