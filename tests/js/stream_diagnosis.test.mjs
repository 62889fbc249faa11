import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FrameStats } from '../../frontend/js/core/frame_stats.js';
import { StageTimes } from '../../frontend/js/core/stage_times.js';
import { StreamDiagnosis } from '../../frontend/js/core/stream_diagnosis.js';
import { FakeClock } from './support/fake_clock.mjs';
import { paintedFrame } from './support/painted_frame.mjs';

const LIMITS = { jpegQuality: 50, maxDimensionPx: 640, maxInFlight: 2, minFrameIntervalMillis: 33, adaptive: null };
const PULSE_MILLIS = 250;

/** A stream of frames that all go the same way, asked for its diagnosis four times a second. */
class Diagnosed {
  clock = new FakeClock();
  stats = new FrameStats(this.clock);
  stages = new StageTimes();
  diagnosis = new StreamDiagnosis(this.clock);
  said = [];
  #offered = 0;
  #due = { frame: 0, offer: 0, loss: 0 };

  run(seconds, { fps = 30, cameraFps = 30, millis = {}, losses = {}, lossesPerSecond = 0, facts = {} } = {}) {
    for (let pulse = 0; pulse < (seconds * 1000) / PULSE_MILLIS; pulse += 1) {
      this.clock.advance(PULSE_MILLIS);
      for (let count = this.#take('frame', fps); count > 0; count -= 1) this.#paint(typeof millis === 'function' ? millis() : millis);
      if (cameraFps !== null) this.#offered += this.#take('offer', cameraFps);
      for (let count = this.#take('loss', lossesPerSecond); count > 0; count -= 1) this.stats.dropped(losses);
      this.#ask({ offered: cameraFps === null ? null : this.#offered, ...facts });
    }
    return this.said.at(-1);
  }

  #paint(millis) {
    const frame = paintedFrame(millis);
    this.stages.add(frame);
    const latencyMicros = frame.paintedAt - frame.decoded.capturedAt;
    this.stats.paintedFrame(this.clock.micros() - latencyMicros, this.clock.micros());
  }

  #ask(facts) {
    const now = this.diagnosis.now({
      snapshot: this.stats.snapshot(),
      stages: this.stages,
      limits: LIMITS,
      inFlight: 1,
      roundTripMicros: 10_000,
      quality: { kind: 'fixed' },
      isStreaming: true,
      ...facts,
    });
    if (this.said.at(-1)?.text !== now.text) this.said.push(now);
  }

  /** How many are due by now at so many a second. */
  #take(what, perSecond) {
    this.#due[what] += (perSecond * PULSE_MILLIS) / 1000;
    const count = Math.floor(this.#due[what]);
    this.#due[what] -= count;
    return count;
  }
}

const after = (seconds, stream) => new Diagnosed().run(seconds, stream);

describe('each trouble has its name and its remedy', () => {
  test('none', () => {
    assert.deepEqual(after(4), { kind: 'fine', text: 'All is well.' });
  });

  test('every slot taken by a slow model: the backend', () => {
    const said = after(4, { fps: 12, millis: { model: 80, queue: 70 } });
    assert.equal(said.kind, 'backend');
    assert.equal(said.text, 'The model is the bottleneck: it takes 80 ms for a frame. Choose a faster mode.');
  });

  test('a model that is too slow even alone: the backend', () => {
    const said = after(4, { fps: 1.8, millis: { model: 540, queue: 510 } });
    assert.match(said.text, /takes 540 ms for a frame/);
  });

  test('few frames with a fast model: the network, and what to do about it depends on who chooses quality', () => {
    const stream = { fps: 9, millis: { up: 150, down: 40, model: 15 } };
    const said = after(4, stream);
    assert.equal(said.kind, 'network');
    assert.equal(said.text, 'The network is the bottleneck: frames and masks are on their way for 190 ms. Lower quality or size.');
    const adapting = after(4, { ...stream, facts: { quality: { kind: 'adapting' } } });
    assert.match(adapting.text, /Quality and size follow it by themselves\.$/);
  });

  test('a server far away: the network, and no smaller frame would help', () => {
    const said = after(4, { fps: 6, millis: { up: 150, down: 145 }, facts: { roundTripMicros: 280_000 } });
    assert.equal(said.kind, 'network');
    assert.match(said.text, /way to the server and back takes 280 ms.*smaller frames would not/);
  });

  test('a model whose time is all over the place: its accelerator', () => {
    let frame = 0;
    const millis = () => ({ queue: 40, model: (frame += 1) % 6 === 0 ? 160 : 45 });
    const said = after(4, { fps: 15, millis });
    assert.equal(said.kind, 'backend');
    assert.equal(said.text, 'The model takes 45 ms, and often 160 ms: its accelerator throttles or is shared.');
  });

  test('frames wait for those of others: the backend', () => {
    const said = after(4, { fps: 8, millis: { model: 25, queue: 180 } });
    assert.match(said.text, /busy with others: frames wait 180 ms/);
  });

  test('the server drops frames: the backend', () => {
    const said = after(5, { fps: 10, losses: 'overloaded', lossesPerSecond: 10 });
    assert.equal(said.kind, 'backend');
    assert.match(said.text, /drops (4|5)\d % of the frames/);
  });

  test('frames that a newer one replaced are no trouble', () => {
    assert.equal(after(5, { losses: 'superseded', lossesPerSecond: 10 }).kind, 'fine');
  });

  test('nothing comes back', () => {
    const said = after(4, { fps: 0 });
    assert.equal(said.kind, 'backend');
    assert.match(said.text, /^No mask has come back for seconds/);
  });

  test('the camera gives fewer frames than are welcome', () => {
    const said = after(5, { fps: 15, cameraFps: 15 });
    assert.deepEqual(said, { kind: 'camera', text: 'The camera gives 15 frames a second where 30 are welcome. More light often helps.' });
  });

  test('a camera of thirty frames is no trouble where sixty would be welcome', () => {
    assert.equal(after(5, { facts: { limits: { ...LIMITS, minFrameIntervalMillis: 16 } } }).kind, 'fine');
  });

  test('slots are free, the camera is fast, and frames are few: the page', () => {
    const said = after(4, { fps: 10, millis: { capture: 90 } });
    assert.equal(said.kind, 'page');
    assert.match(said.text, /takes 90 ms to encode a frame/);
  });

  test('masks wait for the screen: the page, unless they wait for another mode’s', () => {
    const stream = { fps: 12, millis: { paint: 480, up: 60 }, facts: { limits: { ...LIMITS, adaptive: { targetLatencyMillis: 200 } } } };
    assert.match(after(4, stream).text, /takes 480 ms to paint a mask/);
    assert.notEqual(after(4, { ...stream, facts: { ...stream.facts, isComparing: true } }).kind, 'page');
  });

  test('a still picture has few frames, and that is well', () => {
    assert.equal(after(6, { fps: 2, cameraFps: null }).kind, 'fine');
  });

  test('the profile’s target decides what is slow', () => {
    const stream = { millis: { up: 250 }, facts: { roundTripMicros: 5000 } };
    assert.equal(after(4, stream).kind, 'fine');
    const strict = { ...stream, facts: { ...stream.facts, limits: { ...LIMITS, adaptive: { targetLatencyMillis: 200 } } } };
    assert.equal(after(4, strict).kind, 'network');
  });
});

describe('the sentence stands', () => {
  test('nothing is said before there are two seconds of evidence, nor while nothing streams', () => {
    assert.equal(after(1.5, { fps: 5, millis: { model: 400 } }).text, '');
    assert.equal(after(10, { facts: { isStreaming: false } }).text, '');
    assert.equal(after(10, { facts: { limits: null } }).text, '');
  });

  test('a hiccup of a second is not spoken of', () => {
    const stream = new Diagnosed();
    stream.run(6);
    stream.run(1, { fps: 4, millis: { up: 700 } });
    stream.run(6);
    assert.deepEqual(stream.said.map(({ kind, text }) => text && kind), ['', 'fine']);
  });

  test('a trouble that stays is told within four seconds, and so is its end', () => {
    const stream = new Diagnosed();
    stream.run(6);
    assert.equal(stream.run(4, { fps: 10, millis: { model: 95, queue: 80 } }).kind, 'backend');
    stream.run(8);
    assert.equal(stream.said.at(-1).kind, 'fine');
    assert.equal(stream.said.length, 4, `said: ${stream.said.map(({ text }) => text).join(' | ')}`);
  });

  test('two troubles that take turns do not flicker', () => {
    const stream = new Diagnosed();
    stream.run(3, { fps: 8, millis: { model: 110, queue: 100 } });
    const before = stream.said.length;
    for (let turn = 0; turn < 20; turn += 1) {
      stream.run(0.5, { fps: 8, millis: { model: 110, queue: 100 } });
      stream.run(0.5, { fps: 8, millis: { model: 110, queue: 100, up: 215 } });
    }
    assert.ok(stream.said.length - before <= 2, `${stream.said.length - before} changes in twenty seconds`);
  });

  test('its number follows only when it is far off', () => {
    const stream = new Diagnosed();
    const slow = (model) => ({ fps: 10, millis: { model, queue: model - 10 } });
    stream.run(5, slow(90));
    stream.run(8, slow(98));
    assert.match(stream.said.at(-1).text, /takes 90 ms/);
    stream.run(12, slow(130));
    assert.match(stream.said.at(-1).text, /takes 1[0-3]\d ms/);
  });

  test('a new stream is looked at anew', () => {
    const stream = new Diagnosed();
    stream.run(4);
    stream.diagnosis.restart();
    stream.run(0.5);
    assert.equal(stream.said.at(-1).text, '');
  });
});
