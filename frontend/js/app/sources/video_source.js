/**
 * @import { Grabbed } from './source.js'
 *
 * @typedef {{ readable: ReadableStream<VideoFrame> }} TrackProcessor Chromium's MediaStreamTrackProcessor.
 */

import { SourceError } from './source_error.js';
import { nextVersion } from './version.js';

/** A screen on which nothing moves, or a camera that hangs, shows no new frame: then the last one is given again. */
const PATIENCE_MILLIS = 500;
/** A frame that was shown so lately is as good as the next one, for which one would wait. */
const FRESH_MILLIS = 12;

/** A camera, a screen or a clip, playing in the page's video element. */
export class VideoSource {
  leastIntervalMillis = 0;

  #video;
  #stream;
  #url;
  #version = nextVersion();
  /** The newest frame, until it is given away. @type {{ shownAt: number, capturedAt: number } | null} */
  #newest = null;
  #callback = 0;
  /** @type {{ resolve: (grabbed: Grabbed) => void, reject: (error: Error) => void } | null} */
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
      if (what.url && video.videoWidth === 0) throw new Error('there is no picture in it');
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

  /** @returns {Promise<Grabbed>} */
  grab() {
    return new Promise((resolve, reject) => {
      this.#wanted = { resolve, reject };
      this.#wait();
      if (this.#newest && performance.now() - this.#newest.shownAt < FRESH_MILLIS) this.#give(this.#newest.capturedAt);
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

  #wait() {
    this.#patience = setTimeout(() => {
      // Between the end of a clip and its beginning there is nothing to give.
      if (this.#video.readyState < 2) this.#wait();
      else void this.#give(performance.now());
    }, PATIENCE_MILLIS);
  }

  /** Counts the frames that the video shows, and gives one away where it is wanted. */
  #follow() {
    this.#callback = this.#video.requestVideoFrameCallback((_, { captureTime }) => {
      const shownAt = performance.now();
      this.#version = nextVersion();
      this.#newest = { shownAt, capturedAt: captureTime ?? shownAt };
      this.#give(this.#newest.capturedAt);
      this.#follow();
    });
  }

  /** @param {number} capturedAt */
  async #give(capturedAt) {
    const wanted = this.#wanted;
    if (!wanted) return;
    this.#wanted = null;
    this.#newest = null;
    clearTimeout(this.#patience);
    const takenAt = microsAt(performance.now());
    try {
      wanted.resolve({ picture: await createImageBitmap(this.#video), capturedAt: microsAt(capturedAt), takenAt });
    } catch (cause) {
      wanted.reject(new Error(`the video could not be read: ${cause}`));
    }
  }
}

/** @param {number} millis Of `performance.now()`. */
function microsAt(millis) {
  return Math.round((performance.timeOrigin + millis) * 1000);
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
