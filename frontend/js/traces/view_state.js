/**
 * What the page shows, as it stands in its address: a link brings another person to the same sight.
 *
 * @import { Trace } from '../core/traces.js'
 *
 * @typedef {object} ViewState
 * @property {number | null} session
 * @property {string} mode Empty: all of them.
 * @property {string} outcome
 * @property {string} reason
 * @property {number | null} generation
 * @property {number} minMillis
 * @property {number | null} since Microseconds since the epoch, by the frame's start.
 * @property {number | null} until
 * @property {number} lastSeconds Only the newest; 0: however old. A range goes before it.
 * @property {boolean} isFollowing
 * @property {string} trace The one that is open, by its id.
 * @property {number | null} before Generations that are compared; null: the newest two.
 * @property {number | null} after
 * @property {'sessions' | 'frames'} layout Of the lanes.
 */

/** @type {Readonly<ViewState>} */
export const START = Object.freeze({
  session: null,
  mode: '',
  outcome: '',
  reason: '',
  generation: null,
  minMillis: 0,
  since: null,
  until: null,
  lastSeconds: 0,
  isFollowing: true,
  trace: '',
  before: null,
  after: null,
  layout: 'sessions',
});

const OUTCOMES = ['answered', 'dropped'];

/**
 * Whatever makes no sense counts as not said.
 *
 * @param {string} search The address's query.
 * @returns {ViewState}
 */
export function readState(search) {
  const query = new URLSearchParams(search);
  /** @param {string} key */
  const whole = (key) => (/^\d{1,16}$/.test(query.get(key) ?? '') ? Number(query.get(key)) : null);
  const outcome = query.get('outcome') ?? '';
  const since = whole('since');
  const until = whole('until');
  return {
    session: whole('session'),
    mode: query.get('mode') ?? '',
    outcome: OUTCOMES.includes(outcome) ? outcome : '',
    reason: query.get('reason') ?? '',
    generation: whole('generation'),
    minMillis: whole('min_millis') ?? 0,
    since,
    until,
    lastSeconds: whole('last') ?? 0,
    isFollowing: query.get('follow') !== '0' && until === null,
    trace: (query.get('trace') ?? '').toLowerCase(),
    before: whole('before'),
    after: whole('after'),
    layout: query.get('lanes') === 'frames' ? 'frames' : 'sessions',
  };
}

/**
 * @param {ViewState} state
 * @returns {string} With its question mark, or empty when nothing is chosen.
 */
export function writeState(state) {
  const query = filterQuery(state);
  if (state.lastSeconds > 0) query.set('last', String(state.lastSeconds));
  if (!state.isFollowing && state.until === null) query.set('follow', '0');
  if (state.layout !== START.layout) query.set('lanes', state.layout);
  if (state.before !== null) query.set('before', String(state.before));
  if (state.after !== null) query.set('after', String(state.after));
  if (state.trace) query.set('trace', state.trace);
  const text = String(query);
  return text && `?${text}`;
}

/**
 * What the server is asked, without how many.
 *
 * @param {ViewState} state
 * @param {number} nowMicros The server's clock.
 */
export function apiQuery(state, nowMicros) {
  const query = filterQuery(state);
  if (state.lastSeconds > 0 && state.since === null) query.set('since', String(Math.round(nowMicros - state.lastSeconds * 1e6)));
  return query;
}

/**
 * The same choice, made here: for a capsule, which no server answers for.
 *
 * @param {Trace} trace
 * @param {ViewState} state
 * @param {number} nowMicros
 */
export function matches(trace, state, nowMicros) {
  const since = state.since ?? (state.lastSeconds > 0 ? nowMicros - state.lastSeconds * 1e6 : -Infinity);
  return (
    (state.session === null || trace.session === state.session) &&
    (state.mode === '' || trace.mode === state.mode) &&
    (state.outcome === '' || trace.outcome === state.outcome) &&
    (state.reason === '' || trace.reason === state.reason) &&
    (state.generation === null || trace.generation === state.generation) &&
    trace.totalMicros >= state.minMillis * 1000 &&
    trace.startMicros >= since &&
    trace.startMicros <= (state.until ?? Infinity)
  );
}

/** @param {ViewState} state */
export function isFiltered(state) {
  return String(filterQuery(state)) !== '' || state.lastSeconds > 0;
}

/** @param {ViewState} state */
function filterQuery(state) {
  const query = new URLSearchParams();
  if (state.session !== null) query.set('session', String(state.session));
  if (state.mode) query.set('mode', state.mode);
  if (state.outcome) query.set('outcome', state.outcome);
  if (state.reason) query.set('reason', state.reason);
  if (state.generation !== null) query.set('generation', String(state.generation));
  if (state.minMillis > 0) query.set('min_millis', String(state.minMillis));
  if (state.since !== null) query.set('since', String(state.since));
  if (state.until !== null) query.set('until', String(state.until));
  return query;
}
