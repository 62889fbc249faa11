/**
 * @import { Clock } from '../core/clock.js'
 * @import { Connection } from '../core/connection.js'
 */

import { Session } from '../core/session.js';

/** The mode that is compared with, in a session of its own. It is open to frames once that mode answers. */
export class Rival {
  #connection;
  #mode;

  /** @param {{ connection: Connection, clock: Clock, mode: string, softEdge: boolean, onChanged: () => void }} parts */
  constructor({ connection, clock, mode, softEdge, onChanged }) {
    this.#connection = connection;
    this.#mode = mode;
    this.session = new Session({ connection, clock });
    this.session.setSoftEdge(softEdge);
    this.session.chooseMode(mode);
    this.session.changed.subscribe(onChanged);
    this.session.open();
  }

  get isAnswering() {
    const { current } = this.session.modes;
    return current?.name === this.#mode && current.state === 'ready';
  }

  get state() {
    const now = this.session.modes.named(this.#mode);
    return {
      mode: this.#mode,
      phase: this.#connection.phase,
      state: this.isAnswering || now?.state !== 'ready' ? (now?.state ?? 'loading') : 'loading',
      message: now?.message ?? '',
    };
  }

  /** @param {string} mode */
  choose(mode) {
    this.#mode = mode;
    this.session.chooseMode(mode);
  }

  /** @param {string} url */
  moveTo(url) {
    this.#connection.moveTo(url);
    this.session.open();
  }

  close() {
    this.session.close();
  }
}
