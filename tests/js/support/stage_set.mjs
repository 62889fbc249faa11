import { Backoff } from '../../../frontend/js/core/backoff.js';
import { Connection } from '../../../frontend/js/core/connection.js';
import { Session } from '../../../frontend/js/core/session.js';
import { FakeClock } from './fake_clock.mjs';
import { FakeServer } from './fake_server.mjs';

/** A session with a clock and a server that the test holds in its hand. */
export function stageSet({ random = () => 0.5 } = {}) {
  const clock = new FakeClock();
  const server = new FakeServer();
  const connection = new Connection({ url: 'ws://segue.test/ws', clock, openSocket: server.openSocket, backoff: new Backoff(random) });
  const session = new Session({ connection, clock });
  session.open();
  return { clock, server, connection, session };
}

/** A frame as the encoder would give it. */
export function encodedFrame(clock) {
  const now = clock.micros();
  return { jpeg: new Uint8Array([0xff, 0xd8, 0xff, 0xd9]), widthPx: 4, heightPx: 2, capturedAt: now, startedAt: now, encodedAt: now };
}

/** The next value of a signal. */
export function next(signal) {
  return new Promise((resolve) => {
    const unsubscribe = signal.subscribe((value) => {
      unsubscribe();
      resolve(value);
    });
  });
}

/** Everything a signal says from now on. */
export function collect(signal) {
  const values = [];
  signal.subscribe((value) => values.push(value));
  return values;
}
