/** Where the marks of an axis stand and what they say. */

/** @import { TimeWindow } from './time_window.js' */

const SECOND = 1_000_000;
/** Steps that people count in. */
const LONG_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400].map((seconds) => seconds * SECOND);

/**
 * The shortest round step of which at most so many fit.
 *
 * @param {number} span Microseconds.
 * @param {number} mostTicks
 */
export function stepFor(span, mostTicks) {
  const least = span / Math.max(1, mostTicks);
  if (least > SECOND / 2) return LONG_STEPS.find((step) => step >= least) ?? Math.ceil(least / LONG_STEPS[16]) * LONG_STEPS[16];
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return [1, 2, 5, 10].map((digit) => digit * power).find((step) => step >= least) ?? 10 * power;
}

/**
 * @param {TimeWindow} window
 * @param {number} mostTicks
 * @returns {{ step: number, ticks: number[] }}
 */
export function ticksOf(window, mostTicks) {
  const step = stepFor(window.span, mostTicks);
  const ticks = [];
  for (let tick = Math.ceil(window.from / step) * step; tick <= window.to; tick += step) ticks.push(tick);
  return { step, ticks };
}

/**
 * The viewer's own time of day, as fine as the step.
 *
 * @param {number} micros Since the epoch.
 * @param {number} step
 */
export function clockLabel(micros, step) {
  const date = new Date(micros / 1000);
  const hours = [date.getHours(), date.getMinutes()].map(twoDigits).join(':');
  if (step >= 60 * SECOND) return hours;
  const seconds = `${hours}:${twoDigits(date.getSeconds())}`;
  if (step >= SECOND) return seconds;
  const fraction = String(Math.floor(((micros % SECOND) + SECOND) % SECOND)).padStart(6, '0');
  return `${seconds}.${fraction.slice(0, step >= 1000 ? 3 : 6)}`;
}

/** @param {number} number */
function twoDigits(number) {
  return String(number).padStart(2, '0');
}
