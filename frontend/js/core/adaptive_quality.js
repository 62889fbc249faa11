/**
 * @import { Clock } from './clock.js'
 * @import { FrameSettings } from './frame_pump.js'
 * @import { Limits } from './messages.js'
 * @import { Mood } from './quality_control.js'
 * @import { QualityLevel } from './quality_ladder.js'
 * @import { PaintedParts, Summary } from './quality_samples.js'
 *
 * @typedef {object} QualityState
 * @property {'fixed' | 'adapting' | 'pinned'} kind
 * @property {number} level 0 is the best that the server takes.
 * @property {number} lowestLevel
 * @property {string} reason One short sentence for the user.
 */

import { QualityControl } from './quality_control.js';
import { buildLadder } from './quality_ladder.js';
import { QualitySamples } from './quality_samples.js';
import { reasonOf } from './quality_words.js';
import { Signal } from './signal.js';

const SMALLEST_DIMENSION_PX = 16;
const LEAST_BETWEEN_STEPS_MICROS = 500_000;
const WORDS_STAND_MICROS = 4_000_000;
/** The numbers in a reason stand until the latency has moved so far from what it was. */
const NEWS = 0.2;

/** @type {{ mood: Mood, level: number, latency: number, at: number, reason: string }} */
const UNSAID = { mood: 'measuring', level: -1, latency: 0, at: 0, reason: 'Measuring how long frames take.' };

/**
 * JPEG quality and size of the frames that are sent: within the profile's bounds they follow what painted frames tell of
 * the link and the server.
 */
export class AdaptiveQuality {
  /** Settings or state. @type {Signal<void>} */
  changed = new Signal();

  #clock;
  /** @type {Limits | null} */
  #limits = null;
  /** @type {FrameSettings | null} As the user wished, the limits aside. */
  #pinned = null;
  /** @type {QualityLevel[]} */
  #ladder = [];
  #level = 0;
  #control = new QualityControl();
  #samples = new QualitySamples();
  #changedAt = 0;
  /** Frames that were in flight with the first of the current level: they held it up. */
  #toPassOver = 0;
  #said = UNSAID;

  /** @param {{ clock: Clock }} parts */
  constructor({ clock }) {
    this.#clock = clock;
  }

  /** @returns {FrameSettings | null} Null until the limits are known. */
  get settings() {
    if (!this.#limits) return null;
    const { jpegQuality, maxDimensionPx } = this.#limits;
    if (!this.#pinned) return settingsOf(this.#ladder[this.#level]);
    return {
      jpegQuality: Math.max(1, Math.min(jpegQuality, this.#pinned.jpegQuality)),
      maxDimensionPx: Math.max(SMALLEST_DIMENSION_PX, Math.min(maxDimensionPx, this.#pinned.maxDimensionPx)),
    };
  }

  /** @returns {QualityState} */
  get state() {
    const lowestLevel = Math.max(0, this.#ladder.length - 1);
    if (this.#pinned) return { kind: 'pinned', level: this.#level, lowestLevel, reason: 'Set by hand.' };
    if (!this.#isAdapting) return { kind: 'fixed', level: 0, lowestLevel, reason: 'As the profile says.' };
    return { kind: 'adapting', level: this.#level, lowestLevel, reason: this.#said.reason };
  }

  /** @param {Limits} limits From `hello` or `limits`; the same ones again change nothing. */
  setLimits(limits) {
    if (JSON.stringify(limits) === JSON.stringify(this.#limits)) return;
    const before = this.#ladder[this.#level];
    const wasLowered = this.#level > 0;
    this.#limits = limits;
    this.#ladder = buildLadder(limits);
    // Whoever was at the top stays there: the profile has a new one. Others go on with frames about as large.
    const alike = wasLowered ? this.#ladder.findIndex(({ cost }) => cost <= 1.1 * before.cost) : 0;
    this.#level = alike === -1 ? this.#ladder.length - 1 : alike;
    this.restart();
  }

  /** @param {FrameSettings | null} settings By hand, or automatic again. */
  pin(settings) {
    this.#pinned = settings;
    this.restart();
  }

  /** The stream starts anew: what was measured before does not count. */
  restart() {
    this.#control.restart();
    this.#measureAnew();
    this.#said = UNSAID;
    this.changed.emit();
  }

  /** @param {PaintedParts} frame */
  painted(frame) {
    if (!this.#isAdapting || frame.capturedAt < this.#changedAt) return;
    if (this.#toPassOver > 0) {
      this.#toPassOver -= 1;
      return;
    }
    this.#samples.add(frame);
    this.#decide();
  }

  /**
   * Most losses are the server's: it had no turn for the frame, whatever its size.
   *
   * @param {string} reason
   */
  dropped(reason) {
    if (!this.#isAdapting) return;
    this.#control.disturbed();
    if (reason === 'too_large') this.#shrinkTo(this.#level + 1);
    if (reason === 'unanswered' && !this.#wasSlowElsewhere) this.#shrinkTo(this.#ladder.length - 1);
  }

  get #isAdapting() {
    return this.#pinned === null && this.#ladder.length > 1;
  }

  get #wasSlowElsewhere() {
    const seen = this.#samples.summary;
    return seen !== null && seen.elastic < seen.latency / 2;
  }

  #decide() {
    const seen = this.#samples.summary;
    if (!seen || !this.#limits?.adaptive) return;
    const { targetLatencyMillis: targetMillis } = this.#limits.adaptive;
    const position = { ladder: this.#ladder, level: this.#level, targetMillis };
    const { level, mood } = this.#control.decide(this.#clock.micros(), seen, position);
    if (mood !== 'measuring') this.#say(mood, level, seen, targetMillis);
    if (level !== this.#level) this.#moveTo(level);
  }

  /** @param {number} level */
  #shrinkTo(level) {
    // Frames sent before the last change are lost one by one.
    if (level >= this.#ladder.length || this.#clock.micros() - this.#changedAt < LEAST_BETWEEN_STEPS_MICROS) return;
    this.#control.forgetSteps();
    this.#moveTo(level);
  }

  /** @param {number} level */
  #moveTo(level) {
    this.#level = level;
    this.#measureAnew();
    this.#toPassOver = this.#limits?.maxInFlight ?? 0;
    this.changed.emit();
  }

  #measureAnew() {
    this.#samples.clear();
    this.#changedAt = this.#clock.micros();
    this.#toPassOver = 0;
  }

  /**
   * Says it anew when it is something else, or when its numbers are.
   *
   * @param {Exclude<Mood, 'measuring'>} mood
   * @param {number} level
   * @param {Summary} seen
   * @param {number} targetMillis
   */
  #say(mood, level, seen, targetMillis) {
    const now = this.#clock.micros();
    const said = this.#said;
    const isSame = mood === said.mood && Math.abs(seen.high - said.latency) <= NEWS * said.latency;
    if (level === said.level && (isSame || now - said.at < WORDS_STAND_MICROS)) return;
    const reason = reasonOf(mood, seen, targetMillis);
    this.#said = { mood, level, latency: seen.high, at: now, reason };
    if (reason !== said.reason) this.changed.emit();
  }
}

/** @param {QualityLevel} level */
function settingsOf({ jpegQuality, maxDimensionPx }) {
  return { jpegQuality, maxDimensionPx };
}
