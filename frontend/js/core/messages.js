/**
 * The text messages of `segue.v2`: the server's are read and checked here, field by field, and take the page's names.
 *
 * @typedef {'ready' | 'loading' | 'unavailable'} ModeState
 *
 * @typedef {object} Mode
 * @property {number} index
 * @property {string} name
 * @property {ModeState} state
 * @property {string} backend
 * @property {string} model
 * @property {string[]} labels
 * @property {number[][]} palette
 * @property {string} message
 * @property {string} command What would mend it where the server runs; empty when nothing is amiss, or no command would.
 *
 * @typedef {object} Limits
 * @property {number} jpegQuality 1 to 100.
 * @property {number} maxDimensionPx
 * @property {number} maxInFlight
 * @property {number} minFrameIntervalMillis
 * @property {AdaptiveBounds | null} adaptive Null where quality and size are to stay as they are.
 *
 * @typedef {object} AdaptiveBounds How far below the limits a client may go by itself, and what for.
 * @property {number} minJpegQuality
 * @property {number} minDimensionPx
 * @property {number} targetLatencyMillis Capture to paint.
 *
 * @typedef {object} Hello
 * @property {'hello'} type
 * @property {string} session
 * @property {string} version
 * @property {number} generation
 * @property {string} mode
 * @property {Mode[]} modes
 * @property {Limits} limits
 * @property {string} profile Empty where the server does not say.
 *
 * @typedef {{ type: 'limits', generation: number, limits: Limits, profile: string }} LimitsChanged
 * @typedef {{ type: 'mode', mode: string, index: number, state: ModeState, message: string }} ModeChanged
 * @typedef {{ type: 'modes', modes: Mode[] }} ModesChanged
 * @typedef {{ type: 'dropped', frameId: number, reason: string, message: string }} Dropped
 * @typedef {{ type: 'clock', sent: number, received: number, replied: number }} ClockReply
 * @typedef {{ type: 'error', code: string, message: string, recoverable: boolean }} ServerError
 * @typedef {{ type: 'unknown' }} Unknown A type from a newer server: ignored.
 * @typedef {Hello | LimitsChanged | ModeChanged | ModesChanged | Dropped | ClockReply | ServerError | Unknown} ServerMessage
 */

import { list, number, object, optionalString, parseObject, string } from './fields.js';
import { ProtocolError } from './protocol_error.js';

/** @type {readonly string[]} */
const MODE_STATES = ['ready', 'loading', 'unavailable'];

/**
 * @param {string} text
 * @returns {ServerMessage}
 */
export function readMessage(text) {
  const fields = parseObject(text, 'a text message');
  switch (fields.type) {
    case 'hello':
      return {
        type: 'hello',
        session: optionalString(fields, 'session'),
        version: optionalString(fields, 'version'),
        generation: number(fields, 'generation'),
        mode: string(fields, 'mode'),
        modes: readModes(fields.modes),
        limits: readLimits(object(fields.limits, 'limits')),
        profile: optionalString(fields, 'profile'),
      };
    case 'limits':
      return {
        type: 'limits',
        generation: number(fields, 'generation'),
        limits: readLimits(fields),
        profile: optionalString(fields, 'profile'),
      };
    case 'mode':
      return {
        type: 'mode',
        mode: string(fields, 'mode'),
        index: number(fields, 'index'),
        state: readState(fields),
        message: optionalString(fields, 'message'),
      };
    case 'modes':
      return { type: 'modes', modes: readModes(fields.modes) };
    case 'dropped':
      return {
        type: 'dropped',
        frameId: number(fields, 'frame_id'),
        reason: string(fields, 'reason'),
        message: optionalString(fields, 'message'),
      };
    case 'clock':
      return { type: 'clock', sent: number(fields, 'sent'), received: number(fields, 'received'), replied: number(fields, 'replied') };
    case 'error':
      return {
        type: 'error',
        code: string(fields, 'code'),
        message: optionalString(fields, 'message'),
        recoverable: fields.recoverable !== false,
      };
    default:
      return { type: 'unknown' };
  }
}

/**
 * @param {unknown} value
 * @returns {Mode[]}
 */
function readModes(value) {
  if (!Array.isArray(value)) throw new ProtocolError('modes is not a list');
  return value.map((entry) => {
    const fields = object(entry, 'a mode');
    return {
      index: number(fields, 'index'),
      name: string(fields, 'name'),
      state: readState(fields),
      backend: optionalString(fields, 'backend'),
      model: optionalString(fields, 'model'),
      labels: list(fields.labels).map(String),
      palette: list(fields.palette).map((colour) => list(colour).map(Number)),
      message: optionalString(fields, 'message'),
      command: optionalString(fields, 'command'),
    };
  });
}

/**
 * @param {Record<string, unknown>} fields
 * @returns {Limits}
 */
function readLimits(fields) {
  const jpegQuality = within(number(fields, 'jpeg_quality'), 1, 100);
  const maxDimensionPx = within(number(fields, 'max_dimension_px'), 16, 8192);
  return {
    jpegQuality,
    maxDimensionPx,
    maxInFlight: within(number(fields, 'max_in_flight'), 1, 64),
    minFrameIntervalMillis: within(number(fields, 'min_frame_interval_millis'), 0, 60_000),
    adaptive: fields.adaptive == null ? null : readBounds(object(fields.adaptive, 'adaptive'), jpegQuality, maxDimensionPx),
  };
}

/**
 * @param {Record<string, unknown>} fields
 * @param {number} jpegQuality
 * @param {number} maxDimensionPx
 * @returns {AdaptiveBounds}
 */
function readBounds(fields, jpegQuality, maxDimensionPx) {
  return {
    minJpegQuality: within(number(fields, 'min_jpeg_quality'), 1, jpegQuality),
    minDimensionPx: within(number(fields, 'min_dimension_px'), 16, maxDimensionPx),
    targetLatencyMillis: within(number(fields, 'target_latency_millis'), 10, 60_000),
  };
}

/**
 * @param {Record<string, unknown>} fields
 * @returns {ModeState}
 */
function readState(fields) {
  const state = string(fields, 'state');
  if (!MODE_STATES.includes(state)) throw new ProtocolError(`a mode cannot be "${state}"`);
  return /** @type {ModeState} */ (state);
}

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
function within(value, low, high) {
  return Math.max(low, Math.min(high, value));
}
