/**
 * @import { Clock } from './clock.js'
 * @import { EncodedFrame, Session } from './session.js'
 *
 * @typedef {object} FrameEncoder
 * @property {(settings: { maxDimensionPx: number, jpegQuality: number }) => Promise<EncodedFrame>} next
 *   Encodes the newest camera frame that was not encoded yet.
 *
 * @typedef {{ frameId: number, sentBytes: number, frame: EncodedFrame }} SentFrame
 */

import { Signal } from './signal.js';

/** Part of the interval by which a frame may be late without putting off those after it. */
const LATENESS_FORGIVEN = 0.2;

/**
 * Asks for a camera frame when the server has room for it, and only then: what would be skipped is never encoded.
 */
export class FramePump {
  /** @type {Signal<SentFrame>} */
  sent = new Signal();
  /** @type {Signal<Error>} The encoder gave up. */
  failed = new Signal();

  #session;
  #encoder;
  #clock;
  #isPaused = false;
  #isEncoding = false;
  #isClosed = false;
  #encodeMicros = 0;
  /** When the last frame was sent, or should have been if it was a little late. */
  #pacedAt = -Infinity;
  #cancelTimer = () => {};
  #unsubscribe;

  /** @param {{ session: Session, encoder: FrameEncoder, clock: Clock }} parts */
  constructor({ session, encoder, clock }) {
    this.#session = session;
    this.#encoder = encoder;
    this.#clock = clock;
    this.#unsubscribe = [session.slotFreed, session.changed].map((signal) => signal.subscribe(() => this.#advance()));
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
    return !this.#isClosed && !this.#isPaused && !this.#isEncoding && this.#session.wantsFrame;
  }

  #advance() {
    this.#cancelTimer();
    const { limits } = this.#session;
    if (!this.#mayEncode || !limits) return;
    // Encoding takes part of the interval, so that frames are sent, not begun, this far apart.
    const earliest = this.#pacedAt + limits.minFrameIntervalMillis * 1000 - this.#encodeMicros;
    const waitMillis = (earliest - this.#clock.micros()) / 1000;
    if (waitMillis > 0) this.#cancelTimer = this.#clock.after(waitMillis, () => this.#advance());
    else this.#encode(limits);
  }

  /** @param {{ maxDimensionPx: number, jpegQuality: number }} settings */
  async #encode(settings) {
    this.#isEncoding = true;
    try {
      const frame = await this.#encoder.next(settings);
      this.#isEncoding = false;
      if (this.#mayEncode) this.#send(frame);
      this.#advance();
    } catch (error) {
      this.#isEncoding = false;
      if (!this.#isClosed) this.failed.emit(/** @type {Error} */ (error));
    }
  }

  /** @param {EncodedFrame} frame */
  #send(frame) {
    const sentAt = this.#clock.micros();
    this.#encodeMicros = sentAt - frame.startedAt;
    this.#pace(sentAt);
    this.sent.emit({ ...this.#session.sendFrame(frame), frame });
  }

  /**
   * Timers ring a little late; with each frame counted from the last, the stream would be slower than the interval allows.
   *
   * @param {number} sentAt
   */
  #pace(sentAt) {
    const intervalMicros = (this.#session.limits?.minFrameIntervalMillis ?? 0) * 1000;
    const dueAt = this.#pacedAt + intervalMicros;
    this.#pacedAt = sentAt - dueAt <= intervalMicros * LATENESS_FORGIVEN ? dueAt : sentAt;
  }
}
