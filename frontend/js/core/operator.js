/**
 * @import { Clock } from './clock.js'
 * @import { OperatorApi } from './operator_api.js'
 * @import { Admission, Attempt, Reloads } from './reloads.js'
 *
 * @typedef {object} Tokens Where the token is remembered.
 * @property {() => string | null} read
 * @property {(token: string) => void} keep
 * @property {() => void} forget
 *
 * @typedef {'out' | 'asking' | 'in'} Phase No token; one that the server has not judged yet; one that it accepted.
 * @typedef {'use' | 'read'} Deed Being done: a switch of the profile, a reading of the files.
 */

import { OperatorError } from './operator_error.js';
import { Signal } from './signal.js';

const POLL_MILLIS = 2000;

/** The operator's side of the page: holds the admin token, follows the reloads while it does, and asks for changes. */
export class Operator {
  /** @type {Signal<void>} */
  changed = new Signal();

  #api;
  #tokens;
  #clock;
  /** @type {string | null} */
  #token = null;
  /** @type {Admission | null} */
  #admission = null;
  /** @type {Reloads | null} */
  #reloads = null;
  /** @type {OperatorError | null} */
  #problem = null;
  /** @type {Deed | null} */
  #deed = null;
  /** @type {Attempt | OperatorError | null} */
  #outcome = null;
  #isVisible = true;
  #isPolling = false;
  #mustPollAgain = false;
  #cancelTimer = () => {};

  /** @param {{ api: OperatorApi, tokens: Tokens, clock: Clock }} parts */
  constructor({ api, tokens, clock }) {
    this.#api = api;
    this.#tokens = tokens;
    this.#clock = clock;
  }

  /** @returns {Phase} */
  get phase() {
    if (this.#token === null) return 'out';
    return this.#admission ? 'in' : 'asking';
  }

  /** Null unless the token was accepted; so are the others. */
  get admission() {
    return this.#admission;
  }

  get reloads() {
    return this.#reloads;
  }

  /** The rejected edit that nobody has mended yet; else a build that was refused. */
  get standing() {
    return this.#reloads?.standing ?? this.#reloads?.refused[0] ?? null;
  }

  /** Why there is nothing to show, or nothing newer. */
  get problem() {
    return this.#problem;
  }

  get deed() {
    return this.#deed;
  }

  /** What became of the last deed, until something newer happened. */
  get outcome() {
    return this.#outcome;
  }

  /** Takes up the token that is remembered. */
  open() {
    this.#token = this.#tokens.read();
    this.changed.emit();
    this.refresh();
  }

  close() {
    this.#leave();
  }

  /** @param {string} token */
  signIn(token) {
    this.#leave();
    this.#token = token.trim();
    this.changed.emit();
    this.refresh();
  }

  forget() {
    this.#tokens.forget();
    this.#leave();
    this.changed.emit();
  }

  /** @param {boolean} isVisible A page out of sight asks for nothing. */
  setVisible(isVisible) {
    this.#isVisible = isVisible;
    this.refresh();
  }

  /** Asks for the news now. */
  refresh() {
    this.#cancelTimer();
    // An answer that is on its way may be older than what there is to ask about.
    if (this.#isPolling) this.#mustPollAgain = true;
    else if (this.#token !== null && this.#isVisible) this.#poll(this.#token);
  }

  /** @param {string} profile */
  useProfile(profile) {
    return this.#do('use', (token) => this.#api.useProfile(token, profile));
  }

  readAgain() {
    return this.#do('read', (token) => this.#api.readAgain(token));
  }

  /** @param {string} token */
  async #poll(token) {
    this.#isPolling = true;
    this.#mustPollAgain = false;
    try {
      const [admission, reloads] = await Promise.all([this.#api.admin(token), this.#api.reloads()]);
      if (token === this.#token) this.#accept(token, admission, reloads);
    } catch (error) {
      if (token === this.#token) this.#suffer(error);
    } finally {
      this.#isPolling = false;
      if (this.#mustPollAgain) this.refresh();
      else if (this.#token !== null) this.#cancelTimer = this.#clock.after(POLL_MILLIS, () => this.refresh());
    }
  }

  /**
   * @param {string} token
   * @param {Admission} admission
   * @param {Reloads} reloads
   */
  #accept(token, admission, reloads) {
    if (!this.#admission) this.#tokens.keep(token);
    this.#admission = admission;
    this.#reloads = reloads;
    this.#problem = null;
    const newest = reloads.attempts[0]?.number ?? 0;
    if (this.#outcome && !(this.#outcome instanceof OperatorError) && newest > this.#outcome.number) this.#outcome = null;
    this.changed.emit();
  }

  /**
   * @param {Deed} deed
   * @param {(token: string) => Promise<Attempt>} ask
   */
  async #do(deed, ask) {
    const token = this.#token;
    if (token === null || this.#deed !== null) return;
    this.#deed = deed;
    this.#outcome = null;
    this.changed.emit();
    /** @type {unknown} */
    let outcome;
    try {
      outcome = await ask(token);
    } catch (error) {
      outcome = error;
    }
    if (token !== this.#token) return;
    this.#deed = null;
    if (outcome instanceof OperatorError && isRefusedToken(outcome)) this.#suffer(outcome);
    else if (outcome instanceof Error && !(outcome instanceof OperatorError)) {
      this.changed.emit();
      throw outcome;
    } else this.#outcome = /** @type {Attempt | OperatorError} */ (outcome);
    this.changed.emit();
    this.refresh();
  }

  /** @param {unknown} error A token that was refused is let go; with anything else the page asks again. */
  #suffer(error) {
    if (!(error instanceof OperatorError)) throw error;
    if (isRefusedToken(error)) {
      this.#tokens.forget();
      this.#leave();
    }
    this.#problem = error;
    this.changed.emit();
  }

  #leave() {
    this.#cancelTimer();
    this.#token = null;
    this.#admission = null;
    this.#reloads = null;
    this.#problem = null;
    this.#deed = null;
    this.#outcome = null;
  }
}

/** @param {OperatorError} error */
function isRefusedToken({ problem }) {
  return problem === 'unauthorized' || problem === 'admin_off';
}
