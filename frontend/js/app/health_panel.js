/**
 * @import { Snapshot } from '../core/frame_stats.js'
 * @import { Limits } from '../core/messages.js'
 * @import { Pulse } from '../stream/orders.js'
 */

import { find } from './find.js';
import { Sparkline } from './sparkline.js';
import { StageBar } from './stage_bar.js';

const NOTHING_TO_SAY = 'The numbers come with the first masks.';

/** The live numbers, where the time goes, and one sentence about it. */
export class HealthPanel {
  #diagnosis = find('diagnosis');
  #sparkline = new Sparkline();
  #stageBar = new StageBar();

  constructor() {
    find('sparkline').append(this.#sparkline.element);
    find('stages').append(this.#stageBar.element);
  }

  /**
   * @param {Pulse} pulse
   * @param {Limits | null} limits
   */
  show({ snapshot, inFlight, diagnosis, stages }, limits) {
    this.#numbers(snapshot);
    set(find('number-in-flight'), `${inFlight} / ${limits?.maxInFlight ?? 0}`);
    set(this.#diagnosis, diagnosis.text || NOTHING_TO_SAY);
    this.#diagnosis.dataset.kind = diagnosis.text === '' ? 'none' : diagnosis.kind;
    this.#sparkline.show(snapshot.latencies, limits?.adaptive?.targetLatencyMillis ?? null);
    this.#stageBar.show(stages);
  }

  /** @param {Snapshot} snapshot */
  #numbers(snapshot) {
    set(find('number-fps'), snapshot.fps.toFixed(1));
    set(find('number-median'), wholeMillis(snapshot.medianMillis));
    set(find('number-p95'), wholeMillis(snapshot.p95Millis));
    set(find('number-up'), snapshot.upKBps.toFixed(0));
    set(find('number-down'), snapshot.downKBps.toFixed(0));
    const drops = Object.entries(snapshot.dropped);
    set(find('number-dropped'), String(drops.reduce((sum, [, count]) => sum + count, 0)));
    set(find('drop-reasons'), drops.map(([reason, count]) => inWords(reason, drops.length > 1 ? count : null)).join(', '));
  }
}

/**
 * @param {HTMLElement} element
 * @param {string} text
 */
function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
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
