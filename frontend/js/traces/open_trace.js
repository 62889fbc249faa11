/**
 * @import { Trace } from '../core/traces.js'
 * @import { Source } from './live_source.js'
 */

import { Signal } from '../core/signal.js';
import { TraceError } from '../core/trace_error.js';

/** A trace that was asked for a moment ago may be on its way into the recorder. */
const MOST_TRIES = 5;

/** The one trace that is open: from the list where it is there, else asked for by its id. */
export class OpenTrace {
  /** @type {Signal<void>} */
  changed = new Signal();
  traceId = '';
  /** @type {Trace | null} */
  trace = null;
  /** @type {TraceError | null} */
  problem = null;

  #source;
  #tries = 0;
  #isAsking = false;

  /** @param {Source} source */
  constructor(source) {
    this.#source = source;
  }

  /** @param {Source} source */
  setSource(source) {
    this.#source = source;
    const { traceId } = this;
    this.open('', []);
    this.open(traceId, []);
  }

  /**
   * @param {string} traceId Empty: none.
   * @param {Trace[]} known
   */
  open(traceId, known) {
    if (traceId !== this.traceId) {
      this.traceId = traceId;
      this.trace = null;
      this.problem = null;
      this.#tries = 0;
      this.#isAsking = false;
    }
    this.refresh(known);
  }

  /**
   * The list was asked anew: a trace may have grown by its paint, or be there by now.
   *
   * @param {Trace[]} known
   */
  refresh(known) {
    if (!this.traceId) return;
    const found = known.find((trace) => trace.traceId === this.traceId);
    if (found) {
      this.trace = found;
      this.problem = null;
    } else if (!this.trace && !this.#isAsking && this.#tries < MOST_TRIES) this.#ask();
  }

  async #ask() {
    const { traceId } = this;
    const source = this.#source;
    this.#isAsking = true;
    this.#tries += 1;
    /** @type {Trace | null} */
    let trace = null;
    /** @type {TraceError | null} */
    let problem = null;
    try {
      trace = await source.trace(traceId);
    } catch (error) {
      if (!(error instanceof TraceError)) throw error;
      problem = error;
    }
    if (traceId !== this.traceId || source !== this.#source) return;
    this.#isAsking = false;
    this.trace = trace;
    this.problem = problem;
    this.changed.emit();
  }
}
