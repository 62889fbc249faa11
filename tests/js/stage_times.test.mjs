import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PART_NAMES, partsOf, StageTimes } from '../../frontend/js/core/stage_times.js';
import { paintedFrame } from './support/painted_frame.mjs';

const sumOf = (parts) => Object.values(parts).reduce((sum, part) => sum + part, 0);

describe('a painted frame is taken apart', () => {
  test('into what each part took, in microseconds', () => {
    const parts = partsOf(paintedFrame({ up: 40, down: 8, queue: 3 }));
    assert.deepEqual(parts, { capture: 6000, up: 40_000, queue: 3000, decode: 2000, model: 20_000, encode: 1000, down: 8000, paint: 10_000 });
    assert.deepEqual(Object.keys(parts), PART_NAMES, 'in the order of its way');
  });

  test('the way is halved where the clocks were not compared', () => {
    const { up, down } = partsOf(paintedFrame({ up: 40, down: 8 }, { clockOffsetMicros: null }));
    assert.deepEqual([up, down], [24_000, 24_000]);
  });

  test('what the server does not name is the model’s', () => {
    const frame = paintedFrame();
    frame.decoded.result.stageMicros.total += 2000;
    const { model, up, down } = partsOf(frame);
    assert.equal(model, 22_000);
    assert.equal(up + down, 8000);
  });

  const odd = [
    ['a clock that is far off', (frame) => (frame.clockOffsetMicros += 60_000_000)],
    ['a clock that is far off the other way', (frame) => (frame.clockOffsetMicros -= 60_000_000)],
    ['a server that claims more time than the frame was away', (frame) => (frame.decoded.result.stageMicros.infer = 900_000)],
    ['a paint before the result came', (frame) => (frame.paintedAt = frame.decoded.receivedAt - 3000)],
    ['a paint before the capture', (frame) => (frame.paintedAt = frame.decoded.capturedAt - 1)],
    ['a result before the frame was sent', (frame) => (frame.decoded.receivedAt = frame.sentAt - 500)],
    ['a frame sent before it was captured', (frame) => (frame.sentAt = frame.decoded.capturedAt - 500)],
    ['a server that names nothing', (frame) => Object.keys(frame.decoded.result.stageMicros).forEach((stage) => (frame.decoded.result.stageMicros[stage] = 0))],
  ];
  for (const [name, change] of odd) {
    test(`no part is negative and none is lost with ${name}`, () => {
      const frame = paintedFrame();
      change(frame);
      const parts = partsOf(frame);
      for (const [part, micros] of Object.entries(parts)) assert.ok(micros >= 0, `${part} took ${micros}`);
      const whole = Math.max(0, frame.paintedAt - frame.decoded.capturedAt);
      assert.ok(Math.abs(sumOf(parts) - whole) < 0.01, `${sumOf(parts)} of ${whole}`);
    });
  }
});

describe('the last frames', () => {
  test('are averaged, and the shares make a whole', () => {
    const times = new StageTimes();
    for (const model of [10, 30]) times.add(paintedFrame({ model }));
    const { shares } = times;
    assert.deepEqual(shares.map(({ name }) => name), PART_NAMES);
    assert.equal(shares.find(({ name }) => name === 'model').millis, 20);
    assert.ok(Math.abs(shares.reduce((sum, { share }) => sum + share, 0) - 1) < 1e-9);
    assert.ok(Math.abs(shares.reduce((sum, { millis }) => sum + millis, 0) - 50) < 1e-9);
    assert.ok(shares.every(({ title }) => title));
  });

  test('are sixty', () => {
    const times = new StageTimes();
    times.add(paintedFrame({ model: 6000 }));
    for (let frame = 0; frame < 60; frame += 1) times.add(paintedFrame());
    assert.equal(times.shares.find(({ name }) => name === 'model').millis, 20);
  });

  test('are no older than three seconds, where there are some', () => {
    const times = new StageTimes();
    for (let frame = 0; frame < 20; frame += 1) {
      const painted = paintedFrame({ model: frame < 10 ? 100 : 20 });
      painted.paintedAt += frame < 10 ? 0 : 4_000_000;
      times.add(painted);
    }
    assert.equal(times.shares.find(({ name }) => name === 'model').millis, 20);
  });

  test('are a few, however old, where frames are rare', () => {
    const times = new StageTimes();
    for (let frame = 0; frame < 20; frame += 1) {
      const painted = paintedFrame({ model: 10 * frame });
      painted.paintedAt += 5_000_000 * frame;
      times.add(painted);
    }
    assert.equal(times.shares.find(({ name }) => name === 'model').millis, 155, 'the last eight');
  });

  test('tell how steady a part is', () => {
    const times = new StageTimes();
    assert.equal(times.spreadOf('model'), null);
    for (let frame = 0; frame < 40; frame += 1) times.add(paintedFrame({ model: frame % 10 === 0 ? 120 : 30 }));
    assert.deepEqual(times.spreadOf('model'), { medianMillis: 30, p95Millis: 120 });
  });

  test('are none before the first and after a restart', () => {
    const times = new StageTimes();
    assert.deepEqual(times.shares, []);
    times.add(paintedFrame());
    times.restart();
    assert.deepEqual(times.shares, []);
  });
});
