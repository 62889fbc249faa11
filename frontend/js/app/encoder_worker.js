/**
 * The worker behind WorkerEncoder: reads the camera, or is handed pictures, and answers each request with one JPEG.
 *
 * @import { EncodeSettings } from './newest_frame_encoder.js'
 *
 * @typedef {{ readable: ReadableStream<VideoFrame> }} ReadTrack
 * @typedef {{ picture: ImageBitmap, capturedAt: number }} OfferPicture
 * @typedef {{ encode: EncodeSettings }} AskFrame
 *
 * @typedef {object} WorkerScope
 * @property {((event: MessageEvent<ReadTrack | OfferPicture | AskFrame>) => void) | null} onmessage
 * @property {(message: object, transfer?: Transferable[]) => void} postMessage
 */

import { NewestFrameEncoder, nowMicros } from './newest_frame_encoder.js';

const scope = /** @type {WorkerScope} */ (/** @type {unknown} */ (self));

const encoder = new NewestFrameEncoder((encoded) => {
  encoded.then(
    (reply) => scope.postMessage(reply, [reply.jpeg]),
    (error) => scope.postMessage({ failed: String(error) }),
  );
});

/** @param {MessageEvent<ReadTrack | OfferPicture | AskFrame>} event */
scope.onmessage = ({ data }) => {
  if ('encode' in data) encoder.ask(data.encode);
  else if ('picture' in data) encoder.offer(data.picture, data.capturedAt);
  else readTrack(data.readable).catch((error) => scope.postMessage({ failed: String(error) }));
};

/** @param {ReadableStream<VideoFrame>} readable */
async function readTrack(readable) {
  const reader = readable.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) encoder.offer(part.value, nowMicros());
}
