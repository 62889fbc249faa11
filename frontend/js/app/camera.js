/** @typedef {'insecure' | 'missing' | 'denied' | 'busy' | 'lost' | 'failed'} CameraProblem */

import { CameraError } from './camera_error.js';

/** @type {Record<string, CameraProblem>} */
const PROBLEM_BY_ERROR = {
  NotFoundError: 'missing',
  OverconstrainedError: 'missing',
  NotAllowedError: 'denied',
  SecurityError: 'denied',
  NotReadableError: 'busy',
  AbortError: 'busy',
};

/** The camera, once it is on. */
export class Camera {
  #track;

  /** @param {MediaStream} stream */
  constructor(stream) {
    this.stream = stream;
    this.#track = stream.getVideoTracks()[0];
  }

  /**
   * Turns the camera on.
   *
   * @returns {Promise<Camera>} Fails with a CameraError.
   */
  static async open() {
    if (!navigator.mediaDevices?.getUserMedia) throw new CameraError('insecure');
    try {
      const stream = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: { facingMode: 'user', width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } },
      });
      return new Camera(stream);
    } catch (cause) {
      const name = cause instanceof Error || cause instanceof DOMException ? cause.name : '';
      throw new CameraError(PROBLEM_BY_ERROR[name] ?? 'failed', { cause });
    }
  }

  get track() {
    return this.#track;
  }

  /** Whether it looks away from the user, as a phone's rear camera does. */
  get facesAway() {
    return this.#track.getSettings().facingMode === 'environment';
  }

  /** @param {() => void} listener Told when the camera is unplugged or taken away. */
  onLost(listener) {
    this.#track.addEventListener('ended', listener);
  }

  close() {
    for (const track of this.stream.getTracks()) track.stop();
  }
}
