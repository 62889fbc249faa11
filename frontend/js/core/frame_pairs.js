/**
 * @import { DecodedResult } from './decoded_result.js'
 * @import { EncodedFrame } from './frame_pump.js'
 * @import { Session } from './session.js'
 *
 * @typedef {{ first: DecodedResult, second: DecodedResult | null }} Answered What came of one frame; without a rival, or
 *   where it could not be asked, there is no second.
 * @typedef {{ rivalFrameId: number, first: DecodedResult | null, second: DecodedResult | null }} Pair
 */

import { Signal } from './signal.js';

/**
 * Sends each frame to one session, or to it and a rival: two modes on the same frames. A frame that both were asked for
 * is shown when both have answered.
 */
export class FramePairs {
  /** @type {Signal<void>} */
  slotFreed = new Signal();
  /** @type {Signal<void>} */
  changed = new Signal();
  /** @type {Signal<Answered>} */
  answered = new Signal();
  /** @type {Signal<number>} A frame, by its id, that nothing will be shown of. */
  lost = new Signal();

  #session;
  /** @type {Session | null} */
  #rival = null;
  /** @type {() => boolean} */
  #isRivalReady = () => false;
  #unsubscribeRival = () => {};
  /** By the first session's frame id. @type {Map<number, Pair>} */
  #pairs = new Map();
  /** @type {Map<number, number>} */
  #frameIdByRivals = new Map();

  /** @param {Session} session */
  constructor(session) {
    this.#session = session;
    this.#forward(session);
    session.resultDecoded.subscribe((decoded) => this.#takeFirst(decoded));
    session.frameDropped.subscribe(({ frameId }) => this.#lose(frameId));
    session.changed.subscribe(() => !session.isOpen && [...this.#pairs.keys()].forEach((frameId) => this.#lose(frameId)));
  }

  get limits() {
    return this.#session.limits;
  }

  get wantsFrame() {
    return this.#session.wantsFrame && (!this.#asksRival || this.#rival?.wantsFrame === true);
  }

  /**
   * @param {Session | null} rival
   * @param {() => boolean} [isReady] Whether the mode to compare with answers there.
   */
  setRival(rival, isReady = () => true) {
    this.#unsubscribeRival();
    this.#answerAllAlone();
    this.#rival = rival;
    this.#isRivalReady = isReady;
    if (!rival) return;
    const subscriptions = [
      ...this.#forward(rival),
      rival.resultDecoded.subscribe((decoded) => this.#takeSecond(decoded)),
      rival.frameDropped.subscribe(({ frameId }) => {
        const first = this.#frameIdByRivals.get(frameId);
        if (first !== undefined) this.#answerAlone(first);
      }),
      rival.changed.subscribe(() => !rival.isOpen && this.#answerAllAlone()),
    ];
    this.#unsubscribeRival = () => subscriptions.forEach((unsubscribe) => unsubscribe());
  }

  /** @param {EncodedFrame} frame */
  sendFrame(frame) {
    const sent = this.#session.sendFrame(frame);
    if (this.#rival && this.#asksRival) {
      const { frameId: rivalFrameId, sentBytes } = this.#rival.sendFrame(frame);
      this.#pairs.set(sent.frameId, { rivalFrameId, first: null, second: null });
      this.#frameIdByRivals.set(rivalFrameId, sent.frameId);
      sent.sentBytes += sentBytes;
    }
    return sent;
  }

  get #asksRival() {
    return this.#rival?.isOpen === true && this.#isRivalReady();
  }

  /** @param {Session} session */
  #forward(session) {
    return [session.slotFreed.subscribe(() => this.slotFreed.emit()), session.changed.subscribe(() => this.changed.emit())];
  }

  /** @param {DecodedResult} first */
  #takeFirst(first) {
    const pair = this.#pairs.get(first.result.frameId);
    if (!pair) return this.answered.emit({ first, second: null });
    pair.first = first;
    this.#answer(first.result.frameId, pair);
  }

  /** @param {DecodedResult} second */
  #takeSecond(second) {
    const frameId = this.#frameIdByRivals.get(second.result.frameId);
    const pair = frameId === undefined ? undefined : this.#pairs.get(frameId);
    if (frameId === undefined || !pair) return;
    pair.second = second;
    this.#answer(frameId, pair);
  }

  /**
   * @param {number} frameId
   * @param {Pair} pair
   */
  #answer(frameId, pair) {
    if (!pair.first || !pair.second) return;
    this.#remove(frameId, pair);
    this.answered.emit({ first: pair.first, second: pair.second });
  }

  /** @param {number} frameId The rival has no answer to it. */
  #answerAlone(frameId) {
    const pair = this.#pairs.get(frameId);
    if (!pair) return;
    this.#remove(frameId, pair);
    if (pair.first) this.answered.emit({ first: pair.first, second: null });
  }

  #answerAllAlone() {
    for (const frameId of [...this.#pairs.keys()]) this.#answerAlone(frameId);
  }

  /** @param {number} frameId */
  #lose(frameId) {
    const pair = this.#pairs.get(frameId);
    if (pair) this.#remove(frameId, pair);
    this.lost.emit(frameId);
  }

  /**
   * @param {number} frameId
   * @param {Pair} pair
   */
  #remove(frameId, pair) {
    this.#pairs.delete(frameId);
    this.#frameIdByRivals.delete(pair.rivalFrameId);
  }
}
