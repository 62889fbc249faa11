/**
 * @import { TraceApi } from '../core/trace_api.js'
 * @import { Trace, TraceList } from '../core/traces.js'
 * @import { ViewState } from './view_state.js'
 *
 * @typedef {{ from?: number, limit?: number }} Bounds Leave out frames that began before, or more than so many.
 *
 * @typedef {object} Source Where traces come from: a running server, or a capsule. Whatever goes wrong is a TraceError.
 * @property {boolean} isLive More of them come.
 * @property {(state: ViewState, bounds?: Bounds) => Promise<TraceList>} load The newest that match.
 * @property {(state: ViewState) => Promise<TraceList>} summary The slowest that match, and the diagnosis of all of them.
 * @property {(traceId: string) => Promise<Trace>} trace
 * @property {(traceId: string) => string | null} picture The frame itself, where it was kept.
 */

import { apiQuery } from './view_state.js';

export const MOST_TRACES = 5000;
const MOST_SLOWEST = 50;

/**
 * A running server.
 *
 * @implements {Source}
 */
export class LiveSource {
  isLive = true;

  #api;
  /** Of the server, as far as it has told. */
  #nowMicros;

  /**
   * @param {TraceApi} api
   * @param {number} nowMicros Of this machine, until the server tells its own.
   */
  constructor(api, nowMicros) {
    this.#api = api;
    this.#nowMicros = nowMicros;
  }

  /**
   * @param {ViewState} state
   * @param {Bounds} [bounds]
   */
  async load(state, { from, limit = MOST_TRACES } = {}) {
    return this.#ask(state, (query) => {
      query.set('limit', String(limit));
      if (from !== undefined) query.set('since', String(Math.max(from, Number(query.get('since') ?? 0))));
    });
  }

  /** @param {ViewState} state */
  async summary(state) {
    return this.#ask(state, (query) => query.set('slowest', String(MOST_SLOWEST)));
  }

  /** @param {string} traceId */
  async trace(traceId) {
    return this.#api.trace(traceId);
  }

  picture() {
    return null;
  }

  /**
   * @param {ViewState} state
   * @param {(query: URLSearchParams) => void} adjust
   */
  async #ask(state, adjust) {
    const query = apiQuery(state, this.#nowMicros);
    adjust(query);
    const answer = await this.#api.traces(query);
    this.#nowMicros = answer.nowMicros;
    return answer;
  }
}
