/**
 * @import { Clock } from './clock.js'
 * @import { Admission, Attempt, Reloads } from './reloads.js'
 *
 * @typedef {{ status: number, text: string }} Answer
 *
 * @typedef {object} Question
 * @property {string} [token]
 * @property {'GET' | 'POST'} [method]
 * @property {object} [json]
 * @property {number} [timeoutMillis]
 *
 * @typedef {(path: string, init: RequestInit) => Promise<{ status: number, text: () => Promise<string> }>} FetchLike
 *   The part of `fetch` that is used, so that a test can stand in for it.
 */

import { parseObject } from './fields.js';
import { OperatorError } from './operator_error.js';
import { ProtocolError } from './protocol_error.js';
import { readAdmission, readAttempt, readReloads } from './reloads.js';

const READ_TIMEOUT_MILLIS = 10_000;
/** A change is answered when its models are loaded and warm. */
const CHANGE_TIMEOUT_MILLIS = 180_000;

/** A refusal of these is told as an attempt: rejected, or superseded by a newer edit. */
const CARRIES_ATTEMPT = [422, 409];

/** What an operator asks of the server over HTTP. Whatever goes wrong is an OperatorError. */
export class OperatorApi {
  #clock;
  #fetch;

  /** @param {{ clock: Clock, fetch?: FetchLike }} parts */
  constructor({ clock, fetch = (path, init) => globalThis.fetch(path, init) }) {
    this.#clock = clock;
    this.#fetch = fetch;
  }

  /** @returns {Promise<Reloads>} */
  async reloads() {
    return read(await this.#ask('/v1/reloads'), readReloads);
  }

  /**
   * @param {string} token
   * @returns {Promise<Admission>}
   */
  async admin(token) {
    return read(await this.#ask('/v1/admin', { token }), readAdmission);
  }

  /**
   * Switches the running server to another profile.
   *
   * @param {string} token
   * @param {string} profile
   * @returns {Promise<Attempt>} Also one that was not applied.
   */
  async useProfile(token, profile) {
    return this.#change('/v1/admin/profile', { token, json: { profile } });
  }

  /**
   * Reads the profile's files again now.
   *
   * @param {string} token
   * @returns {Promise<Attempt>} Also one that was not applied.
   */
  async readAgain(token) {
    return this.#change('/v1/admin/reload', { token });
  }

  /**
   * @param {string} path
   * @param {Question} question
   */
  async #change(path, question) {
    const answer = await this.#ask(path, { ...question, method: 'POST', timeoutMillis: CHANGE_TIMEOUT_MILLIS });
    if (CARRIES_ATTEMPT.includes(answer.status)) return read({ ...answer, status: 200 }, (fields) => readAttempt(fields.attempt));
    return read(answer, readAttempt);
  }

  /**
   * @param {string} path
   * @param {Question} [question]
   * @returns {Promise<Answer>}
   */
  async #ask(path, { token, method = 'GET', json, timeoutMillis = READ_TIMEOUT_MILLIS } = {}) {
    /** @type {Record<string, string>} */
    const headers = { accept: 'application/json' };
    if (token !== undefined) headers.authorization = `Bearer ${checkToken(token)}`;
    if (json !== undefined) headers['content-type'] = 'application/json';
    const body = json === undefined ? undefined : JSON.stringify(json);
    const abort = new AbortController();
    const cancelTimer = this.#clock.after(timeoutMillis, () => abort.abort());
    try {
      // A redirect is refused: the token is for this server only.
      const response = await this.#fetch(path, { method, headers, body, cache: 'no-store', redirect: 'error', signal: abort.signal });
      return { status: response.status, text: await response.text() };
    } catch (cause) {
      throw new OperatorError('unreachable', '', { cause });
    } finally {
      cancelTimer();
    }
  }
}

/**
 * A header has room for printable ASCII alone, and `fetch` would blame the network for anything else.
 *
 * @param {string} token
 */
function checkToken(token) {
  if (!/^[\x20-\x7e]+$/.test(token)) throw new OperatorError('unauthorized');
  return token;
}

/**
 * @template T
 * @param {Answer} answer
 * @param {(fields: Record<string, unknown>) => T} reader
 * @returns {T}
 */
function read({ status, text }, reader) {
  if (status !== 200) throw refusal(status, text);
  try {
    return reader(parseObject(text, 'the answer'));
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause;
    throw new OperatorError('unexpected', cause.message, { cause });
  }
}

/**
 * @param {number} status
 * @param {string} text
 */
function refusal(status, text) {
  const { code, message } = wordsOf(text);
  if (status === 401) return new OperatorError('unauthorized', message);
  if (status === 403 && code === 'admin_off') return new OperatorError('admin_off', message);
  if (status === 404 && code === 'unknown_profile') return new OperatorError('unknown_profile', message);
  return message ? new OperatorError('refused', message) : new OperatorError('unexpected', `status ${status}`);
}

/**
 * What the server says of a refusal. A proxy in between may answer with anything.
 *
 * @param {string} text
 */
function wordsOf(text) {
  try {
    const { code, message } = parseObject(text, 'the answer');
    return { code, message: typeof message === 'string' ? message : '' };
  } catch {
    return { code: undefined, message: '' };
  }
}
