/**
 * @import { SourceChoice, Source } from './sources/source.js'
 * @import { Stage } from './stage.js'
 * @import { Stream } from './stream.js'
 *
 * @typedef {{ stage: Stage, stream: Stream, video: HTMLVideoElement }} Parts
 */

import { openSource } from './sources/source.js';

/** A source that is on: shown on the stage, and its frames on their way to the server. */
export class Capture {
  #parts;
  #unsubscribe;
  #isClosed = false;

  /**
   * @param {Source} source
   * @param {Parts} parts
   */
  constructor(source, parts) {
    this.source = source;
    this.#parts = parts;
    this.#unsubscribe = parts.stream.frameWanted.subscribe(() => this.#give());
    parts.stage.play(source);
    parts.stream.begin({ readable: source.readable(), leastIntervalMillis: source.leastIntervalMillis });
  }

  /**
   * @param {SourceChoice} choice
   * @param {Parts} parts
   * @returns {Promise<Capture>} Fails with a SourceError.
   */
  static async open(choice, parts) {
    return new Capture(await openSource(choice, parts.video), parts);
  }

  close() {
    this.#isClosed = true;
    this.#unsubscribe();
    this.#parts.stream.end();
    this.#parts.stage.stop();
    this.source.close();
  }

  async #give() {
    try {
      const grabbed = await this.source.grab();
      if (this.#isClosed) grabbed.picture.close();
      else this.#parts.stream.offer(grabbed);
    } catch (cause) {
      if (!this.#isClosed) this.#parts.stream.fail(String(cause));
    }
  }
}
