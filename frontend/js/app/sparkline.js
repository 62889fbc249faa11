/** @import { LatencyPoint } from '../core/latency_series.js' */

import { part } from './part.js';
import { svgPart } from './svg_part.js';

const POINTS = 120;
const HEIGHT = 100;
/** Tops of the scale, millis: few enough that it seldom moves. */
const TOPS = [50, 100, 200, 300, 500, 800, 1200, 2000, 3000, 5000, 10_000, 20_000, 60_000];
/** Part of the scale that the target may take at most: there is room to be above it. */
const ROOM = 0.9;

/** The latency of the last minute: its median as a line, up to where nineteen of twenty frames are as a band, and the target. */
export class Sparkline {
  element = part('div', 'sparkline');

  #scale = part('span', 'sparkline-scale');
  #aim = part('span', 'sparkline-aim');
  #band = svgPart('path', { class: 'sparkline-band' });
  #line = svgPart('path', { class: 'sparkline-line' });
  #target = svgPart('path', { class: 'sparkline-target' });

  constructor() {
    this.element.setAttribute('role', 'img');
    const drawing = svgPart('svg', { viewBox: `0 0 ${POINTS - 1} ${HEIGHT}`, preserveAspectRatio: 'none' });
    drawing.append(this.#band, this.#target, this.#line);
    const head = part('div', 'sparkline-head');
    head.append(this.#scale, this.#aim);
    this.element.append(head, drawing);
    this.show([], null);
  }

  /**
   * @param {LatencyPoint[]} points Half a second each, the oldest first.
   * @param {number | null} targetMillis
   */
  show(points, targetMillis) {
    const top = topOf(points, targetMillis);
    /** @param {number} millis */
    const y = (millis) => round(HEIGHT * (1 - Math.min(1, millis / top)));
    const runs = runsOf(points);
    set(this.#line, 'd', runs.map((run) => lineOf(run.map(({ x, median }) => [x, y(median)]))).join(''));
    set(this.#band, 'd', runs.map((run) => `${lineOf(edgeOf(run, y))}Z`).join(''));
    set(this.#target, 'd', targetMillis === null ? '' : `M0 ${y(targetMillis)}H${POINTS - 1}`);
    setText(this.#scale, `Last minute, up to ${top} ms`);
    setText(this.#aim, targetMillis === null ? '' : `target ${targetMillis} ms`);
    this.#aim.hidden = targetMillis === null;
    set(this.element, 'aria-label', inWords(points, targetMillis));
  }
}

/**
 * @param {LatencyPoint[]} points
 * @param {number | null} targetMillis
 */
function topOf(points, targetMillis) {
  const highest = points.reduce((highest, { p95Millis }) => Math.max(highest, p95Millis ?? 0), 0);
  const needed = Math.max(highest, (targetMillis ?? 0) / ROOM);
  return TOPS.find((top) => top >= needed) ?? TOPS[TOPS.length - 1];
}

/**
 * Points without a gap between them; the newest stands at the right edge.
 *
 * @param {LatencyPoint[]} points
 */
function runsOf(points) {
  /** @type {{ x: number, median: number, p95: number }[][]} */
  const runs = [];
  let isGap = true;
  points.forEach(({ medianMillis, p95Millis }, position) => {
    if (medianMillis === null || p95Millis === null) {
      isGap = true;
      return;
    }
    if (isGap) runs.push([]);
    isGap = false;
    runs[runs.length - 1].push({ x: POINTS - points.length + position, median: medianMillis, p95: p95Millis });
  });
  return runs;
}

/**
 * The band's edge: above along the slowest, back along the median.
 *
 * @param {{ x: number, median: number, p95: number }[]} run
 * @param {(millis: number) => number} y
 */
function edgeOf(run, y) {
  const above = run.map(({ x, p95 }) => [x, y(p95)]);
  const below = run.map(({ x, median }) => [x, y(median)]);
  return [...above, ...below.reverse()];
}

/** @param {number[][]} corners A single one becomes a dot. */
function lineOf(corners) {
  return `M${corners.map(([x, y]) => `${x} ${y}`).join('L')}${corners.length === 1 ? 'h0.01' : ''}`;
}

/**
 * @param {LatencyPoint[]} points
 * @param {number | null} targetMillis
 */
function inWords(points, targetMillis) {
  const last = points.findLast(({ medianMillis }) => medianMillis !== null);
  if (!last) return 'Latency of the last minute: none measured yet.';
  const highest = Math.max(...points.map(({ p95Millis }) => p95Millis ?? 0));
  const target = targetMillis === null ? '' : ` The target is ${targetMillis} ms.`;
  return `Latency of the last minute: now ${whole(last.medianMillis)} ms, 95 of 100 frames within ${whole(last.p95Millis)} ms, ${whole(highest)} ms at worst.${target}`;
}

/** @param {number | null} millis */
function whole(millis) {
  return (millis ?? 0).toFixed(0);
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {string} value
 */
function set(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/**
 * @param {HTMLElement} element
 * @param {string} text
 */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
