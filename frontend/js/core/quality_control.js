/**
 * When quality goes down and when it comes back: pure reckoning on what was measured, without a clock of its own.
 *
 * A frame's latency is an elastic part, which shrinks with its bytes, and the rest, which does not. The aim is to bring
 * a high quantile of the latency under the target; where the rest alone leaves little room, to keep the elastic part small
 * beside it. Predictions decide how far to go, and what came of a step decides whether they are believed.
 *
 * @import { QualityLevel } from './quality_ladder.js'
 * @import { Summary } from './quality_samples.js'
 *
 * @typedef {'measuring' | 'full' | 'lowered' | 'rising' | 'floor' | 'helpless' | 'futile'} Mood
 * @typedef {{ level: number, mood: Mood }} Decision
 *
 * @typedef {object} Position
 * @property {QualityLevel[]} ladder
 * @property {number} level
 * @property {number} targetMillis
 *
 * @typedef {{ from: number, latency: number, gain: number }} Descent Steps down, until it is known what came of them: the
 *   level and the latency before them and what was expected of them, milliseconds.
 * @typedef {{ to: number, at: number, elasticPerCost: number }} Climb A step up that trouble may follow, and what was measured before it.
 * @typedef {{ level: number, since: number, waitMicros: number, elasticPerCost: number }} Ceiling A level that failed: it is
 *   not tried again before the wait is over, or the link is better than it was before it was tried.
 */

/** Samples that a decision needs: fewer where frames take twice or four times as long as they should. */
const LEAST_SAMPLES = { usual: 8, late: 4, veryLate: 2 };

/** The band about the target in which nothing is changed. */
const TOO_SLOW = 1.05;
const ROOM_ENOUGH = 0.9;
const ROOM_PLENTY = 0.85;
/** The latency that is aimed at is never nearer than this to what no smaller frame would take away. */
const LEAST_OVER_REST = 1.25;

const CALM_PLENTY_MICROS = 800_000;
const CALM_MICROS = 4_000_000;
const MOST_WAIT_MICROS = 120_000_000;
const TROUBLE_WITHIN_MICROS = 10_000_000;
/** Of the elastic part before the step up that failed. */
const BETTER = 0.6;

const HELPED_LEAST = 0.3;
/** Of the target: what is said of it does not flicker. */
const NO_LONGER_HELPLESS = 0.9;
/** A latency that rose so much tells nothing of the step: something else changed. */
const SITUATION_CHANGED = 1.2;
const FUTILE_MICROS = 30_000_000;

export class QualityControl {
  /** @type {number | null} Since when there has been room for a step up. */
  #roomSince = null;
  /** @type {Descent | null} */
  #descent = null;
  /** @type {Climb | null} */
  #climb = null;
  /** @type {Ceiling | null} */
  #ceiling = null;
  #futileMicros = FUTILE_MICROS;
  /** @type {{ until: number, latency: number } | null} Smaller frames did not help. */
  #futile = null;
  #isHelpless = false;

  /** What was learned of the link does not count any more. */
  restart() {
    this.#futileMicros = FUTILE_MICROS;
    this.#ceiling = null;
    this.#futile = null;
    this.#isHelpless = false;
    this.forgetSteps();
  }

  /** The level was changed from outside. */
  forgetSteps() {
    this.#roomSince = null;
    this.#descent = null;
    this.#climb = null;
  }

  /** Frames were lost: no time to ask for more. */
  disturbed() {
    this.#roomSince = null;
  }

  /**
   * @param {number} now Microseconds.
   * @param {Summary} seen Since the last change of level.
   * @param {Position} position
   * @returns {Decision}
   */
  decide(now, seen, position) {
    const rest = Math.max(0, seen.high - seen.elastic);
    const aim = Math.max(position.targetMillis, LEAST_OVER_REST * rest);
    const isSlow = seen.high > TOO_SLOW * aim;
    if (seen.count < leastSamples(seen.high / aim)) return { level: position.level, mood: 'measuring' };
    if (this.#didNotHelp(seen, position)) return this.#giveBack(now, seen);
    this.#descent = null;
    this.#settleClimb(now, isSlow);
    if (isSlow) return this.#goDown(now, seen, position, aim);
    if (seen.high < position.targetMillis) this.#futile = null;
    return this.#maybeUp(now, seen, position, aim) ?? { level: position.level, mood: this.#moodAt(position, seen) };
  }

  /**
   * @param {Summary} seen
   * @param {Position} position
   */
  #didNotHelp(seen, { targetMillis }) {
    if (!this.#descent || seen.high < TOO_SLOW * targetMillis || seen.latency > SITUATION_CHANGED * this.#descent.latency) return false;
    return this.#descent.latency - seen.latency < HELPED_LEAST * this.#descent.gain;
  }

  /**
   * @param {number} now
   * @param {Summary} seen
   * @returns {Decision}
   */
  #giveBack(now, seen) {
    const level = /** @type {Descent} */ (this.#descent).from;
    this.#futile = { until: now + this.#futileMicros, latency: seen.latency };
    this.#futileMicros = Math.min(MOST_WAIT_MICROS, 2 * this.#futileMicros);
    this.forgetSteps();
    return { level, mood: 'futile' };
  }

  /**
   * A step up that is followed by trouble is not tried again soon, and later each time.
   *
   * @param {number} now
   * @param {boolean} isSlow
   */
  #settleClimb(now, isSlow) {
    if (!this.#climb) return;
    const { to, at, elasticPerCost } = this.#climb;
    const hasLasted = now - at > TROUBLE_WITHIN_MICROS;
    if (!hasLasted && !isSlow) return;
    this.#climb = null;
    if (!hasLasted) {
      const waitMicros = Math.min(MOST_WAIT_MICROS, 2 * (this.#ceiling?.waitMicros ?? CALM_MICROS));
      this.#ceiling = { level: to, since: now, waitMicros, elasticPerCost };
    } else if (this.#ceiling && to <= this.#ceiling.level) this.#ceiling = null;
  }

  /**
   * By as many steps as the excess asks for.
   *
   * @param {number} now
   * @param {Summary} seen
   * @param {Position} position
   * @param {number} aim
   * @returns {Decision}
   */
  #goDown(now, seen, { ladder, level }, aim) {
    this.#roomSince = null;
    if (this.#isFutile(now, seen)) return { level, mood: 'futile' };
    if (level === ladder.length - 1) {
      this.#isHelpless = true;
      return { level, mood: 'floor' };
    }
    let to = level + 1;
    while (to < ladder.length - 1 && expected(seen, ladder, level, to) > ROOM_ENOUGH * aim) to += 1;
    const gain = seen.elastic * (1 - ladder[to].cost / ladder[level].cost);
    this.#descent = { from: level, latency: seen.latency, gain };
    return { level: to, mood: 'lowered' };
  }

  /**
   * @param {number} now
   * @param {Summary} seen
   */
  #isFutile(now, seen) {
    if (this.#futile && (now > this.#futile.until || seen.latency > SITUATION_CHANGED * this.#futile.latency)) this.#futile = null;
    return this.#futile !== null;
  }

  /**
   * @param {number} now
   * @param {Summary} seen
   * @param {Position} position
   * @param {number} aim
   * @returns {Decision | null}
   */
  #maybeUp(now, seen, { ladder, level }, aim) {
    if (level === 0 || expected(seen, ladder, level, level - 1) > ROOM_ENOUGH * aim) {
      this.#roomSince = null;
      return null;
    }
    this.#roomSince ??= now;
    const elasticPerCost = seen.elastic / ladder[level].cost;
    if (this.#ceiling && elasticPerCost < BETTER * this.#ceiling.elasticPerCost) this.#ceiling = null;
    const isAtCeiling = this.#ceiling !== null && level - 1 <= this.#ceiling.level;
    if (this.#ceiling && isAtCeiling && now - this.#ceiling.since < this.#ceiling.waitMicros) return null;
    const hasPlenty = !isAtCeiling && expected(seen, ladder, level, Math.max(0, level - 2)) <= ROOM_PLENTY * aim;
    if (now - this.#roomSince < (hasPlenty ? CALM_PLENTY_MICROS : CALM_MICROS)) return null;
    this.forgetSteps();
    this.#climb = { to: level - 1, at: now, elasticPerCost };
    return { level: level - 1, mood: 'rising' };
  }

  /**
   * @param {Position} position
   * @param {Summary} seen
   * @returns {Mood}
   */
  #moodAt({ ladder, level, targetMillis }, { high }) {
    this.#isHelpless = high > (this.#isHelpless ? NO_LONGER_HELPLESS : TOO_SLOW) * targetMillis;
    if (this.#futile) return 'futile';
    if (this.#isHelpless) return level === ladder.length - 1 ? 'floor' : 'helpless';
    if (this.#climb) return 'rising';
    return level === 0 ? 'full' : 'lowered';
  }
}

/**
 * The high quantile of the latency at another level.
 *
 * @param {Summary} seen
 * @param {QualityLevel[]} ladder
 * @param {number} from
 * @param {number} to
 */
function expected(seen, ladder, from, to) {
  const more = seen.elastic * (ladder[to].cost / ladder[from].cost - 1);
  // Frames that wait for the model anyway may as well take longer on their way.
  return seen.high + (more > 0 ? Math.max(0, more - seen.queue) : more);
}

/** @param {number} excess The latency against what it should be. */
function leastSamples(excess) {
  if (excess > 4) return LEAST_SAMPLES.veryLate;
  return excess > 2 ? LEAST_SAMPLES.late : LEAST_SAMPLES.usual;
}
