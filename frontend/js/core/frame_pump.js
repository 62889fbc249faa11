/**
 * @import { Clock } from './clock.js'
 * @import { Limits } from './messages.js'
 *
 * @typedef {object} EncodedFrame
 * @property {Uint8Array<ArrayBuffer>} jpeg
 * @property {ImageBitmap} [picture] What the JPEG shows.
 * @property {number} widthPx
 * @property {number} heightPx
 * @property {number} capturedAt
 * @property {number} startedAt Encoding began.
 * @property {number} encodedAt
 *
 * @typedef {{ jpegQuality: number, maxDimensionPx: number }} FrameSettings
 *
 * @typedef {object} FrameEncoder
 * @property {(settings: FrameSettings) => Promise<EncodedFrame>} next Encodes the newest frame that was not encoded yet.
 *
 * @typedef {object} FrameSink A session, or several.
 * @property {Limits | null} limits
 * @property {boolean} wantsFrame Whether a frame encoded now could be sent.
 * @property {Signal<void>} slotFreed
 * @property {Signal<void>} changed
 * @property {(frame: EncodedFrame) => { frameId: number, sentBytes: number }} sendFrame
 *
 * @typedef {{ frameId: number, sentBytes: number, frame: EncodedFrame }} SentFrame
 */

import { Signal } from './signal.js';

/**
 * Part of the interval by which a frame may be late without putting off those after it. Timers ring late: were each frame
 * counted from the last, a camera of 30 frames a second would lose some of them to an interval of 33 ms.
 */
const LATENESS_FORGIVEN = 0.2;

/**
 * Asks for a camera frame when the server has room for it, and only then: what would be skipped is never encoded.
 */
export class FramePump {
  /** @type {Signal<SentFrame>} */
  sent = new Signal();
  /** @type {Signal<Error>} The encoder gave up. */
  failed = new Signal();

  #sink;
  #encoder;
  #clock;
  #settings;
  #leastIntervalMillis;
  #isPaused = false;
  #isEncoding = false;
  #isClosed = false;
  #encodeMicros = 0;
  /** When the last frame was sent, or should have been if it was a little late. */
  #pacedAt = -Infinity;
  #cancelTimer = () => {};
  #unsubscribe;

  /**
   * @param {{ sink: FrameSink, encoder: FrameEncoder, clock: Clock, settings?: () => FrameSettings | null, leastIntervalMillis?: number }} parts
   *   `settings` are asked for before each frame; without them the limits are the settings. The interval may be longer
   *   than the limits ask for: a still picture needs few frames.
   */
  constructor({ sink, encoder, clock, settings = () => sink.limits, leastIntervalMillis = 0 }) {
    this.#sink = sink;
    this.#encoder = encoder;
    this.#clock = clock;
    this.#settings = settings;
    this.#leastIntervalMillis = leastIntervalMillis;
    this.#unsubscribe = [sink.slotFreed, sink.changed].map((signal) => signal.subscribe(() => this.#advance()));
    this.#advance();
  }

  /** @param {boolean} isPaused */
  setPaused(isPaused) {
    this.#isPaused = isPaused;
    this.#advance();
  }

  close() {
    this.#isClosed = true;
    this.#cancelTimer();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }

  get #mayEncode() {
    return !this.#isClosed && !this.#isPaused && !this.#isEncoding && this.#sink.wantsFrame;
  }

  #advance() {
    this.#cancelTimer();
    const settings = this.#settings();
    if (!this.#mayEncode || !settings) return;
    // Begun early by the time that encoding takes: frames are sent, not begun, an interval apart.
    const waitMillis = this.#millisUntilDue() - this.#encodeMicros / 1000;
    if (waitMillis > 0) this.#cancelTimer = this.#clock.after(waitMillis, () => this.#advance());
    else this.#encode(settings);
  }

  /** @param {FrameSettings} settings */
  async #encode(settings) {
    this.#isEncoding = true;
    try {
      const frame = await this.#encoder.next(settings);
      this.#encodeMicros = this.#clock.micros() - frame.startedAt;
      await this.#due();
      this.#isEncoding = false;
      if (this.#mayEncode) this.#send(frame);
      else frame.picture?.close();
      this.#advance();
    } catch (error) {
      this.#isEncoding = false;
      if (!this.#isClosed) this.failed.emit(/** @type {Error} */ (error));
    }
  }

  /** @param {EncodedFrame} frame */
  #send(frame) {
    const lateMillis = -this.#millisUntilDue();
    const now = this.#clock.micros();
    this.#pacedAt = lateMillis <= LATENESS_FORGIVEN * this.#intervalMillis ? now - lateMillis * 1000 : now;
    this.sent.emit({ ...this.#sink.sendFrame(frame), frame });
  }

  /** A frame that was ready early waits; one that is late is sent at once. */
  async #due() {
    const waitMillis = this.#millisUntilDue();
    if (waitMillis > 0) await new Promise((resolve) => this.#clock.after(waitMillis, () => resolve(undefined)));
  }

  #millisUntilDue() {
    return this.#intervalMillis - (this.#clock.micros() - this.#pacedAt) / 1000;
  }

  get #intervalMillis() {
    return Math.max(this.#sink.limits?.minFrameIntervalMillis ?? 0, this.#leastIntervalMillis);
  }
}
