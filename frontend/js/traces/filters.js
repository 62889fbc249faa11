/**
 * @import { Trace, TraceList } from '../core/traces.js'
 * @import { Choice } from './choices.js'
 * @import { ViewState } from './view_state.js'
 */

import { find } from '../app/find.js';
import { choicesInto } from './choices.js';
import { isFiltered, START } from './view_state.js';
import { counted, sessionName, timeOfDay } from './words.js';

const REASONS = ['superseded', 'expired', 'overloaded', 'rate_limited', 'too_large', 'undecodable', 'backend_failed', 'abandoned'];
const RANGE = 'range';
const LAST = [
  { seconds: 10, text: 'Last 10 s' },
  { seconds: 60, text: 'Last minute' },
  { seconds: 300, text: 'Last 5 minutes' },
];

/** The controls that choose which frames are shown. They show the state and ask for another. */
export class Filters {
  #onChange;
  #session = find('filter-session', HTMLSelectElement);
  #mode = find('filter-mode', HTMLSelectElement);
  #outcome = find('filter-outcome', HTMLSelectElement);
  #generation = find('filter-generation', HTMLSelectElement);
  #millis = find('filter-millis', HTMLInputElement);
  #time = find('filter-time', HTMLSelectElement);
  #slow = find('filter-slow', HTMLButtonElement);
  #clear = find('filter-clear', HTMLButtonElement);
  #count = find('filter-count');
  #slowMillis = 0;
  /** Seen so far: a filter must not take its own other choices away. */
  #modes = new Set();
  #generations = new Set();

  /** @param {(change: Partial<ViewState>) => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
    const form = find('filters', HTMLFormElement);
    form.addEventListener('submit', (event) => event.preventDefault());
    form.addEventListener('reset', (event) => {
      event.preventDefault();
      this.clear();
    });
    this.#session.addEventListener('change', () => onChange({ session: numberOf(this.#session.value) }));
    this.#mode.addEventListener('change', () => onChange({ mode: this.#mode.value }));
    this.#outcome.addEventListener('change', () => onChange(outcomeOf(this.#outcome.value)));
    this.#generation.addEventListener('change', () => onChange({ generation: numberOf(this.#generation.value) }));
    this.#millis.addEventListener('change', () => onChange({ minMillis: Math.max(0, Math.min(3_600_000, Math.round(Number(this.#millis.value) || 0))) }));
    this.#time.addEventListener('change', () => {
      if (this.#time.value !== RANGE) onChange({ since: null, until: null, lastSeconds: Number(this.#time.value) });
    });
    this.#slow.addEventListener('click', () => this.toggleSlow());
  }

  toggleSlow() {
    const isSlowOnly = Number(this.#millis.value) === this.#slowMillis;
    if (this.#slowMillis > 0) this.#onChange({ minMillis: isSlowOnly ? 0 : this.#slowMillis });
  }

  clear() {
    const { session, mode, outcome, reason, generation, minMillis, since, until, lastSeconds } = START;
    this.#onChange({ session, mode, outcome, reason, generation, minMillis, since, until, lastSeconds });
  }

  /**
   * @param {ViewState} state
   * @param {Trace[]} traces
   * @param {TraceList | null} summary
   */
  show(state, traces, summary) {
    for (const { mode, generation } of traces) {
      this.#modes.add(mode);
      this.#generations.add(generation);
    }
    for (const { generation, outcome } of summary?.marks ?? []) if (outcome !== 'rejected' && generation > 0) this.#generations.add(generation);
    if (state.mode) this.#modes.add(state.mode);
    if (state.generation !== null) this.#generations.add(state.generation);
    this.#slowMillis = summary?.slowMillis ?? this.#slowMillis;
    this.#showChoices(state, summary);
    if (document.activeElement !== this.#millis) this.#millis.value = state.minMillis > 0 ? String(state.minMillis) : '';
    this.#slow.hidden = this.#slowMillis === 0;
    this.#slow.setAttribute('aria-pressed', String(state.minMillis > 0 && state.minMillis === this.#slowMillis));
    this.#clear.hidden = !isFiltered(state);
    setText(this.#count, countInWords(traces.length, summary?.matched ?? 0));
    for (const field of [this.#session, this.#mode, this.#outcome, this.#generation, this.#millis]) field.toggleAttribute('data-chosen', field.value !== '');
    this.#time.toggleAttribute('data-chosen', this.#time.value !== '0');
  }

  /**
   * @param {ViewState} state
   * @param {TraceList | null} summary
   */
  #showChoices(state, summary) {
    const sessions = [...(summary?.sessions ?? [])];
    if (state.session !== null && !sessions.some(({ session }) => session === state.session)) {
      sessions.push({ session: state.session, frames: 0, isOpen: false });
    }
    choicesInto(this.#session, [all('all'), ...sessions.map(sessionChoice)], String(state.session ?? ''));
    const modes = [...this.#modes].sort().map((mode) => ({ value: mode, text: mode }));
    choicesInto(this.#mode, [all('all'), ...modes], state.mode);
    const reasons = [...new Set([...REASONS, state.reason])].filter(Boolean);
    const drops = reasons.map((reason) => ({ value: `dropped ${reason}`, text: `dropped: ${reason.replaceAll('_', ' ')}` }));
    const outcomes = [all('all'), { value: 'answered', text: 'answered' }, { value: 'dropped', text: 'dropped' }, ...drops];
    choicesInto(this.#outcome, outcomes, state.reason ? `dropped ${state.reason}` : state.outcome);
    const generations = [...this.#generations].sort((a, b) => b - a).map((one) => ({ value: String(one), text: String(one) }));
    choicesInto(this.#generation, [all('all'), ...generations], String(state.generation ?? ''));
    this.#showTimes(state);
  }

  /** @param {ViewState} state */
  #showTimes({ since, until, lastSeconds }) {
    const choices = [{ value: '0', text: 'All that is held' }, ...LAST.map(({ seconds, text }) => ({ value: String(seconds), text }))];
    const isRange = since !== null || until !== null;
    if (isRange) choices.push({ value: RANGE, text: `${since === null ? '…' : timeOfDay(since)} to ${until === null ? 'now' : timeOfDay(until)}` });
    else if (!choices.some(({ value }) => value === String(lastSeconds))) choices.push({ value: String(lastSeconds), text: `Last ${lastSeconds} s` });
    choicesInto(this.#time, choices, isRange ? RANGE : String(lastSeconds));
  }
}

/**
 * @param {string} text
 * @returns {Choice}
 */
function all(text) {
  return { value: '', text };
}

/** @param {TraceList['sessions'][number]} one */
function sessionChoice({ session, frames, isOpen }) {
  return { value: String(session), text: `${sessionName(session)}${isOpen || session === 0 ? '' : ', left'}${frames > 0 ? '' : ', not held'}` };
}

/** @param {string} value */
function numberOf(value) {
  return value === '' ? null : Number(value);
}

/**
 * @param {string} value
 * @returns {Partial<ViewState>}
 */
function outcomeOf(value) {
  const [outcome, reason = ''] = value.split(' ');
  return { outcome, reason };
}

/**
 * @param {number} shown
 * @param {number} matched
 */
function countInWords(shown, matched) {
  return shown < matched ? `the newest ${counted(shown, 'frame')} of ${counted(matched, 'frame').replace(/ frames?$/, '')}` : counted(shown, 'frame');
}

/**
 * @param {HTMLElement} element
 * @param {string} text
 */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
