import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FrameStats } from '../../frontend/js/core/frame_stats.js';
import { FakeClock } from './support/fake_clock.mjs';

function statsSet() {
  const clock = new FakeClock();
  const stats = new FrameStats(clock);
  const paint = (latencyMillis) => stats.paintedFrame(clock.micros() - 1000 * latencyMillis, clock.micros());
  return { clock, stats, paint };
}

describe('the latency of the last minute', () => {
  test('is told in points of half a second, the oldest first', () => {
    const { clock, stats, paint } = statsSet();
    for (let frame = 1; frame <= 20; frame += 1) {
      paint(frame);
      clock.advance(25);
    }
    for (let frame = 1; frame <= 5; frame += 1) {
      paint(100);
      clock.advance(100);
    }
    assert.deepEqual(stats.snapshot().latencies, [
      { medianMillis: 11, p95Millis: 20 },
      { medianMillis: 100, p95Millis: 100 },
    ]);
  });

  test('has gaps where nothing was painted', () => {
    const { clock, stats, paint } = statsSet();
    paint(40);
    clock.advance(1600);
    paint(60);
    clock.advance(500);
    assert.deepEqual(stats.snapshot().latencies.map(({ medianMillis }) => medianMillis), [40, null, null, 60]);
  });

  test('never grows beyond a minute, whatever is painted and however long nothing was', () => {
    const { clock, stats, paint } = statsSet();
    for (let frame = 0; frame < 3000; frame += 1) {
      paint(30);
      clock.advance(33);
    }
    assert.equal(stats.snapshot().latencies.length, 120);
    clock.advance(24 * 3600 * 1000);
    const { latencies } = stats.snapshot();
    assert.equal(latencies.length, 120);
    assert.ok(latencies.every(({ medianMillis, p95Millis }) => medianMillis === null && p95Millis === null));
  });

  test('is empty before the first frame', () => {
    const { clock, stats } = statsSet();
    clock.advance(5000);
    assert.deepEqual(stats.snapshot().latencies, []);
  });

  test('outlives a restart of the stream', () => {
    const { clock, stats, paint } = statsSet();
    paint(40);
    clock.advance(500);
    stats.restart();
    assert.equal(stats.snapshot().latencies.length, 1);
    assert.equal(stats.snapshot().fps, 0);
  });
});

describe('losses', () => {
  test('are counted since the page opened, and those of the last five seconds apart', () => {
    const { clock, stats } = statsSet();
    stats.dropped('expired');
    clock.advance(3000);
    stats.dropped('expired');
    stats.dropped('superseded');
    assert.deepEqual(stats.snapshot().droppedLately, { expired: 2, superseded: 1 });
    clock.advance(2500);
    assert.deepEqual(stats.snapshot().droppedLately, { expired: 1, superseded: 1 });
    clock.advance(2500);
    assert.deepEqual(stats.snapshot().droppedLately, {});
    assert.deepEqual(stats.snapshot().dropped, { expired: 2, superseded: 1 });
  });
});
