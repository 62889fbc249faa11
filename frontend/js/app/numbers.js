/** @import { Snapshot } from '../core/frame_stats.js' */

/** The strip of live numbers. */
export class Numbers {
  #element;

  /** @param {(id: string) => HTMLElement} element */
  constructor(element) {
    this.#element = element;
  }

  /**
   * @param {Snapshot} snapshot
   * @param {{ inFlight: number, maxInFlight: number }} slots
   */
  show(snapshot, { inFlight, maxInFlight }) {
    this.#set('number-fps', snapshot.fps.toFixed(1));
    this.#set('number-median', wholeMillis(snapshot.medianMillis));
    this.#set('number-p95', wholeMillis(snapshot.p95Millis));
    this.#set('number-in-flight', `${inFlight} / ${maxInFlight}`);
    this.#set('number-up', snapshot.upKBps.toFixed(0));
    this.#set('number-down', snapshot.downKBps.toFixed(0));
    const drops = Object.entries(snapshot.dropped);
    this.#set('number-dropped', String(drops.reduce((sum, [, count]) => sum + count, 0)));
    this.#set('drop-reasons', drops.map(([reason, count]) => inWords(reason, drops.length > 1 ? count : null)).join(', '));
  }

  /**
   * @param {string} id
   * @param {string} text
   */
  #set(id, text) {
    const element = this.#element(id);
    if (element.textContent !== text) element.textContent = text;
  }
}

/**
 * @param {string} reason
 * @param {number | null} count Null where the total says it already.
 */
function inWords(reason, count) {
  const words = reason.replaceAll('_', ' ');
  return count === null ? words : `${count} ${words}`;
}

/** @param {number | null} millis */
function wholeMillis(millis) {
  return millis === null ? '–' : millis.toFixed(0);
}
