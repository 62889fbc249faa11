/** @typedef {{ readable: ReadableStream<VideoFrame> }} TrackProcessor Chromium's MediaStreamTrackProcessor. */

import { SourceError } from './source_error.js';

/** A screen on which nothing moves, or a camera that hangs, shows no new frame: then the last one is given again. */
const PATIENCE_MILLIS = 500;

/** A camera, a screen or a clip, playing in the page's video element. */
export class VideoSource {
  leastIntervalMillis = 0;

  #video;
  #stream;
  #url;
  #version = 0;
  #callback = 0;
  /** @type {{ resolve: (frame: { picture: ImageBitmap, capturedAt: number }) => void, reject: (error: Error) => void } | null} */
  #wanted = null;
  #patience = 0;
  #isStill;

  /**
   * @param {HTMLVideoElement} video
   * @param {{ stream?: MediaStream, url?: string, isSelfView: boolean, deviceId?: string, isStill?: boolean }} what
   */
  constructor(video, { stream, url, isSelfView, deviceId = '', isStill = false }) {
    this.#video = video;
    this.#stream = stream;
    this.#url = url;
    this.isSelfView = isSelfView;
    this.deviceId = deviceId;
    this.#isStill = isStill;
    this.#follow();
  }

  /**
   * @param {HTMLVideoElement} video
   * @param {{ stream?: MediaStream, url?: string, isSelfView: boolean, deviceId?: string, isStill?: boolean }} what
   * @returns {Promise<VideoSource>} Fails with a SourceError.
   */
  static async play(video, what) {
    const source = new VideoSource(video, what);
    try {
      video.loop = true;
      if (what.stream) video.srcObject = what.stream;
      else video.src = what.url ?? '';
      await video.play();
      return source;
    } catch (cause) {
      source.close();
      throw new SourceError(what.url ? 'unreadable' : 'failed', { cause });
    }
  }

  /** Made when it is to be handed to a worker at once: frames that it had taken by then would be lost. */
  readable() {
    return this.#stream && !this.#isStill ? readTrack(this.#stream.getVideoTracks()[0]) : null;
  }

  picture() {
    const { videoWidth: widthPx, videoHeight: heightPx } = this.#video;
    return widthPx > 0 && this.#video.readyState >= 2 ? { source: this.#video, widthPx, heightPx, version: this.#version } : null;
  }

  /** @returns {Promise<{ picture: ImageBitmap, capturedAt: number }>} */
  grab() {
    return new Promise((resolve, reject) => {
      this.#wanted = { resolve, reject };
      this.#patience = setTimeout(() => this.#give(undefined), PATIENCE_MILLIS);
    });
  }

  /** @param {() => void} listener */
  onLost(listener) {
    this.#stream?.getVideoTracks()[0].addEventListener('ended', listener);
  }

  close() {
    this.#video.cancelVideoFrameCallback(this.#callback);
    clearTimeout(this.#patience);
    this.#video.srcObject = null;
    this.#video.removeAttribute('src');
    this.#video.load();
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#wanted?.reject(new Error('the source was closed'));
    this.#wanted = null;
  }

  /** Counts the frames that the video shows, and gives one away where it is wanted. */
  #follow() {
    this.#callback = this.#video.requestVideoFrameCallback((_, frame) => {
      this.#version += 1;
      this.#give(frame);
      this.#follow();
    });
  }

  /** @param {VideoFrameCallbackMetadata | undefined} frame */
  async #give(frame) {
    const wanted = this.#wanted;
    if (!wanted) return;
    this.#wanted = null;
    clearTimeout(this.#patience);
    const capturedAt = Math.round((performance.timeOrigin + (frame?.captureTime ?? performance.now())) * 1000);
    try {
      wanted.resolve({ picture: await createImageBitmap(this.#video), capturedAt });
    } catch (cause) {
      wanted.reject(new Error(`the video could not be read: ${cause}`));
    }
  }
}

/**
 * @param {MediaStreamTrack} track
 * @returns {ReadableStream<VideoFrame> | null} Null where only the page can read it.
 */
function readTrack(track) {
  if (!('MediaStreamTrackProcessor' in window)) return null;
  const Processor = /** @type {new (init: { track: MediaStreamTrack }) => TrackProcessor} */ (window.MediaStreamTrackProcessor);
  return new Processor({ track }).readable;
}
