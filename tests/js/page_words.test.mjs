import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describe as inWords } from '../../frontend/js/app/status_words.js';
import { ClassScheme } from '../../frontend/js/core/class_scheme.js';
import { FrameStats } from '../../frontend/js/core/frame_stats.js';
import { FakeClock } from './support/fake_clock.mjs';
import { MODES } from './support/fake_server.mjs';

const live = {
  source: 'camera',
  isWanted: true,
  isSourceOn: true,
  problem: null,
  phase: 'open',
  hasServed: true,
  isHidden: false,
  hasMask: true,
  mode: MODES[0],
  pendingMode: undefined,
  failure: null,
};

describe('every state has words', () => {
  const states = [
    ['all is well', {}, 'Live'],
    ['before the start', { isWanted: false, isSourceOn: false }, 'Ready'],
    ['the browser asks', { isSourceOn: false }, 'Starting the camera'],
    ['connecting', { phase: 'connecting' }, 'Connecting'],
    ['out of reach', { phase: 'waiting', hasServed: false }, 'The server cannot be reached'],
    ['gone', { phase: 'waiting' }, 'The server is gone'],
    ['hidden', { isHidden: true }, 'Paused'],
    ['a mode loads', { pendingMode: MODES[1] }, 'Loading balanced'],
    ['the mode is unavailable', { mode: { ...MODES[0], state: 'unavailable', message: 'gone' } }, 'fast is unavailable'],
    ['the backend fails', { failure: 'out of memory' }, 'The model is failing'],
    ['no camera', { problem: 'missing' }, 'No camera found'],
    ['denied', { problem: 'denied' }, 'The camera is not allowed'],
    ['plain http', { problem: 'insecure' }, 'This address may not use the camera'],
    ['in use', { problem: 'busy' }, 'The camera is in use'],
    ['unplugged', { problem: 'lost' }, 'The camera is gone'],
  ];
  for (const [name, change, title] of states) {
    test(name, () => {
      const words = inWords({ ...live, ...change });
      assert.equal(words.title, title);
      assert.ok(words.text || words.tone === 'good', 'what to do about it');
    });
  }
});

describe('numbers', () => {
  test('are of the last three seconds', () => {
    const clock = new FakeClock();
    const stats = new FrameStats(clock);
    for (let frame = 0; frame < 60; frame += 1) {
      clock.advance(100);
      stats.sent(2000);
      stats.received(1000);
      stats.paintedFrame(clock.micros() - (frame + 1) * 1000, clock.micros());
    }
    const snapshot = stats.snapshot();
    assert.equal(snapshot.fps, 10);
    assert.equal(snapshot.upKBps, 20);
    assert.equal(snapshot.downKBps, 10);
    assert.equal(snapshot.medianMillis, 46);
    assert.equal(snapshot.p95Millis, 59);
    clock.advance(3000);
    assert.equal(stats.snapshot().fps, 0);
    assert.equal(stats.snapshot().medianMillis, null);
  });

  test('drops are counted by reason', () => {
    const stats = new FrameStats(new FakeClock());
    stats.dropped('expired');
    stats.dropped('superseded');
    stats.dropped('expired');
    assert.deepEqual(stats.snapshot().dropped, { expired: 2, superseded: 1 });
  });
});

describe('classes', () => {
  const mode = (labels) => new ClassScheme({ ...MODES[0], labels, palette: [] });

  test('background is not drawn, a wall of index 0 is', () => {
    assert.equal(mode(['background', 'person']).isDrawn(0), false);
    assert.equal(mode(['wall', 'floor']).isDrawn(0), true);
  });

  test('a cut-out keeps all but the background, or the people where everything has a name', () => {
    assert.deepEqual([0, 1, 2].filter((id) => mode(['background', 'cat', 'person']).isKept(id)), [1, 2]);
    assert.deepEqual([0, 1, 2].filter((id) => mode(['wall', 'floor', 'person']).isKept(id)), [2]);
  });

  test('what the user hides is neither drawn nor kept, and a cut-out then keeps all the rest', () => {
    const room = mode(['wall', 'floor', 'person']).withHidden(new Set(['floor', 'a class of another mode']));
    assert.deepEqual([0, 1, 2].filter((id) => room.isDrawn(id)), [0, 2]);
    assert.deepEqual([0, 1, 2].filter((id) => room.isKept(id)), [0, 2]);
    const elsewhere = mode(['wall', 'floor', 'person']).withHidden(new Set(['a class of another mode']));
    assert.deepEqual([0, 1, 2].filter((id) => elsewhere.isKept(id)), [2]);
    assert.deepEqual([0, 1, 2].filter((id) => mode(['background', 'cat', 'person']).withHidden(new Set(['cat'])).isKept(id)), [2]);
  });
});
