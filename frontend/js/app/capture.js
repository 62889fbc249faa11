/**
 * @import { Clock } from '../core/clock.js'
 * @import { Session } from '../core/session.js'
 * @import { Stage } from './stage.js'
 */

import { FramePump } from '../core/frame_pump.js';
import { Camera } from './camera.js';
import { WorkerEncoder } from './worker_encoder.js';

/** The camera on, shown on the stage, and its frames on their way to the server. */
export class Capture {
  #stage;
  #camera;
  #encoder;

  /**
   * @param {Camera} camera
   * @param {{ session: Session, stage: Stage, video: HTMLVideoElement, clock: Clock }} parts
   */
  constructor(camera, { session, stage, video, clock }) {
    this.#camera = camera;
    this.#stage = stage;
    this.#encoder = new WorkerEncoder(camera.track, video);
    this.pump = new FramePump({ session, encoder: this.#encoder, clock });
  }

  /** @param {{ session: Session, stage: Stage, video: HTMLVideoElement, clock: Clock }} parts */
  static async open(parts) {
    const camera = await Camera.open();
    try {
      await parts.stage.play(camera.stream);
      return new Capture(camera, parts);
    } catch (error) {
      parts.stage.stop();
      camera.close();
      throw error;
    }
  }

  get facesAway() {
    return this.#camera.facesAway;
  }

  /** @param {() => void} listener */
  onLost(listener) {
    this.#camera.onLost(listener);
  }

  close() {
    this.pump.close();
    this.#encoder.close();
    this.#camera.close();
    this.#stage.stop();
  }
}
