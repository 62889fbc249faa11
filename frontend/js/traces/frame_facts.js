/** @import { Trace } from '../core/traces.js' */

import { part } from '../app/part.js';
import { CopyButton } from './copy_button.js';
import { byteCount, duration } from './words.js';

/** @type {Record<string, string>} */
const KEPT_WORDS = { slow: 'it was slow', failed: 'it failed', dropped: 'it was dropped', asked: 'the client asked', sampled: 'it was sampled' };

/**
 * What is known of a frame besides its times.
 *
 * @param {Trace} trace
 */
export function factsOf(trace) {
  const list = part('dl', 'frame-facts');
  for (const [name, value] of rowsOf(trace)) {
    if (!value) continue;
    const row = part('div', '');
    row.append(part('dt', '', name), part('dd', '', value));
    list.append(row);
  }
  list.append(idOf(trace.traceId));
  return list;
}

/**
 * @param {Trace} trace
 * @returns {[string, string][]}
 */
function rowsOf(trace) {
  return [
    ['Mode', trace.mode],
    ['Model', trace.model],
    ['Backend', trace.backend],
    ['Build', trace.build.slice(0, 12)],
    ['Generation', String(trace.generation)],
    ['Frame', inSize(trace.frameWidthPx, trace.frameHeightPx, trace.frameLenBytes)],
    ['Result', inSize(trace.maskWidthPx, trace.maskHeightPx, trace.resultLenBytes)],
    ['JPEG quality asked for', trace.jpegQuality > 0 ? String(trace.jpegQuality) : ''],
    ['In flight', String(trace.inFlight)],
    ['Waited for the same model', trace.queueDepth === 0 ? 'none' : `${trace.queueDepth} frame${trace.queueDepth === 1 ? '' : 's'}`],
    ['Client’s clock', trace.clockErrorMicros === null ? 'told no times' : `within ±${duration(trace.clockErrorMicros)}`],
    ['Exported because', KEPT_WORDS[trace.kept] ?? trace.kept],
  ];
}

/**
 * @param {number} widthPx
 * @param {number} heightPx
 * @param {number} bytes
 */
function inSize(widthPx, heightPx, bytes) {
  const size = widthPx > 0 ? `${widthPx} × ${heightPx}` : '';
  return [size, bytes > 0 ? byteCount(bytes) : ''].filter(Boolean).join(', ');
}

/** @param {string} traceId */
function idOf(traceId) {
  const row = part('div', '');
  const value = part('dd', '');
  value.append(part('code', '', traceId), ' ', new CopyButton(traceId, 'Copy the trace id').element);
  row.append(part('dt', '', 'Trace'), value);
  return row;
}
