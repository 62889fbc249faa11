/**
 * The binary messages of `segue.v2`, little-endian: a frame is written, a result is read. Nothing else knows an offset.
 *
 * @typedef {object} FrameHeader
 * @property {number} frameId
 * @property {number} capturedAt Microseconds of the client's clock.
 * @property {number} encodeMicros Capture to encoded.
 * @property {number} sendDelayMicros Encoded to handed to the socket.
 * @property {Uint8Array} traceId 16 bytes.
 * @property {Uint8Array} spanId 8 bytes.
 * @property {boolean} keepTrace Asks the server to keep this frame's trace.
 *
 * @typedef {object} Result
 * @property {number} encoding
 * @property {boolean} isDelta Against the previous result of this session.
 * @property {boolean} isReused From an earlier frame.
 * @property {number} modeIndex
 * @property {number} frameId
 * @property {bigint} capturedAt Echoed, microseconds of the client's clock.
 * @property {number} widthPx
 * @property {number} heightPx
 * @property {number} generation
 * @property {StageMicros} stageMicros
 * @property {bigint} serverSentAt Microseconds since the epoch, the server's clock.
 * @property {Uint8Array<ArrayBuffer>} payload
 *
 * @typedef {Record<'queue' | 'decode' | 'preprocess' | 'infer' | 'postprocess' | 'encode' | 'total', number>} StageMicros
 */

import { ProtocolError } from './protocol_error.js';

export const SUBPROTOCOL = 'segue.v2';
export const FRAME_HEADER_BYTES = 48;
export const RESULT_HEADER_BYTES = 64;

export const ENCODING_MASK = 1;
export const ENCODING_SOFT_MASK = 3;

const KIND_FRAME = 1;
const KIND_RESULT = 2;
const CODEC_JPEG = 1;
const FRAME_KEEP_TRACE = 1;
const RESULT_DELTA = 1;
const RESULT_REUSED = 2;
const U32_MAX = 0xffff_ffff;

/**
 * @param {FrameHeader} header
 * @param {Uint8Array} jpeg
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function writeFrame(header, jpeg) {
  const message = new Uint8Array(FRAME_HEADER_BYTES + jpeg.byteLength);
  const view = new DataView(message.buffer);
  view.setUint8(0, KIND_FRAME);
  view.setUint8(1, CODEC_JPEG);
  view.setUint8(2, header.keepTrace ? FRAME_KEEP_TRACE : 0);
  view.setUint32(4, header.frameId, true);
  view.setBigUint64(8, BigInt(header.capturedAt), true);
  view.setUint32(16, saturate(header.encodeMicros), true);
  view.setUint32(20, saturate(header.sendDelayMicros), true);
  message.set(header.traceId, 24);
  message.set(header.spanId, 40);
  message.set(jpeg, FRAME_HEADER_BYTES);
  return message;
}

/**
 * @param {ArrayBuffer} message
 * @returns {Result}
 */
export function readResult(message) {
  if (message.byteLength < RESULT_HEADER_BYTES) {
    throw new ProtocolError(`a result of ${message.byteLength} bytes is shorter than its ${RESULT_HEADER_BYTES}-byte header`);
  }
  const view = new DataView(message);
  if (view.getUint8(0) !== KIND_RESULT) throw new ProtocolError(`a binary message of unknown kind ${view.getUint8(0)}`);
  const flags = view.getUint8(2);
  /** @param {number} position */
  const stage = (position) => view.getUint32(24 + 4 * position, true);
  return {
    encoding: view.getUint8(1),
    isDelta: (flags & RESULT_DELTA) !== 0,
    isReused: (flags & RESULT_REUSED) !== 0,
    modeIndex: view.getUint8(3),
    frameId: view.getUint32(4, true),
    capturedAt: view.getBigUint64(8, true),
    widthPx: view.getUint16(16, true),
    heightPx: view.getUint16(18, true),
    generation: view.getUint32(20, true),
    stageMicros: {
      queue: stage(0),
      decode: stage(1),
      preprocess: stage(2),
      infer: stage(3),
      postprocess: stage(4),
      encode: stage(5),
      total: stage(6),
    },
    serverSentAt: view.getBigUint64(56, true),
    payload: new Uint8Array(message, RESULT_HEADER_BYTES),
  };
}

/**
 * A duration as the u32 the header has for it.
 *
 * @param {number} micros
 */
function saturate(micros) {
  return Math.max(0, Math.min(U32_MAX, Math.round(micros)));
}
