/**
 * @import { EncodedFrame } from '../core/frame_pump.js'
 *
 * @typedef {{ jpeg: ArrayBuffer, widthPx: number, heightPx: number, capturedAt: number, startedAt: number, encodedAt: number }} WorkerReply
 * @typedef {{ readable: ReadableStream<VideoFrame> }} TrackProcessor Chromium's MediaStreamTrackProcessor.
 */

/**
 * Camera frames as JPEG, made in a worker so that a busy page does not hold them up. The worker reads the camera itself
 * where the browser lets it; elsewhere the page hands it a picture of the video when one is asked for.
 */
export class WorkerEncoder {
  #worker;
  #video;
  #feedsWorker;
  /** @type {{ resolve: (frame: EncodedFrame) => void, reject: (error: Error) => void } | null} */
  #waiting = null;
  #videoCallback = 0;

  /**
   * @param {MediaStreamTrack} track
   * @param {HTMLVideoElement} video Plays the same track.
   */
  constructor(track, video) {
    this.#video = video;
    this.#worker = new Worker(new URL('./encoder_worker.js', import.meta.url), { type: 'module' });
    this.#worker.onmessage = (event) => this.#answer(event.data);
    this.#worker.onerror = (event) => this.#fail(event.message || 'the encoder could not start');
    const readable = readTrack(track);
    this.#feedsWorker = readable === null;
    if (readable) this.#worker.postMessage({ readable }, [readable]);
  }

  /**
   * One frame at a time: ask again when it has come.
   *
   * @param {{ maxDimensionPx: number, jpegQuality: number }} settings
   * @returns {Promise<EncodedFrame>}
   */
  next({ maxDimensionPx, jpegQuality }) {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#worker.postMessage({ encode: { maxDimensionPx, quality: jpegQuality / 100 } });
      if (this.#feedsWorker) this.#videoCallback = this.#video.requestVideoFrameCallback((_, frame) => this.#feed(frame));
    });
  }

  close() {
    this.#worker.terminate();
    if (this.#feedsWorker) this.#video.cancelVideoFrameCallback(this.#videoCallback);
    this.#fail('the encoder was closed');
  }

  /** @param {VideoFrameCallbackMetadata} frame */
  async #feed(frame) {
    const capturedAt = Math.round((performance.timeOrigin + (frame.captureTime ?? performance.now())) * 1000);
    try {
      const picture = await createImageBitmap(this.#video);
      this.#worker.postMessage({ picture, capturedAt }, [picture]);
    } catch (cause) {
      this.#fail(`the video could not be read: ${cause}`);
    }
  }

  /** @param {WorkerReply | { failed: string }} reply */
  #answer(reply) {
    if ('failed' in reply) return this.#fail(reply.failed);
    this.#waiting?.resolve({ ...reply, jpeg: new Uint8Array(reply.jpeg) });
    this.#waiting = null;
  }

  /** @param {string} reason */
  #fail(reason) {
    this.#waiting?.reject(new Error(reason));
    this.#waiting = null;
  }
}

/**
 * @param {MediaStreamTrack} track
 * @returns {ReadableStream<VideoFrame> | null} Null where only the page can read the camera.
 */
function readTrack(track) {
  if (!('MediaStreamTrackProcessor' in window)) return null;
  const Processor = /** @type {new (init: { track: MediaStreamTrack }) => TrackProcessor} */ (window.MediaStreamTrackProcessor);
  return new Processor({ track }).readable;
}
