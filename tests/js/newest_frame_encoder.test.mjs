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
    return { arrayBuffer: async () => new TextEncoder().encode(`${type} ${quality} ${this.width}x${this.height}`).buffer };
  }

  transferToImageBitmap() {
    return { width: this.width, height: this.height };
  }
};

const { NewestFrameEncoder, nowMicros } = await import('../../frontend/js/stream/newest_frame_encoder.js');

const ASK = { maxDimensionPx: 640, jpegQuality: 50 };

function encoderSet() {
  const wanted = [];
  const encoder = new NewestFrameEncoder(() => wanted.push('frame'));
  return { wanted, encoder };
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

test('nothing is asked for before somebody wants it, and an overtaken frame is closed', () => {
  const { wanted, encoder } = encoderSet();
  const [first, second] = [picture(640, 480), picture(640, 480)];
  encoder.offer(first, nowMicros());
  encoder.offer(second, nowMicros());
  assert.equal(wanted.length, 0);
  assert.deepEqual([first.isClosed, second.isClosed], [true, false]);
});

test('one frame is encoded for each request, the newest', async () => {
  const { wanted, encoder } = encoderSet();
  const capturedAt = nowMicros() + 1;
  encoder.offer(picture(640, 480), capturedAt - 1);
  const newest = picture(640, 480);
  encoder.offer(newest, capturedAt);
  const frame = await encoder.next(ASK);
  const after = picture(640, 480);
  encoder.offer(after, nowMicros());
  assert.equal(wanted.length, 1);
  assert.equal(frame.capturedAt, capturedAt);
  assert.deepEqual([newest.isClosed, after.isClosed], [true, false]);
});

test('a frame that has lain for long is passed over for the next', async () => {
  const { encoder } = encoderSet();
  const old = picture(640, 480);
  encoder.offer(old, nowMicros() - 1_000_000);
  const frame = encoder.next(ASK);
  assert.equal(old.isClosed, true);
  const capturedAt = nowMicros();
  encoder.offer(picture(640, 480), capturedAt);
  assert.equal((await frame).capturedAt, capturedAt);
});

test('a frame that comes late to a request is encoded all the same', async () => {
  const { encoder } = encoderSet();
  const frame = encoder.next(ASK);
  const capturedAt = nowMicros() - 1_000_000;
  encoder.offer(picture(640, 480), capturedAt);
  assert.equal((await frame).capturedAt, capturedAt);
});

test('whoever waits is told when the source fails or the encoder is closed', async () => {
  const { encoder } = encoderSet();
  const failed = encoder.next(ASK);
  encoder.fail('the camera is gone');
  await assert.rejects(failed, /the camera is gone/);
  const closed = encoder.next(ASK);
  encoder.close();
  await assert.rejects(closed, /closed/);
});

for (const [from, to] of [[[1280, 720], [640, 360]], [[720, 1280], [360, 640]], [[320, 240], [320, 240]], [[5000, 2], [640, 1]]]) {
  test(`${from.join('x')} is sent as ${to.join('x')}`, async () => {
    const { encoder } = encoderSet();
    encoder.offer(picture(...from), nowMicros());
    const { jpeg, picture: shown, widthPx, heightPx } = await encoder.next(ASK);
    assert.deepEqual([widthPx, heightPx], to);
    assert.deepEqual([shown.width, shown.height], to);
    assert.equal(new TextDecoder().decode(jpeg), `image/jpeg 0.5 ${to.join('x')}`);
  });
}

test('what it takes to copy a picture for the encoder counts as encoding', async () => {
  const { encoder } = encoderSet();
  const takenAt = nowMicros() - 9_000;
  encoder.offer(picture(640, 480), takenAt - 1_000, takenAt);
  assert.equal((await encoder.next(ASK)).startedAt, takenAt);
  const before = nowMicros();
  encoder.offer(picture(640, 480), before);
  assert.ok((await encoder.next(ASK)).startedAt >= before);
});
