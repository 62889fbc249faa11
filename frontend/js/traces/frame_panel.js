/**
 * @import { Trace } from '../core/traces.js'
 */

import { part } from '../app/part.js';
import { factsOf } from './frame_facts.js';
import { sharesOf, waterfallOf } from './waterfall.js';
import { duration, frameName, outcomeInWords, timeOfDay } from './words.js';

/** One frame: how long it took, why, every stage, and what is known of it. */
export class FramePanel {
  #body;
  #heading;
  /** What is shown: it is not built anew, so that a selection in it stays. @type {Trace | null} */
  #shown = null;
  #shownKey = '';

  /** @param {{ body: HTMLElement, heading: HTMLElement }} parts */
  constructor({ body, heading }) {
    this.#body = body;
    this.#heading = heading;
  }

  get shown() {
    return this.#shown;
  }

  /**
   * @param {Trace} trace
   * @param {string | null} picture An address for an image.
   */
  show(trace, picture) {
    this.#shown = trace;
    const key = `${trace.traceId} ${trace.totalMicros} ${trace.stages.length} ${trace.why?.text} ${picture === null}`;
    if (key === this.#shownKey) return;
    this.#shownKey = key;
    const name = frameName(trace);
    this.#heading.textContent = name[0].toUpperCase() + name.slice(1);
    const parts = [totalOf(trace), part('p', 'frame-why', whyOf(trace))];
    if (picture !== null) parts.push(imageOf(picture, name));
    if (trace.stages.length > 0) parts.push(...sharesOf(trace), waterfallOf(trace));
    this.#body.replaceChildren(...parts, factsOf(trace), linksOf(trace));
  }

  /**
   * No frame, and why.
   *
   * @param {string} text
   */
  showNone(text) {
    this.#shown = null;
    this.#shownKey = '';
    this.#heading.textContent = 'One frame';
    if (this.#body.textContent !== text) this.#body.replaceChildren(part('p', 'frame-empty', text));
  }
}

/** @param {Trace} trace */
function totalOf(trace) {
  const line = part('p', 'frame-total');
  const tag = part('span', 'tag', outcomeInWords(trace));
  tag.dataset.tone = trace.outcome === 'dropped' || trace.isSlow ? 'bad' : 'good';
  const time = part('span', 'muted', `${timeOfDay(trace.startMicros)} · ${wayOf(trace)}`);
  line.append(part('b', '', duration(trace.totalMicros)), tag, time);
  return line;
}

/** @param {Trace} trace */
function wayOf({ isPainted, outcome, clockErrorMicros }) {
  if (outcome === 'dropped') return 'until it was dropped';
  if (isPainted) return 'capture to paint';
  return clockErrorMicros === null ? 'on the server' : 'not painted';
}

/** @param {Trace} trace */
function whyOf({ outcome, message, reason, why }) {
  const sentences = [];
  if (outcome === 'dropped') sentences.push(message || `Dropped: ${reason.replaceAll('_', ' ')}.`);
  if (why?.text && why.text !== message) sentences.push(why.text);
  return sentences.join(' ');
}

/**
 * @param {string} address
 * @param {string} name
 */
function imageOf(address, name) {
  const image = document.createElement('img');
  image.className = 'frame-picture';
  image.src = address;
  image.alt = `The picture of ${name}`;
  return image;
}

/** @param {Trace} trace */
function linksOf({ traceId }) {
  const line = part('div', 'frame-links');
  const link = document.createElement('a');
  link.className = 'quiet';
  link.href = `/traces?trace=${encodeURIComponent(traceId)}`;
  link.textContent = 'Link to this trace';
  line.append(link);
  return line;
}
