/**
 * A capsule: what a server had recorded at one moment, in one file, with the pictures where they were kept.
 *
 * @import { Trace, TraceList } from '../core/traces.js'
 * @import { ViewState } from './view_state.js'
 *
 * @typedef {object} CapsuleFacts
 * @property {string} capturedAt RFC 3339.
 * @property {number} seconds How far back it goes.
 * @property {number} generation
 * @property {Record<string, unknown> | null} profile As `GET /v1/profile` told it.
 * @property {Record<string, unknown> | null} modes
 */

import { number, object, optionalNumber, optionalString, parseObject } from '../core/fields.js';
import { readUpTo } from '../core/inflate.js';
import { ProtocolError } from '../core/protocol_error.js';
import { TraceError } from '../core/trace_error.js';
import { readTraces } from '../core/traces.js';
import { matches } from './view_state.js';

const MOST_BYTES = 256 * 1024 * 1024;
const MOST_SLOWEST = 50;

/** A file in the server's place. */
export class Capsule {
  isLive = false;

  /** @type {TraceList} */
  #all;
  /** @type {Map<string, string>} */
  #pictures;

  /**
   * @param {string} name Of the file.
   * @param {CapsuleFacts} facts
   * @param {TraceList} all
   * @param {Map<string, string>} pictures JPEG in base64, by trace.
   */
  constructor(name, facts, all, pictures) {
    this.name = name;
    this.facts = facts;
    this.#all = all;
    this.#pictures = pictures;
  }

  /**
   * @param {Pick<File, 'name' | 'stream'>} file
   * @returns {Promise<Capsule>} Fails with a TraceError.
   */
  static async open(file) {
    try {
      const bytes = await readUpTo(file.stream().pipeThrough(new DecompressionStream('gzip')).getReader(), MOST_BYTES, 'the capsule');
      return readCapsule(file.name, new TextDecoder().decode(bytes));
    } catch (cause) {
      const message = cause instanceof ProtocolError ? cause.message : 'it is not compressed with gzip, or it is damaged';
      throw new TraceError('no_capsule', message, { cause });
    }
  }

  /** @param {ViewState} state */
  async load(state) {
    const traces = this.#all.traces.filter((trace) => matches(trace, state, this.#all.nowMicros));
    return { ...this.#all, traces, matched: traces.length };
  }

  /** @param {ViewState} state */
  async summary(state) {
    const matched = await this.load(state);
    return { ...matched, traces: [...matched.traces].sort((a, b) => b.totalMicros - a.totalMicros).slice(0, MOST_SLOWEST) };
  }

  /**
   * @param {string} traceId
   * @returns {Promise<Trace>}
   */
  async trace(traceId) {
    const found = this.#all.traces.find((trace) => trace.traceId === traceId);
    if (!found) throw new TraceError('unknown_trace', `The capsule does not hold trace ${traceId}.`);
    return found;
  }

  /**
   * @param {string} traceId
   * @returns {string | null} An address for an image.
   */
  picture(traceId) {
    const jpeg = this.#pictures.get(traceId);
    return jpeg === undefined ? null : `data:image/jpeg;base64,${jpeg}`;
  }
}

/**
 * @param {string} name
 * @param {string} text
 */
export function readCapsule(name, text) {
  const fields = parseObject(text, 'the capsule');
  if (fields.format !== 'segue-capsule') throw new ProtocolError('it is not a capsule of Segue');
  const version = number(fields, 'version');
  if (version !== 1) throw new ProtocolError(`it is a capsule of version ${version}, and this page reads version 1`);
  const facts = {
    capturedAt: optionalString(fields, 'captured_at'),
    seconds: optionalNumber(fields, 'seconds'),
    generation: optionalNumber(fields, 'generation'),
    profile: fields.profile == null ? null : object(fields.profile, 'profile'),
    modes: fields.modes == null ? null : object(fields.modes, 'modes'),
  };
  const all = readTraces(object(fields.traces, 'traces'));
  all.traces.sort((a, b) => b.startMicros - a.startMicros);
  return new Capsule(name, facts, all, readPictures(fields.frames));
}

/**
 * @param {unknown} value
 * @returns {Map<string, string>}
 */
function readPictures(value) {
  const pictures = new Map();
  if (value == null) return pictures;
  for (const [traceId, jpeg] of Object.entries(object(value, 'frames'))) {
    if (typeof jpeg === 'string' && /^[A-Za-z0-9+/]+={0,2}$/.test(jpeg)) pictures.set(traceId, jpeg);
  }
  return pictures;
}
