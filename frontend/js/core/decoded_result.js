/**
 * A result that can be painted, with its times on the client's clock.
 *
 * @import { Mask } from './mask.js'
 * @import { Mode } from './messages.js'
 * @import { Result } from './wire.js'
 *
 * @typedef {object} DecodedResult
 * @property {Result} result
 * @property {Mask} mask
 * @property {Mode} mode
 * @property {number} capturedAt
 * @property {number | undefined} encodeStartedAt Undefined where the frame was given up before it was answered.
 * @property {number} receivedAt
 * @property {number} decodeStartedAt Results wait for those before them.
 * @property {number} decodedAt
 */

/**
 * The message that takes the frame's trace to the screen.
 *
 * @param {DecodedResult} decoded
 * @param {number} paintedAt
 */
export function paintMessage({ result, encodeStartedAt, receivedAt, decodeStartedAt, decodedAt }, paintedAt) {
  return {
    type: 'paint',
    frame_id: result.frameId,
    encode_started_at: encodeStartedAt,
    received_at: receivedAt,
    decode_started_at: decodeStartedAt,
    decoded_at: decodedAt,
    painted_at: paintedAt,
  };
}
