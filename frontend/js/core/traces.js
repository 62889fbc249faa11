/**
 * What the flight recorder tells of frames, read and checked field by field. Times are microseconds of the server's clock.
 *
 * @typedef {object} Stage
 * @property {string} name Such as `plugin.infer`: the side it ran on and what was done.
 * @property {number} startMicros Since the trace's start.
 * @property {number} durationMicros
 *
 * @typedef {object} Why Where a frame spent more than such frames usually do.
 * @property {string} stage
 * @property {number} extraMicros
 * @property {string} text
 *
 * @typedef {object} Trace One frame, from its first stage to its last.
 * @property {string} traceId
 * @property {number} session 0: a picture posted over HTTP.
 * @property {number} frameId
 * @property {number} generation
 * @property {string} mode
 * @property {string} model
 * @property {string} backend
 * @property {string} build Empty where it is not known.
 * @property {string} outcome `answered` or `dropped`.
 * @property {string} reason Of a drop, else empty.
 * @property {string} message A sentence about a drop.
 * @property {boolean} isPainted The browser told of its paint.
 * @property {number} startMicros Since the epoch.
 * @property {number} totalMicros
 * @property {number | null} clockErrorMicros How far the client's clock may be off; null where it told no times.
 * @property {string} kept Why it was exported; empty where it was not.
 * @property {boolean} isSlow
 * @property {Stage[]} stages In order.
 * @property {Why | null} why
 * @property {number} frameLenBytes
 * @property {number} resultLenBytes
 * @property {number} frameWidthPx
 * @property {number} frameHeightPx
 * @property {number} maskWidthPx
 * @property {number} maskHeightPx
 * @property {number} jpegQuality
 * @property {number} inFlight
 * @property {number} queueDepth
 *
 * @typedef {object} Mark Something that happened to the server.
 * @property {number} atMicros Since the epoch.
 * @property {string} kind `reload`, `swap` or `crash`.
 * @property {string} outcome
 * @property {number} generation
 * @property {string[]} modes
 * @property {string} text
 *
 * @typedef {{ stage: string, frames: number, extraMicros: number, text: string }} Cause
 *
 * @typedef {object} Diagnosis Of all frames that matched.
 * @property {number} frames
 * @property {number} slow
 * @property {number} typicalMicros
 * @property {boolean} isFine
 * @property {string} text
 * @property {Cause[]} causes
 *
 * @typedef {object} TraceList
 * @property {number} nowMicros
 * @property {number} generation In force now.
 * @property {number} slowMillis From here on a frame is slow.
 * @property {{ session: number, frames: number, isOpen: boolean }[]} sessions
 * @property {number} matched
 * @property {Trace[]} traces At most as many as were asked for.
 * @property {Mark[]} marks The newest first.
 * @property {Diagnosis} diagnosis
 */

import { list, number, object, optionalNumber, optionalString, string } from './fields.js';

/**
 * @param {Record<string, unknown>} fields
 * @returns {TraceList}
 */
export function readTraces(fields) {
  return {
    nowMicros: number(fields, 'now_micros'),
    generation: number(fields, 'generation'),
    slowMillis: optionalNumber(fields, 'slow_millis'),
    sessions: list(fields.sessions).map((value) => {
      const session = object(value, 'a session');
      return { session: number(session, 'session'), frames: optionalNumber(session, 'frames'), isOpen: session.is_open === true };
    }),
    matched: number(fields, 'matched'),
    traces: list(fields.traces).map(readTrace),
    marks: list(fields.marks).map(readMark),
    diagnosis: readDiagnosis(fields.diagnosis),
  };
}

/**
 * @param {unknown} value
 * @returns {Trace}
 */
export function readTrace(value) {
  const fields = object(value, 'a trace');
  return {
    traceId: string(fields, 'trace_id'),
    session: number(fields, 'session'),
    frameId: number(fields, 'frame_id'),
    generation: number(fields, 'generation'),
    mode: optionalString(fields, 'mode'),
    model: optionalString(fields, 'model'),
    backend: optionalString(fields, 'backend'),
    build: optionalString(fields, 'build'),
    outcome: string(fields, 'outcome'),
    reason: optionalString(fields, 'reason'),
    message: optionalString(fields, 'message'),
    isPainted: fields.is_painted === true,
    startMicros: number(fields, 'start_micros'),
    totalMicros: number(fields, 'total_micros'),
    clockErrorMicros: fields.clock_error_micros == null ? null : number(fields, 'clock_error_micros'),
    kept: optionalString(fields, 'kept'),
    isSlow: fields.is_slow === true,
    stages: list(fields.stages).map(readStage),
    why: fields.why == null ? null : readWhy(fields.why),
    frameLenBytes: optionalNumber(fields, 'frame_len_bytes'),
    resultLenBytes: optionalNumber(fields, 'result_len_bytes'),
    frameWidthPx: optionalNumber(fields, 'frame_width_px'),
    frameHeightPx: optionalNumber(fields, 'frame_height_px'),
    maskWidthPx: optionalNumber(fields, 'mask_width_px'),
    maskHeightPx: optionalNumber(fields, 'mask_height_px'),
    jpegQuality: optionalNumber(fields, 'jpeg_quality'),
    inFlight: optionalNumber(fields, 'in_flight'),
    queueDepth: optionalNumber(fields, 'queue_depth'),
  };
}

/**
 * @param {unknown} value
 * @returns {Stage}
 */
function readStage(value) {
  const fields = object(value, 'a stage');
  return { name: string(fields, 'stage'), startMicros: number(fields, 'start_micros'), durationMicros: number(fields, 'duration_micros') };
}

/**
 * @param {unknown} value
 * @returns {Why}
 */
function readWhy(value) {
  const fields = object(value, 'why');
  return { stage: optionalString(fields, 'stage'), extraMicros: optionalNumber(fields, 'extra_micros'), text: string(fields, 'text') };
}

/**
 * @param {unknown} value
 * @returns {Mark}
 */
function readMark(value) {
  const fields = object(value, 'a mark');
  return {
    atMicros: number(fields, 'at_micros'),
    kind: string(fields, 'kind'),
    outcome: optionalString(fields, 'outcome'),
    generation: optionalNumber(fields, 'generation'),
    modes: list(fields.modes).map(String),
    text: optionalString(fields, 'text'),
  };
}

/**
 * @param {unknown} value
 * @returns {Diagnosis}
 */
function readDiagnosis(value) {
  const fields = object(value, 'the diagnosis');
  return {
    frames: number(fields, 'frames'),
    slow: optionalNumber(fields, 'slow'),
    typicalMicros: optionalNumber(fields, 'typical_micros'),
    isFine: fields.is_fine === true,
    text: string(fields, 'text'),
    causes: list(fields.causes).map((cause) => {
      const one = object(cause, 'a cause');
      return { ...readWhy(one), frames: optionalNumber(one, 'frames') };
    }),
  };
}
