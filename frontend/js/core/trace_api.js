/**
 * @import { Clock } from './clock.js'
 * @import { FetchLike } from './operator_api.js'
 * @import { Trace, TraceList } from './traces.js'
 */

import { parseObject } from './fields.js';
import { ProtocolError } from './protocol_error.js';
import { TraceError } from './trace_error.js';
import { readTrace, readTraces } from './traces.js';

const TIMEOUT_MILLIS = 10_000;

/** The server's flight recorder over HTTP. Whatever goes wrong is a TraceError. */
export class TraceApi {
  #clock;
  #fetch;

  /** @param {{ clock: Clock, fetch?: FetchLike }} parts */
  constructor({ clock, fetch = (path, init) => globalThis.fetch(path, init) }) {
    this.#clock = clock;
    this.#fetch = fetch;
  }

  /**
   * @param {URLSearchParams} query
   * @returns {Promise<TraceList>}
   */
  async traces(query) {
    const text = String(query);
    return read(await this.#ask(text ? `/v1/traces?${text}` : '/v1/traces'), readTraces);
  }

  /**
   * @param {string} traceId
   * @returns {Promise<Trace>}
   */
  async trace(traceId) {
    return read(await this.#ask(`/v1/traces/${encodeURIComponent(traceId)}`), readTrace);
  }

  /** @param {string} path */
  async #ask(path) {
    const abort = new AbortController();
    const cancelTimer = this.#clock.after(TIMEOUT_MILLIS, () => abort.abort());
    try {
      const response = await this.#fetch(path, { headers: { accept: 'application/json' }, cache: 'no-store', signal: abort.signal });
      return { status: response.status, text: await response.text() };
    } catch (cause) {
      throw new TraceError('unreachable', '', { cause });
    } finally {
      cancelTimer();
    }
  }
}

/**
 * @template T
 * @param {{ status: number, text: string }} answer
 * @param {(fields: Record<string, unknown>) => T} reader
 * @returns {T}
 */
function read({ status, text }, reader) {
  if (status !== 200) throw refusal(status, text);
  try {
    return reader(parseObject(text, 'the answer'));
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause;
    throw new TraceError('unexpected', cause.message, { cause });
  }
}

/**
 * A server from before the recorder answers 404 with no code; a proxy in between may answer with anything.
 *
 * @param {number} status
 * @param {string} text
 */
function refusal(status, text) {
  const { code, message } = wordsOf(text);
  if (status === 404) return new TraceError(code === 'unknown_trace' ? 'unknown_trace' : 'too_old', message);
  if (status >= 502 && !message) return new TraceError('unreachable');
  return message ? new TraceError('refused', message) : new TraceError('unexpected', `status ${status}`);
}

/** @param {string} text */
function wordsOf(text) {
  try {
    const { code, message } = parseObject(text, 'the answer');
    return { code, message: typeof message === 'string' ? message : '' };
  } catch {
    return { code: undefined, message: '' };
  }
}
