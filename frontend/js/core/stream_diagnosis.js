/**
 * Where the stream is held up, in one sentence that says what to do about it.
 *
 * @import { Clock } from './clock.js'
 * @import { Snapshot } from './frame_stats.js'
 * @import { Limits } from './messages.js'
 * @import { StageTimes } from './stage_times.js'
 *
 * @typedef {'network' | 'backend' | 'camera' | 'page' | 'fine'} DiagnosisKind
 * @typedef {{ kind: DiagnosisKind, text: string }} Diagnosis The text is empty while there is nothing to go by.
 *
 * @typedef {object} StreamFacts
 * @property {Snapshot} snapshot
 * @property {StageTimes} stages
 * @property {Limits | null} limits
 * @property {number} inFlight
 * @property {number | null} roundTripMicros
 * @property {{ kind: 'fixed' | 'adapting' | 'pinned' }} quality
 * @property {number | null} offered How many frames the source has given so far; null where it is asked for each.
 * @property {boolean} isStreaming
 * @property {boolean} [isComparing] Masks wait for those of another mode.
 *
 * @typedef {object} Lately What the last second was like.
 * @property {Limits} limits
 * @property {number} fps
 * @property {number | null} cameraFps Null where it cannot be told.
 * @property {number | null} slowMillis Capture to paint, of the slowest in twenty; null where nothing was painted.
 *
 * @typedef {StreamFacts & Lately} Facts
 * @typedef {Diagnosis & { cause: string, figure: number }} Finding A cause is found again, or it is another one; `figure`
 *   is the number that the text goes by.
 */

import { RollingWindow } from './rolling_window.js';
import { findCause } from './stream_causes.js';

const EVIDENCE_MICROS = 2_000_000;
const VOTES_KEPT_MICROS = 4_000_000;
const RATE_MICROS = 1_000_000;
/** Points of half a second: where frames are rare some are empty. */
const POINTS_LOOKED_AT = 4;
const MAJORITY = 0.6;
/** The number in a sentence stands until it is so far off. */
const NEWS = 0.2;

/** @type {Finding} */
const NOTHING = { kind: 'fine', text: '', cause: 'nothing', figure: 0 };

/** Looks at the stream again and again, and changes its mind only on two seconds of evidence. */
export class StreamDiagnosis {
  #clock;
  #said = NOTHING;
  /** @type {{ at: number, finding: Finding }[]} */
  #votes = [];
  #since = 0;
  #camera = new Rate();
  #painted = new Rate();

  /** @param {Clock} clock */
  constructor(clock) {
    this.#clock = clock;
    this.restart();
  }

  /** The stream starts anew. */
  restart() {
    this.#said = NOTHING;
    this.#votes = [];
    this.#since = this.#clock.micros();
    this.#camera = new Rate();
    this.#painted = new Rate();
  }

  /**
   * To be asked some times a second.
   *
   * @param {StreamFacts} facts
   * @returns {Diagnosis}
   */
  now(facts) {
    if (!facts.isStreaming || !facts.limits) this.restart();
    else this.#look(facts, facts.limits);
    const { kind, text } = this.#said;
    return { kind, text };
  }

  /**
   * @param {StreamFacts} facts
   * @param {Limits} limits
   */
  #look(facts, limits) {
    const now = this.#clock.micros();
    const { latencies, painted } = facts.snapshot;
    const fps = this.#painted.at(now, painted);
    const cameraFps = facts.offered === null ? null : this.#camera.at(now, facts.offered);
    const slowMillis = latencies.slice(-POINTS_LOOKED_AT).findLast(({ p95Millis }) => p95Millis !== null)?.p95Millis ?? null;
    if (fps !== null) this.#vote(now, findCause({ ...facts, limits, fps, cameraFps, slowMillis }) ?? NOTHING);
  }

  /**
   * @param {number} now
   * @param {Finding} finding
   */
  #vote(now, finding) {
    this.#votes.push({ at: now, finding });
    this.#votes = this.#votes.filter(({ at }) => now - at < VOTES_KEPT_MICROS);
    if (now - this.#since < EVIDENCE_MICROS) return;
    const winner = this.#winner();
    if (!winner) return;
    const isNews = winner.cause !== this.#said.cause || Math.abs(winner.figure - this.#said.figure) > NEWS * this.#said.figure;
    if (isNews) this.#said = winner;
  }

  /** The cause with a majority; where none has one and what was said is found no more, that which is found most. */
  #winner() {
    /** @type {Map<string, { count: number, latest: Finding }>} */
    const counts = new Map();
    for (const { finding } of this.#votes) {
      counts.set(finding.cause, { count: (counts.get(finding.cause)?.count ?? 0) + 1, latest: finding });
    }
    const first = [...counts.values()].reduce((first, other) => (other.count > first.count ? other : first));
    const isCertain = first.count >= MAJORITY * this.#votes.length;
    return isCertain || !counts.has(this.#said.cause) ? first.latest : null;
  }
}

/** How fast a count grows: over the last second. */
class Rate {
  #added = new RollingWindow(RATE_MICROS);
  /** @type {number | null} */
  #before = null;
  #since = 0;

  /**
   * @param {number} now
   * @param {number} count
   * @returns {number | null} A second; null until a second has passed.
   */
  at(now, count) {
    if (this.#before === null) this.#since = now;
    else this.#added.add(now, Math.max(0, count - this.#before));
    this.#before = count;
    return now - this.#since < RATE_MICROS ? null : (this.#added.sum(now) / RATE_MICROS) * 1e6;
  }
}
