/**
 * @import { Clock } from '../core/clock.js'
 * @import { Trace, TraceList } from '../core/traces.js'
 * @import { Source } from './live_source.js'
 * @import { ViewState } from './view_state.js'
 */

import { Signal } from '../core/signal.js';
import { TraceError } from '../core/trace_error.js';
import { MOST_TRACES } from './live_source.js';

const POLL_MILLIS = 1000;
const RETRY_MILLIS = 3000;
/** A frame's trace may still grow by its paint. */
const OVERLAP_MICROS = 2_000_000;
/** Now and then further back, for a frame that took this long. */
const LONG_OVERLAP_MICROS = 20_000_000;
const POLLS_PER_LONG_OVERLAP = 10;

/** The traces that match what is asked for, kept up to date while they are followed and somebody looks. */
export class TraceFeed {
  /** Traces, summary or problem are others now. @type {Signal<void>} */
  changed = new Signal();
  /** @type {Trace[]} The newest first. */
  traces = [];
  /** The slowest of all that match, with the diagnosis. @type {TraceList | null} */
  summary = null;
  /** Why nothing new comes. @type {TraceError | null} */
  problem = null;
  /** The answer to the newest question is not here yet. */
  isLoading = false;

  #source;
  #clock;
  /** @type {ViewState} */
  #state;
  /** @type {Map<string, Trace>} */
  #byId = new Map();
  #isVisible = true;
  #isClosed = false;
  #polls = 0;
  /** What is asked for changed so many times; answers to what was asked before are passed over. */
  #turn = 0;
  #cancelTimer = () => {};

  /** @param {{ source: Source, clock: Clock, state: ViewState }} parts */
  constructor({ source, clock, state }) {
    this.#source = source;
    this.#clock = clock;
    this.#state = state;
  }

  get source() {
    return this.#source;
  }

  /** @param {Source} source */
  setSource(source) {
    this.#source = source;
    this.ask(this.#state);
  }

  /**
   * Begins anew with another question.
   *
   * @param {ViewState} state
   */
  ask(state) {
    this.#state = state;
    this.#turn += 1;
    this.#byId.clear();
    this.isLoading = true;
    this.#poll();
  }

  /**
   * Another sight of the same traces.
   *
   * @param {ViewState} state
   */
  follow(state) {
    this.#state = state;
    if (this.#isFollowing) this.#poll();
    else this.#cancelTimer();
  }

  /** @param {boolean} isVisible */
  setVisible(isVisible) {
    this.#isVisible = isVisible;
    if (this.#isFollowing) this.#poll();
    else this.#cancelTimer();
  }

  close() {
    this.#isClosed = true;
    this.#turn += 1;
    this.#cancelTimer();
  }

  get #isFollowing() {
    return this.#state.isFollowing && this.#source.isLive && this.#isVisible && !this.#isClosed;
  }

  async #poll() {
    this.#cancelTimer();
    const turn = ++this.#turn;
    try {
      const from = this.#knownFrom();
      const [loaded, summary] = await Promise.all([this.#source.load(this.#state, { from }), this.#source.summary(this.#state)]);
      if (turn !== this.#turn) return;
      this.#merge(loaded, from === undefined);
      this.summary = summary;
      this.problem = null;
    } catch (error) {
      if (turn !== this.#turn) return;
      if (!(error instanceof TraceError)) throw error;
      this.problem = error;
    }
    this.isLoading = false;
    if (this.#isFollowing) this.#cancelTimer = this.#clock.after(this.problem ? RETRY_MILLIS : POLL_MILLIS, () => this.#poll());
    this.changed.emit();
  }

  /** From when on traces are asked for; undefined: all of them. */
  #knownFrom() {
    this.#polls += 1;
    if (this.#byId.size === 0) return undefined;
    const overlap = this.#polls % POLLS_PER_LONG_OVERLAP === 0 ? LONG_OVERLAP_MICROS : OVERLAP_MICROS;
    return this.traces[0].startMicros - overlap;
  }

  /**
   * @param {TraceList} loaded
   * @param {boolean} isWhole
   */
  #merge({ traces, nowMicros }, isWhole) {
    if (isWhole) this.#byId.clear();
    for (const trace of traces) this.#byId.set(trace.traceId, trace);
    const oldest = this.#state.lastSeconds > 0 && this.#state.since === null ? nowMicros - this.#state.lastSeconds * 1e6 : -Infinity;
    const newestFirst = [...this.#byId.values()].filter((trace) => trace.startMicros >= oldest).sort((a, b) => b.startMicros - a.startMicros);
    this.traces = newestFirst.slice(0, MOST_TRACES);
    if (this.traces.length < this.#byId.size) this.#byId = new Map(this.traces.map((trace) => [trace.traceId, trace]));
  }
}
