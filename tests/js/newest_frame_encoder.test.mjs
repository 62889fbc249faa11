import assert from 'node:assert/strict';
import { test } from 'node:test';

/** Draws nothing; its JPEG is its size. */
globalThis.OffscreenCanvas = class {
  constructor(width, height) {
    Object.assign(this, { width, height });
  }

  getContext() {
    return { drawImage() {} };
  }

  async convertToBlob({ type, quality }) {
    return { arrayBuffer: async () => `${type} ${quality} ${this.width}x${this.height}` };
  }
};

const { NewestFrameEncoder, nowMicros } = await import('../../frontend/js/app/newest_frame_encoder.js');

const ASK = { maxDimensionPx: 640, quality: 0.5 };

function encoderSet() {
  const delivered = [];
  return { delivered, encoder: new NewestFrameEncoder((encoded) => delivered.push(encoded)) };
}

function picture(displayWidth, displayHeight) {
  return {
    displayWidth,
    displayHeight,
    isClosed: false,
    close() {
      this.isClosed = true;
    },
  };
}

test('nothing is encoded unasked, and an overtaken frame is closed', () => {
  const { delivered, encoder } = encoderSet();
  const [first, second] = [picture(640, 480), picture(640, 480)];
  encoder.offer(first, nowMicros());
  encoder.offer(second, nowMicros());
  assert.equal(delivered.length, 0);
  assert.deepEqual([first.isClosed, second.isClosed], [true, false]);
});

test('one frame is encoded for each request, the newest', async () => {
  const { delivered, encoder } = encoderSet();
  const capturedAt = nowMicros() + 1;
  encoder.offer(picture(640, 480), capturedAt - 1);
  const newest = picture(640, 480);
  encoder.offer(newest, capturedAt);
  encoder.ask(ASK);
  encoder.offer(picture(640, 480), nowMicros());
  assert.equal(delivered.length, 1);
  const frame = await delivered[0];
  assert.equal(frame.capturedAt, capturedAt);
  assert.equal(newest.isClosed, true);
});

test('a frame that has lain for long is passed over for the next', () => {
  const { delivered, encoder } = encoderSet();
  const old = picture(640, 480);
  encoder.offer(old, nowMicros() - 1_000_000);
  encoder.ask(ASK);
  assert.equal(delivered.length, 0);
  assert.equal(old.isClosed, true);
  encoder.offer(picture(640, 480), nowMicros());
  assert.equal(delivered.length, 1);
});

test('a frame that comes late to a request is encoded all the same', () => {
  const { delivered, encoder } = encoderSet();
  encoder.ask(ASK);
  encoder.offer(picture(640, 480), nowMicros() - 1_000_000);
  assert.equal(delivered.length, 1);
});

for (const [from, to] of [[[1280, 720], [640, 360]], [[720, 1280], [360, 640]], [[320, 240], [320, 240]], [[5000, 2], [640, 1]]]) {
  test(`${from.join('x')} is sent as ${to.join('x')}`, async () => {
    const { delivered, encoder } = encoderSet();
    encoder.offer(picture(...from), nowMicros());
    encoder.ask(ASK);
    const { jpeg, widthPx, heightPx } = await delivered[0];
    assert.deepEqual([widthPx, heightPx], to);
    assert.equal(jpeg, `image/jpeg 0.5 ${to.join('x')}`);
  });
}
