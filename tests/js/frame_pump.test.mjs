import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FramePump } from '../../frontend/js/core/frame_pump.js';
import { LIMITS } from './support/fake_server.mjs';
import { collect, encodedFrame, next, stageSet } from './support/stage_set.mjs';

/** Holds each request until the test answers it. */
class FakeEncoder {
  asked = [];
  #resolve = () => {};
  #reject = () => {};

  next(settings) {
    this.asked.push(settings);
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  give(frame) {
    this.#resolve(frame);
  }

  fail(error) {
    this.#reject(error);
  }
}

function pumpSet() {
  const set = stageSet();
  const encoder = new FakeEncoder();
  const pump = new FramePump({ sink: set.session, encoder, clock: set.clock });
  /** The encoder's answer, and the frame on its way. */
  const pumpOne = async () => {
    const sent = next(pump.sent);
    encoder.give(encodedFrame(set.clock));
    return sent;
  };
  return { ...set, encoder, pump, pumpOne };
}

/** All promises that can go on have gone on. */
const settled = () => new Promise(setImmediate);

describe('frame pump', () => {
  test('nothing is encoded before the server greets', () => {
    const { server, encoder } = pumpSet();
    assert.equal(encoder.asked.length, 0);
    server.greet();
    assert.equal(encoder.asked.length, 1);
  });

  test('a frame that would be skipped is never encoded', async () => {
    const { clock, server, encoder, pumpOne } = pumpSet();
    server.greet();
    const first = await pumpOne();
    clock.advance(33);
    await pumpOne();
    clock.advance(500);
    assert.equal(encoder.asked.length, 2, 'two are in flight: no third is encoded');
    server.drop(first.frameId);
    assert.equal(encoder.asked.length, 3);
  });

  test('frames are no oftener than the interval', async () => {
    const { clock, server, encoder, pumpOne } = pumpSet();
    server.greet();
    const { frameId } = await pumpOne();
    server.drop(frameId);
    clock.advance(32);
    assert.equal(encoder.asked.length, 1);
    clock.advance(1);
    assert.equal(encoder.asked.length, 2);
  });

  test('a frame that is ready early is held until it is due', async () => {
    const { clock, server, encoder, pump, pumpOne } = pumpSet();
    server.greet({ limits: { ...LIMITS, min_frame_interval_millis: 100 } });
    const slow = next(pump.sent);
    const frame = encodedFrame(clock);
    clock.advance(40);
    encoder.give(frame);
    server.drop((await slow).frameId);
    clock.advance(60);
    assert.equal(encoder.asked.length, 2, 'the second is begun early, since the first took 40 ms');
    const sent = collect(pump.sent);
    encoder.give(encodedFrame(clock));
    await settled();
    clock.advance(39);
    await settled();
    assert.equal(sent.length, 0, 'it took no time, and waits for its turn');
    clock.advance(1);
    await settled();
    assert.equal(sent.length, 1);
    server.drop(sent[0].frameId);
    clock.advance(150);
    server.drop((await pumpOne()).frameId);
    clock.advance(99);
    assert.equal(encoder.asked.length, 3, 'a late frame does not bring the next one forward');
    clock.advance(1);
    assert.equal(encoder.asked.length, 4);
  });

  test('a timer that rings a little late does not slow the stream down', async () => {
    const { clock, server, encoder, pumpOne } = pumpSet();
    server.greet({ limits: { ...LIMITS, min_frame_interval_millis: 100 } });
    server.drop((await pumpOne()).frameId);
    clock.advance(108);
    server.drop((await pumpOne()).frameId);
    clock.advance(91);
    assert.equal(encoder.asked.length, 2);
    clock.advance(1);
    assert.equal(encoder.asked.length, 3, 'the third is due 200 ms after the first');
  });

  test('new limits reach the very next frame', async () => {
    const { clock, server, encoder, pumpOne } = pumpSet();
    server.greet();
    await pumpOne();
    server.say({ type: 'limits', generation: 8, ...LIMITS, jpeg_quality: 80, max_dimension_px: 320, min_frame_interval_millis: 100 });
    clock.advance(99);
    assert.equal(encoder.asked.length, 1);
    clock.advance(1);
    assert.deepEqual([encoder.asked[1].jpegQuality, encoder.asked[1].maxDimensionPx], [80, 320]);
  });

  test('stops without a socket and resumes by itself', async () => {
    const { clock, server, encoder, pumpOne } = pumpSet();
    server.greet();
    await pumpOne();
    server.hangUp();
    assert.equal(encoder.asked.length, 1);
    clock.advance(20_000);
    server.greet();
    assert.equal(encoder.asked.length, 2);
    await pumpOne();
    assert.equal(server.socket.frames.length, 1);
  });

  test('a frame encoded while the socket broke is not sent', async () => {
    const { clock, server, encoder, pump } = pumpSet();
    const sent = collect(pump.sent);
    server.greet();
    server.hangUp();
    encoder.give(encodedFrame(clock));
    await settled();
    clock.advance(20_000);
    assert.equal(sent.length, 0);
  });

  test('pauses and goes on', async () => {
    const { clock, server, encoder, pump, pumpOne } = pumpSet();
    server.greet();
    await pumpOne();
    pump.setPaused(true);
    clock.advance(1000);
    assert.equal(encoder.asked.length, 1);
    pump.setPaused(false);
    assert.equal(encoder.asked.length, 2);
  });

  test('says when the encoder fails, and not after it was closed', async () => {
    const { server, encoder, pump } = pumpSet();
    server.greet();
    const failed = next(pump.failed);
    encoder.fail(new Error('no JPEG'));
    assert.equal((await failed).message, 'no JPEG');

    const closed = pumpSet();
    closed.server.greet();
    const failures = collect(closed.pump.failed);
    closed.pump.close();
    closed.encoder.fail(new Error('closed'));
    await settled();
    assert.equal(failures.length, 0);
  });
});
