/**
 * @import { Clock } from './clock.js'
 *
 * @typedef {object} SocketLike The part of WebSocket that is used, so that a test can stand in for it.
 * @property {string} binaryType
 * @property {((event: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onclose
 * @property {(message: string | Uint8Array<ArrayBuffer>) => void} send
 * @property {() => void} close
 *
 * @typedef {object} ConnectionSettings
 * @property {string} url
 * @property {Clock} clock
 * @property {(url: string, subprotocol: string) => SocketLike} [openSocket]
 * @property {Backoff} [backoff]
 *
 * @typedef {'closed' | 'connecting' | 'open' | 'waiting'} Phase
 */

import { Backoff } from './backoff.js';
import { Signal } from './signal.js';
import { SUBPROTOCOL } from './wire.js';

const CONNECT_TIMEOUT_MILLIS = 10_000;

/** One socket at a time, opened again by itself for as long as it is wanted. */
export class Connection {
  /** @type {Signal<Phase>} */
  phaseChanged = new Signal();
  /** @type {Signal<string | ArrayBuffer>} */
  received = new Signal();

  #url;
  #clock;
  #openSocket;
  #backoff;
  /** @type {Phase} */
  #phase = 'closed';
  /** @type {SocketLike | null} */
  #socket = null;
  #cancelTimer = () => {};
  #retryAtMicros = 0;
  #hasServed = false;

  /** @param {ConnectionSettings} settings */
  constructor({ url, clock, openSocket = (address, protocol) => new WebSocket(address, protocol), backoff = new Backoff() }) {
    this.#url = url;
    this.#clock = clock;
    this.#openSocket = openSocket;
    this.#backoff = backoff;
  }

  get phase() {
    return this.#phase;
  }

  /** Whether the server has ever answered: it is gone rather than out of reach. */
  get hasServed() {
    return this.#hasServed;
  }

  /** Milliseconds until the next attempt, while waiting for it. */
  get retryInMillis() {
    return Math.max(0, (this.#retryAtMicros - this.#clock.micros()) / 1000);
  }

  get url() {
    return this.#url;
  }

  open() {
    if (this.#phase === 'closed') this.#connect();
  }

  /** @param {string} url Another server. */
  moveTo(url) {
    if (url === this.#url) return;
    const wasClosed = this.#phase === 'closed';
    this.close();
    this.#url = url;
    this.#hasServed = false;
    this.#backoff.reset();
    if (!wasClosed) this.#connect();
  }

  /** Ends the wait for the next attempt. */
  retryNow() {
    if (this.#phase === 'waiting') this.#connect();
  }

  /** The server has greeted us: the socket is good. */
  established() {
    this.#cancelTimer();
    this.#backoff.reset();
    this.#hasServed = true;
    this.#enter('open');
  }

  /** @param {string | Uint8Array<ArrayBuffer>} message */
  send(message) {
    this.#socket?.send(message);
  }

  /** Gives the socket up and waits for the next attempt. */
  drop() {
    this.#letGo();
    const delayMillis = this.#backoff.next();
    this.#retryAtMicros = this.#clock.micros() + delayMillis * 1000;
    this.#cancelTimer = this.#clock.after(delayMillis, () => this.#connect());
    this.#enter('waiting');
  }

  close() {
    this.#letGo();
    this.#enter('closed');
  }

  #connect() {
    this.#letGo();
    let socket;
    try {
      socket = this.#openSocket(this.#url, SUBPROTOCOL);
    } catch {
      return this.drop(); // An address that the browser refuses: it may be another one by the next attempt.
    }
    socket.binaryType = 'arraybuffer';
    socket.onmessage = (event) => this.received.emit(event.data);
    socket.onclose = () => this.drop();
    this.#socket = socket;
    this.#cancelTimer = this.#clock.after(CONNECT_TIMEOUT_MILLIS, () => this.drop());
    this.#enter('connecting');
  }

  #letGo() {
    this.#cancelTimer();
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }

  /** @param {Phase} phase */
  #enter(phase) {
    this.#phase = phase;
    this.phaseChanged.emit(phase);
  }
}
