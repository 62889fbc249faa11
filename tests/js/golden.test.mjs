import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { MaskDecoder } from '../../frontend/js/core/mask_decoder.js';
import { readMessage } from '../../frontend/js/core/messages.js';
import { ProtocolError } from '../../frontend/js/core/protocol_error.js';
import { readResult, writeFrame } from '../../frontend/js/core/wire.js';

const golden = JSON.parse(readFileSync(new URL('../golden/wire.json', import.meta.url), 'utf8'));

const bytes = (hex) => Uint8Array.from(Buffer.from(hex, 'hex'));
const sha256 = (data) => createHash('sha256').update(data).digest('hex');
const resultOf = (mask) => ({
  encoding: mask.encoding,
  isDelta: mask.delta,
  widthPx: mask.width,
  heightPx: mask.height,
  payload: bytes(mask.hex),
});

describe('frames are written byte for byte', () => {
  for (const { name, hex, fields } of golden.frames) {
    test(name, () => {
      const header = {
        frameId: fields.frame_id,
        capturedAt: BigInt(fields.captured_at),
        encodeMicros: fields.encode_micros,
        sendDelayMicros: fields.send_delay_micros,
        traceId: bytes(fields.trace_id),
        spanId: bytes(fields.span_id),
        keepTrace: fields.keep_trace,
      };
      assert.equal(Buffer.from(writeFrame(header, bytes(fields.payload))).toString('hex'), hex);
    });
  }
});

describe('results are read', () => {
  for (const { name, hex, fields } of golden.results) {
    test(name, () => {
      const result = readResult(bytes(hex).buffer);
      const { reserved, ...stageMicros } = fields.stage_micros;
      assert.deepEqual(
        { ...result, payload: Buffer.from(result.payload).toString('hex') },
        {
          encoding: fields.encoding,
          isDelta: fields.delta,
          isReused: fields.reused,
          modeIndex: fields.mode,
          frameId: fields.frame_id,
          capturedAt: BigInt(fields.captured_at),
          widthPx: fields.width,
          heightPx: fields.height,
          generation: fields.generation,
          stageMicros,
          serverSentAt: BigInt(fields.server_sent_at),
          payload: fields.payload,
        },
      );
    });
  }

  for (const { name, hex, why } of golden.bad_results) {
    test(`refused: ${name} (${why})`, () => assert.throws(() => readResult(bytes(hex).buffer), ProtocolError));
  }
});

describe('masks are decoded', () => {
  for (const mask of golden.masks) {
    test(mask.name, async () => {
      const decoder = new MaskDecoder();
      const previous = golden.masks.find((other) => other.name === mask.previous);
      if (previous) await decoder.decode(resultOf(previous), previous.classes);
      const decoded = await decoder.decode(resultOf(mask), mask.classes);
      assert.equal(sha256(decoded.classIds), mask.sha256);
      assert.equal(decoded.confidence && sha256(decoded.confidence), mask.confidence_sha256);
    });
  }

  for (const mask of golden.bad_masks) {
    test(`refused: ${mask.name} (${mask.why}), and the next mask decodes`, async () => {
      const decoder = new MaskDecoder();
      await assert.rejects(decoder.decode(resultOf(mask), mask.classes), ProtocolError);
      const whole = golden.masks.find((other) => other.name === 'a_disc');
      const decoded = await decoder.decode(resultOf(whole), whole.classes);
      assert.equal(sha256(decoded.classIds), whole.sha256);
    });
  }

  test('a mask waits for the one before it, and says when its own decoding begins', async () => {
    const decoder = new MaskDecoder();
    const whole = golden.masks.find((mask) => mask.name === 'a_disc');
    const events = [];
    const decode = (name) => decoder.decode(resultOf(whole), whole.classes, () => events.push(`${name} begins`)).then(() => events.push(`${name} is done`));
    await Promise.all([decode('first'), decode('second')]);
    assert.equal(events[0], 'first begins');
    assert.deepEqual(events.slice(1, 3).sort(), ['first is done', 'second begins']);
    assert.equal(events[3], 'second is done');
  });

  test('a delta after a mask that did not decode is refused', async () => {
    const decoder = new MaskDecoder();
    const delta = golden.masks.find((mask) => mask.name === 'the_disc_moved_as_a_delta');
    const before = golden.masks.find((mask) => mask.name === delta.previous);
    await decoder.decode(resultOf(before), before.classes);
    await assert.rejects(decoder.decode({ ...resultOf(before), payload: new Uint8Array(0) }, before.classes), ProtocolError);
    await assert.rejects(decoder.decode(resultOf(delta), delta.classes), /difference to one that is not here/);
  });
});

describe('text messages are read', () => {
  for (const { name, text, value } of golden.messages.from_server) {
    test(name, () => assert.equal(readMessage(text).type, value.type));
  }

  test('hello with every field', () => {
    const { text, value } = golden.messages.from_server.find(({ name }) => name === 'hello');
    const hello = readMessage(text);
    assert.deepEqual(hello.modes, value.modes);
    assert.deepEqual(hello.limits, { jpegQuality: 50, maxDimensionPx: 640, maxInFlight: 2, minFrameIntervalMillis: 33, adaptive: null });
    assert.deepEqual([hello.generation, hello.mode, hello.session, hello.version], [7, 'fast', 's-1', '0.1.0']);
  });

  test('bounds of adaptive quality and the profile, where the server tells them', () => {
    const limits = { jpeg_quality: 50, max_dimension_px: 640, max_in_flight: 2, min_frame_interval_millis: 33 };
    const adaptive = { min_jpeg_quality: 30, min_dimension_px: 1280, target_latency_millis: 200 };
    const message = readMessage(JSON.stringify({ type: 'limits', generation: 8, profile: 'mobile', ...limits, adaptive }));
    assert.equal(message.profile, 'mobile');
    assert.deepEqual(message.limits.adaptive, { minJpegQuality: 30, minDimensionPx: 640, targetLatencyMillis: 200 });
    assert.equal(readMessage(JSON.stringify({ type: 'limits', generation: 8, ...limits })).profile, '');
    assert.throws(() => readMessage(JSON.stringify({ type: 'limits', generation: 8, ...limits, adaptive: 3 })), ProtocolError);
  });

  test('a message of a type from a newer server is passed over', () => {
    assert.deepEqual(readMessage('{"type":"surprise"}'), { type: 'unknown' });
  });

  for (const text of ['', '{', '3', 'null', '{"type":"limits"}', '{"type":"mode","mode":1}', '{"type":"hello","modes":{}}']) {
    test(`refused: ${text || 'nothing'}`, () => assert.throws(() => readMessage(text), ProtocolError));
  }
});
