/**
 * The worker that runs the stream: socket, encoder and decoder, so that a busy page holds none of them up.
 *
 * @import { Order, Tell } from './orders.js'
 *
 * @typedef {object} WorkerScope
 * @property {((event: MessageEvent<Order>) => void) | null} onmessage
 * @property {Tell} postMessage
 */

import { SystemClock } from '../core/clock.js';
import { Streamer } from './streamer.js';

const scope = /** @type {WorkerScope} */ (/** @type {unknown} */ (self));
const streamer = new Streamer({ clock: new SystemClock(), tell: (tale, transfer = []) => scope.postMessage(tale, transfer) });

/** @param {MessageEvent<Order>} event */
scope.onmessage = (event) => streamer.obey(event.data);
