/** Numbers, times and names as the page writes them. */

/** @import { Trace } from '../core/traces.js' */

import { clockLabel } from './ticks.js';

/**
 * Three digits are enough to compare by.
 *
 * @param {number} micros
 */
export function duration(micros) {
  const millis = Math.abs(micros) / 1000;
  const sign = micros < 0 ? '−' : '';
  if (millis >= 60_000) return `${sign}${(millis / 60_000).toFixed(1)} min`;
  if (millis >= 1000) return `${sign}${(millis / 1000).toFixed(2)} s`;
  if (millis >= 100) return `${sign}${millis.toFixed(0)} ms`;
  if (millis >= 10) return `${sign}${millis.toFixed(1)} ms`;
  if (millis >= 0.1) return `${sign}${millis.toFixed(2)} ms`;
  return `${sign}${Math.abs(micros).toFixed(0)} µs`;
}

/** @param {number} micros */
export function difference(micros) {
  if (Math.abs(micros) < 1) return '±0';
  return micros > 0 ? `+${duration(micros)}` : duration(micros);
}

/** @param {number} share 0 to 1. */
export function percent(share) {
  if (share > 0 && share < 0.005) return '< 1 %';
  return `${(share * 100).toFixed(0)} %`;
}

/** @param {number} bytes */
export function byteCount(bytes) {
  if (bytes >= 1_000_000) return `${(bytes / 1_000_000).toFixed(2)} MB`;
  return bytes >= 1000 ? `${(bytes / 1000).toFixed(1)} kB` : `${bytes} B`;
}

/** @param {number} number */
export function count(number) {
  return number.toLocaleString('en');
}

/**
 * @param {number} number
 * @param {string} noun
 */
export function counted(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? '' : 's'}`;
}

/** @param {number} micros */
export function timeOfDay(micros) {
  return clockLabel(micros, 1000);
}

/** @param {number} session */
export function sessionName(session) {
  return session === 0 ? 'Posted pictures' : `Session ${session}`;
}

/** @param {Trace} trace */
export function frameName({ session, frameId }) {
  return session === 0 ? `posted picture ${frameId}` : `frame ${frameId} of session ${session}`;
}

/** @param {Trace} trace */
export function outcomeInWords({ outcome, reason, isSlow }) {
  if (outcome === 'dropped') return reason ? `dropped: ${reason.replaceAll('_', ' ')}` : 'dropped';
  return isSlow ? 'slow' : 'in time';
}

/**
 * The trace in a line, for whoever does not see the chart.
 *
 * @param {Trace} trace
 */
export function traceInWords(trace) {
  const { totalMicros, why, message, outcome } = trace;
  const cause = outcome === 'dropped' && message ? message : why?.text ?? '';
  const name = frameName(trace);
  return `${name[0].toUpperCase()}${name.slice(1)}, ${timeOfDay(trace.startMicros)}: ${duration(totalMicros)}, ${outcomeInWords(trace)}. ${cause}`.trim();
}

/**
 * The first sentence of several, and the others.
 *
 * @param {string} text
 * @returns {[string, string]}
 */
export function splitVerdict(text) {
  const end = /[.!?]\s+(?=[A-Z0-9])/.exec(text);
  return end ? [text.slice(0, end.index + 1), text.slice(end.index + end[0].length)] : [text, ''];
}
