/**
 * @import { Mark, Trace } from '../core/traces.js'
 * @import { Source } from './live_source.js'
 * @import { ViewState } from './view_state.js'
 *
 * @typedef {object} TwoGenerations
 * @property {number[]} generations To choose from, the newest first.
 * @property {number | null} before
 * @property {number | null} after
 * @property {Trace[]} traces Of both, as far as they are here.
 */

import { Signal } from '../core/signal.js';
import { TraceError } from '../core/trace_error.js';
import { chooseTwo } from './percentiles.js';

const MOST_TRACES = 2000;

/** Frames of the two generations that are compared; where the newest frames have none of one, it is asked for. */
export class GenerationSamples {
  /** Frames that were asked for have come. @type {Signal<void>} */
  changed = new Signal();

  #source;
  /** Null while they are asked for. @type {Map<number, Trace[] | null>} */
  #samples = new Map();

  /** @param {Source} source */
  constructor(source) {
    this.#source = source;
  }

  /** @param {Source} source */
  setSource(source) {
    this.#source = source;
    this.restart();
  }

  /** Other filters than before hold. */
  restart() {
    this.#samples = new Map();
  }

  /**
   * @param {Trace[]} traces The newest first.
   * @param {Mark[]} marks
   * @param {ViewState} state
   * @returns {TwoGenerations}
   */
  choose(traces, marks, state) {
    const told = marks.filter(({ outcome, generation }) => outcome !== 'rejected' && generation > 0).map(({ generation }) => generation);
    const isEmpty = (/** @type {number} */ generation) => this.#samples.get(generation)?.length === 0;
    const present = new Set(traces.map(({ generation }) => generation));
    const generations = [...new Set([...present, ...told.filter((one) => !isEmpty(one))])];
    const chosen = chooseTwo(generations, state);
    const both = [chosen.before, chosen.after].filter((one) => one !== null);
    for (const generation of both) if (!present.has(generation)) this.#want(generation, state);
    const missing = both.filter((generation) => !present.has(generation)).flatMap((generation) => this.#samples.get(generation) ?? []);
    return { ...chosen, traces: [...traces, ...missing] };
  }

  /**
   * @param {number} generation
   * @param {ViewState} state
   */
  async #want(generation, state) {
    const samples = this.#samples;
    if (samples.has(generation)) return;
    samples.set(generation, null);
    try {
      const { traces } = await this.#source.load({ ...state, generation, since: null, until: null, lastSeconds: 0 }, { limit: MOST_TRACES });
      samples.set(generation, traces);
    } catch (error) {
      // The feed tells of a server that is away; this is asked for again with the next question.
      if (!(error instanceof TraceError)) throw error;
      samples.delete(generation);
      return;
    }
    if (samples === this.#samples) this.changed.emit();
  }
}
