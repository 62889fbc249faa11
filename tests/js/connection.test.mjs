import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Backoff } from '../../frontend/js/core/backoff.js';
import { stageSet } from './support/stage_set.mjs';

describe('back-off', () => {
  test('doubles up to a ceiling, and half of it is chance', () => {
    const delays = (random) => {
      const backoff = new Backoff(() => random);
      return Array.from({ length: 7 }, () => backoff.next());
    };
    assert.deepEqual(delays(0), [250, 500, 1000, 2000, 4000, 7500, 7500]);
    assert.deepEqual(delays(0.999999), [500, 1000, 2000, 4000, 8000, 15000, 15000]);
  });

  test('begins anew after a good connection', () => {
    const backoff = new Backoff(() => 0);
    backoff.next();
    backoff.next();
    backoff.reset();
    assert.equal(backoff.next(), 250);
  });
});

describe('connection', () => {
  test('asks for segue.v2, and opening twice opens one socket', () => {
    const { server, session } = stageSet();
    session.open();
    assert.equal(server.sockets.length, 1);
    assert.equal(server.socket.subprotocol, 'segue.v2');
    assert.equal(server.socket.binaryType, 'arraybuffer');
  });

  test('a server that never answers is out of reach, one that did is gone', () => {
    const { clock, server, connection } = stageSet();
    server.hangUp();
    assert.equal(connection.phase, 'waiting');
    assert.equal(connection.hasServed, false);
    clock.advance(500);
    server.greet();
    server.hangUp();
    assert.equal(connection.hasServed, true);
  });

  test('a server that takes the socket and says nothing is given up after ten seconds', () => {
    const { clock, server, connection } = stageSet();
    clock.advance(9_999);
    assert.equal(connection.phase, 'connecting');
    clock.advance(1);
    assert.equal(connection.phase, 'waiting');
    assert.equal(server.sockets[0].isOpen, false);
  });

  test('tries again by itself, later each time, and says in how long', () => {
    const { clock, server, connection } = stageSet({ random: () => 0 });
    server.hangUp();
    assert.equal(connection.retryInMillis, 250);
    clock.advance(100);
    assert.equal(connection.retryInMillis, 150);
    clock.advance(150);
    assert.equal(server.sockets.length, 2);
    server.hangUp();
    assert.equal(connection.retryInMillis, 500);
  });

  test('only a greeting counts as success for the back-off', () => {
    const { clock, server, connection } = stageSet({ random: () => 0 });
    server.hangUp();
    clock.advance(250);
    server.hangUp();
    clock.advance(500);
    server.greet();
    server.hangUp();
    assert.equal(connection.retryInMillis, 250);
  });

  test('retrying now opens one socket, and the timer opens no other', () => {
    const { clock, server, connection } = stageSet();
    server.hangUp();
    connection.retryNow();
    connection.retryNow();
    clock.advance(5_000);
    assert.equal(server.sockets.length, 2);
  });

  test('a silent server is dropped, one that answers the clock is not', () => {
    const { clock, server, connection } = stageSet();
    server.greet();
    for (let second = 0; second < 30; second += 1) {
      clock.advance(1000);
      server.say({ type: 'clock', sent: 0, received: 0, replied: 0 });
    }
    assert.equal(connection.phase, 'open');
    clock.advance(20_000);
    assert.notEqual(connection.phase, 'open');
  });

  test('closing ends it: no socket, no timer', () => {
    const { clock, server, session } = stageSet();
    server.greet();
    session.close();
    clock.advance(60_000);
    assert.equal(server.sockets.length, 1);
    assert.equal(server.socket.isOpen, false);
  });
});
