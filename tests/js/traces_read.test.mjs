import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ProtocolError } from '../../frontend/js/core/protocol_error.js';
import { TraceApi } from '../../frontend/js/core/trace_api.js';
import { readTrace, readTraces } from '../../frontend/js/core/traces.js';
import { EPOCH, FakeRecorder, listJson, traceJson } from './support/fake_recorder.mjs';

describe('traces are read field by field', () => {
  test('a trace with every field', () => {
    assert.deepEqual(readTrace(traceJson()), {
      traceId: '00000000000000000000000000000012',
      session: 3,
      frameId: 12,
      generation: 7,
      mode: 'fast',
      model: 'selfie-256',
      backend: 'selfie',
      build: 'ab'.repeat(32),
      outcome: 'answered',
      reason: '',
      message: '',
      isPainted: true,
      startMicros: EPOCH + 396_000,
      totalMicros: 30_000,
      clockErrorMicros: 350,
      kept: '',
      isSlow: false,
      stages: [
        { name: 'browser.encode', startMicros: 0, durationMicros: 5000 },
        { name: 'network.up', startMicros: 5000, durationMicros: 3000 },
        { name: 'plugin.infer', startMicros: 8000, durationMicros: 15_000 },
        { name: 'browser.paint', startMicros: 23_000, durationMicros: 7000 },
      ],
      why: { stage: 'plugin.infer', extraMicros: 0, text: 'Nothing out of the ordinary.' },
      frameLenBytes: 21_000,
      resultLenBytes: 7000,
      frameWidthPx: 640,
      frameHeightPx: 360,
      maskWidthPx: 640,
      maskHeightPx: 360,
      jpegQuality: 50,
      inFlight: 1,
      queueDepth: 0,
    });
  });

  test('a trace without the browser’s times knows no clock error', () => {
    assert.equal(readTrace(traceJson({ clock_error_micros: null })).clockErrorMicros, null);
  });

  test('a list with its sessions, marks and diagnosis', () => {
    const list = readTraces(listJson([traceJson()]));
    assert.deepEqual(list.sessions, [{ session: 3, frames: 1, isOpen: true }]);
    assert.deepEqual(list.marks[0], { atMicros: EPOCH, kind: 'reload', outcome: 'applied', generation: 7, modes: [], text: 'capture.jpeg_quality = 30 (was 50)' });
    assert.equal(list.diagnosis.causes[0].extraMicros, 80_000);
    assert.deepEqual([list.matched, list.slowMillis, list.traces.length], [1, 200, 1]);
  });

  for (const [name, change] of [
    ['no id', { trace_id: undefined }],
    ['a session that is a text', { session: '3' }],
    ['a stage without its time', { stages: [{ stage: 'plugin.infer', start_micros: 0 }] }],
    ['a clock error that is a text', { clock_error_micros: 'none' }],
    ['a reason that is a number', { reason: 3 }],
  ]) {
    test(`refused: ${name}`, () => assert.throws(() => readTrace(traceJson(change)), ProtocolError));
  }
});

describe('whatever goes wrong has words', () => {
  const cases = [
    ['nobody answers', { isAway: true }, 'unreachable', ''],
    ['a server from before the recorder', { status: 404, text: 'there is nothing at /v1/traces\n' }, 'too_old', ''],
    ['a trace that is gone', { status: 404, json: { code: 'unknown_trace', message: 'gone' } }, 'unknown_trace', 'gone'],
    ['a refusal', { status: 400, json: { code: 'bad_query', message: 'limit=0' } }, 'refused', 'limit=0'],
    ['a proxy whose server is away', { status: 502, text: '<html>' }, 'unreachable', ''],
    ['an answer that is no JSON', { status: 200, text: '<html>' }, 'unexpected', 'the answer is not JSON'],
    ['an answer that lacks a field', { status: 200, json: {} }, 'unexpected', 'trace_id is not a string'],
  ];
  for (const [name, { isAway = false, ...answer }, problem, message] of cases) {
    test(name, async () => {
      const recorder = new FakeRecorder();
      Object.assign(recorder, { isAway, answer });
      await assert.rejects(recorder.api.trace('00'), { name: 'TraceError', problem, message });
    });
  }

  test('a server that says nothing for ten seconds is away', async () => {
    const recorder = new FakeRecorder();
    const silent = (_, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const asked = new TraceApi({ clock: recorder.clock, fetch: silent }).trace('00');
    recorder.clock.advance(10_000);
    await assert.rejects(asked, { problem: 'unreachable' });
  });
});
