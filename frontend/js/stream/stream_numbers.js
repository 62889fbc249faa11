/**
 * @import { Clock } from '../core/clock.js'
 * @import { DecodedResult } from '../core/decoded_result.js'
 * @import { Limits } from '../core/messages.js'
 * @import { AnsweredFrame } from './departures.js'
 * @import { QualityNow } from './orders.js'
 *
 * @typedef {object} StreamNow
 * @property {number} inFlight
 * @property {number | null} roundTripMicros
 * @property {QualityNow} quality
 * @property {Limits | null} limits
 * @property {boolean} isStreaming
 */

import { agreement } from '../core/agreement.js';
import { FrameStats } from '../core/frame_stats.js';
import { RollingWindow } from '../core/rolling_window.js';
import { StageTimes } from '../core/stage_times.js';
import { StreamDiagnosis } from '../core/stream_diagnosis.js';

const COMPARED_MICROS = 3_000_000;

/** All that is counted and timed of the stream, and what it comes to. */
export class StreamNumbers {
  #clock;
  #stats;
  #stages = new StageTimes();
  #diagnosis;
  /** How many frames the source has given; null where the source is asked for each. @type {(() => number) | null} */
  #offered = null;
  #comparison = /** @type {Comparisons | null} */ (null);

  /** @param {Clock} clock */
  constructor(clock) {
    this.#clock = clock;
    this.#stats = new FrameStats(clock);
    this.#diagnosis = new StreamDiagnosis(clock);
  }

  /** @param {(() => number) | null} offered */
  begin(offered) {
    this.#offered = offered;
    this.restart();
  }

  /** Rates of before do not count. */
  restart() {
    this.#stats.restart();
    this.#stages.restart();
    this.#diagnosis.restart();
  }

  /** @param {number} bytes */
  sent(bytes) {
    this.#stats.sent(bytes);
  }

  /** @param {number} bytes */
  received(bytes) {
    this.#stats.received(bytes);
  }

  /** @param {string} reason */
  dropped(reason) {
    this.#stats.dropped(reason);
  }

  /** @param {AnsweredFrame & { paintedAt: number, clockOffsetMicros: number | null }} frame */
  painted(frame) {
    this.#stats.paintedFrame(frame.decoded.capturedAt, frame.paintedAt);
    return this.#stages.add(frame);
  }

  /** @param {boolean} isOn */
  compare(isOn) {
    this.#comparison = isOn ? new Comparisons() : null;
  }

  /**
   * @param {DecodedResult} first
   * @param {DecodedResult} second
   */
  compared(first, second) {
    this.#comparison?.add(this.#clock.micros(), first, second);
  }

  /** @param {StreamNow} stream */
  now(stream) {
    const now = this.#clock.micros();
    const snapshot = this.#stats.snapshot();
    const offered = this.#offered?.() ?? null;
    const diagnosis = this.#diagnosis.now({ ...stream, snapshot, stages: this.#stages, offered, isComparing: this.#comparison !== null });
    return { snapshot, stages: this.#stages.shares, diagnosis, comparison: this.#comparison?.summary(now) ?? null };
  }
}

/** Of the last seconds: how far two modes agree, and how long each takes. */
class Comparisons {
  #agreement = new RollingWindow(COMPARED_MICROS);
  #latencies = [new RollingWindow(COMPARED_MICROS), new RollingWindow(COMPARED_MICROS)];

  /**
   * @param {number} now
   * @param {DecodedResult} first
   * @param {DecodedResult} second
   */
  add(now, first, second) {
    const agreed = agreement(first, second);
    if (agreed !== null) this.#agreement.add(now, agreed);
    [first, second].forEach(({ decodedAt, capturedAt }, position) => this.#latencies[position].add(now, decodedAt - capturedAt));
  }

  /** @param {number} now */
  summary(now) {
    const count = this.#agreement.count(now);
    const medianMillis = this.#latencies.map((latencies) => {
      const micros = latencies.percentile(now, 0.5);
      return micros === null ? null : micros / 1000;
    });
    return { agreement: count > 0 ? this.#agreement.sum(now) / count : null, medianMillis };
  }
}
