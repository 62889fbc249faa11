import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { TraceError } from '../../frontend/js/core/trace_error.js';
import { Capsule } from '../../frontend/js/traces/capsule.js';
import { GenerationSamples } from '../../frontend/js/traces/generation_samples.js';
import { LiveSource } from '../../frontend/js/traces/live_source.js';
import { OpenTrace } from '../../frontend/js/traces/open_trace.js';
import { describe as inWords, noFrameInWords } from '../../frontend/js/traces/page_words.js';
import { breakDown, chooseTwo, compare, percentileOf } from '../../frontend/js/traces/percentiles.js';
import { sideOf, STAGE_ORDER } from '../../frontend/js/traces/stages.js';
import { TraceFeed } from '../../frontend/js/traces/trace_feed.js';
import { apiQuery, matches, readState, START, writeState } from '../../frontend/js/traces/view_state.js';
import { byteCount, difference, duration, percent, splitVerdict, traceInWords } from '../../frontend/js/traces/words.js';
import { settled } from './support/fake_admin.mjs';
import { EPOCH, FakeRecorder, listJson, traceJson, traceOf } from './support/fake_recorder.mjs';
import { next } from './support/stage_set.mjs';

describe('percentiles', () => {
  test('are values that were measured', () => {
    const hundred = Array.from({ length: 100 }, (_, position) => position + 1);
    assert.deepEqual([0.5, 0.95, 0.99, 1].map((share) => percentileOf(hundred, share)), [50, 95, 99, 100]);
    assert.deepEqual([0, 0.5, 0.99].map((share) => percentileOf([7], share)), [7, 7, 7]);
  });

  test('are of answered frames, by stage', () => {
    const frames = [10, 20, 30].map((millis, position) => traceOf({ frame_id: position, total_micros: millis * 1000 }));
    const { frames: count, breakdown } = breakDown([...frames, traceOf({ outcome: 'dropped', total_micros: 9_000_000 })]);
    assert.equal(count, 3);
    assert.deepEqual(breakdown.get('total'), [20_000, 30_000, 30_000]);
    assert.deepEqual(breakdown.get('plugin.infer'), [15_000, 15_000, 15_000]);
    assert.equal(breakDown([]).breakdown.size, 0);
  });

  test('are compared in the order of the stages, and where one side has none there is no difference', () => {
    const before = new Map([['browser.paint', [1, 2, 3]], ['total', [10, 20, 30]]]);
    const after = new Map([['new.stage', [1, 1, 1]], ['total', [8, 25, 30]], ['browser.encode', [4, 5, 6]]]);
    const rows = compare(before, after);
    assert.deepEqual(rows.map(({ stage }) => stage), ['total', 'browser.encode', 'browser.paint', 'new.stage']);
    assert.deepEqual(rows[0].difference, [-2, 5, 0]);
    assert.equal(rows[1].difference, null);
  });

  test('the newest two generations are compared unless others are wanted', () => {
    const none = { before: null, after: null };
    assert.deepEqual(chooseTwo([5, 7, 6], none), { generations: [7, 6, 5], before: 6, after: 7 });
    assert.deepEqual(chooseTwo([7], none), { generations: [7], before: null, after: 7 });
    assert.deepEqual(chooseTwo([5, 7, 6], { before: null, after: 6 }), { generations: [7, 6, 5], before: 5, after: 6 });
    assert.deepEqual(chooseTwo([7], { before: 2, after: null }), { generations: [7, 2], before: 2, after: 7 });
    assert.deepEqual(chooseTwo([], none), { generations: [], before: null, after: null });
  });

  test('a generation that the newest frames have none of is asked for, once', async () => {
    const recorder = new FakeRecorder();
    recorder.add(traceJson({ frame_id: 1, generation: 6 }));
    const samples = new GenerationSamples(new LiveSource(recorder.api, EPOCH));
    const marks = [{ atMicros: EPOCH, kind: 'reload', outcome: 'applied', generation: 6, modes: [], text: '' }];
    const newest = [traceOf({ frame_id: 2, generation: 7 })];
    assert.equal(samples.choose(newest, marks, START).before, 6);
    await next(samples.changed);
    const two = samples.choose(newest, marks, START);
    assert.deepEqual(two.traces.map(({ frameId }) => frameId), [2, 1]);
    assert.deepEqual(recorder.queries.map(({ generation }) => generation), ['6']);
  });
});

describe('the address', () => {
  const chosen = {
    ...START,
    session: 3,
    mode: 'fast & furious',
    outcome: 'dropped',
    reason: 'expired',
    generation: 7,
    minMillis: 50,
    lastSeconds: 60,
    isFollowing: false,
    trace: '0a'.repeat(16),
    before: 6,
    after: 7,
    layout: 'frames',
  };

  test('says nothing when nothing is chosen, and everything that is', () => {
    assert.equal(writeState(START), '');
    assert.deepEqual(readState(''), { ...START });
    assert.deepEqual(readState(writeState(chosen)), chosen);
    const range = { ...START, since: EPOCH, until: EPOCH + 5, isFollowing: false };
    assert.deepEqual(readState(writeState(range)), range);
  });

  test('whatever makes no sense in it counts as not said', () => {
    assert.deepEqual(readState('?session=x&min_millis=-3&outcome=maybe&since=1e9&lanes=up&generation=&follow=yes'), { ...START });
  });

  test('the server is asked for what it knows of', () => {
    const asked = Object.fromEntries(apiQuery(chosen, EPOCH + 90_000_000));
    const expected = { session: '3', mode: 'fast & furious', outcome: 'dropped', reason: 'expired', generation: '7', min_millis: '50' };
    assert.deepEqual(asked, { ...expected, since: String(EPOCH + 30_000_000) });
  });

  test('a capsule is filtered as the server would', () => {
    const now = EPOCH + 60_000_000;
    const trace = traceOf({ total_micros: 60_000, start_micros: EPOCH + 10 });
    const fits = [{}, { session: 3 }, { mode: 'fast' }, { outcome: 'answered' }, { generation: 7 }, { minMillis: 60 }, { since: EPOCH, until: EPOCH + 10 }, { lastSeconds: 60 }];
    const fails = [{ session: 4 }, { mode: 'x' }, { outcome: 'dropped' }, { reason: 'expired' }, { generation: 6 }, { minMillis: 61 }, { since: EPOCH + 11 }, { until: EPOCH }, { lastSeconds: 10 }];
    for (const change of fits) assert.ok(matches(trace, { ...START, ...change }, now), JSON.stringify(change));
    for (const change of fails) assert.ok(!matches(trace, { ...START, ...change }, now), JSON.stringify(change));
  });
});

describe('following', () => {
  async function feedOf(state = START) {
    const recorder = new FakeRecorder();
    recorder.add(traceJson({ frame_id: 1 }), traceJson({ frame_id: 2 }));
    const feed = new TraceFeed({ source: new LiveSource(recorder.api, EPOCH), clock: recorder.clock, state });
    feed.ask(state);
    await settled();
    return { recorder, feed, ids: () => feed.traces.map(({ frameId }) => frameId) };
  }

  test('new frames come once a second, and only they are asked for', async () => {
    const { recorder, feed, ids } = await feedOf();
    assert.deepEqual(ids(), [2, 1]);
    recorder.add(traceJson({ frame_id: 3 }));
    recorder.clock.advance(1000);
    await settled();
    assert.deepEqual(ids(), [3, 2, 1]);
    const [first, second] = recorder.queries.filter(({ limit }) => limit);
    assert.deepEqual([first.since, second.since], [undefined, String(EPOCH + 66_000 - 2_000_000)]);
    feed.close();
    recorder.clock.advance(10_000);
    assert.equal(recorder.asked.length, 4);
  });

  test('a frame that was painted since grows', async () => {
    const { recorder, feed } = await feedOf();
    recorder.traces[0] = traceJson({ frame_id: 2, total_micros: 90_000 });
    recorder.clock.advance(1000);
    await settled();
    assert.equal(feed.traces[0].totalMicros, 90_000);
    assert.equal(feed.traces.length, 2);
  });

  test('nobody is asked while the page is hidden or stands still', async () => {
    const { recorder, feed } = await feedOf();
    feed.setVisible(false);
    recorder.clock.advance(10_000);
    await settled();
    assert.equal(recorder.asked.length, 2);
    feed.setVisible(true);
    await settled();
    assert.equal(recorder.asked.length, 4);
    feed.follow({ ...START, isFollowing: false });
    recorder.clock.advance(10_000);
    await settled();
    assert.equal(recorder.asked.length, 4);
  });

  test('a server that goes leaves its traces here and is asked again until it is back', async () => {
    const { recorder, feed, ids } = await feedOf();
    recorder.isAway = true;
    recorder.clock.advance(1000);
    await settled();
    assert.equal(feed.problem.problem, 'unreachable');
    assert.deepEqual(ids(), [2, 1]);
    recorder.isAway = false;
    recorder.add(traceJson({ frame_id: 3 }));
    recorder.clock.advance(3000);
    await settled();
    assert.equal(feed.problem, null);
    assert.deepEqual(ids(), [3, 2, 1]);
  });

  test('the answer to what was asked before is passed over', async () => {
    const { recorder, feed, ids } = await feedOf();
    feed.ask({ ...START, mode: 'accurate' });
    recorder.add(traceJson({ frame_id: 3 }));
    feed.ask(START);
    await settled();
    assert.deepEqual(ids(), [3, 2, 1]);
  });

  test('of the last seconds, frames that became older go', async () => {
    const { recorder, ids } = await feedOf({ ...START, lastSeconds: 60 });
    assert.deepEqual(ids(), [2, 1]);
    recorder.answer = { json: listJson([], { now_micros: EPOCH + 60_000_000 + 50_000 }) };
    recorder.clock.advance(1000);
    await settled();
    assert.deepEqual(ids(), [2]);
  });
});

describe('one trace', () => {
  test('is taken from the list where it is there, else asked for', async () => {
    const recorder = new FakeRecorder();
    recorder.add(traceJson({ frame_id: 5 }));
    const open = new OpenTrace(new LiveSource(recorder.api, EPOCH));
    open.open(traceOf({ frame_id: 4 }).traceId, [traceOf({ frame_id: 4 })]);
    assert.equal(open.trace.frameId, 4);
    open.open(traceOf({ frame_id: 5 }).traceId, []);
    await next(open.changed);
    assert.equal(open.trace.frameId, 5);
    assert.equal(recorder.asked.length, 1);
  });

  test('one that is not there yet is asked for some more times, and not for ever', async () => {
    const recorder = new FakeRecorder();
    recorder.answer = { status: 404, json: { code: 'unknown_trace', message: 'gone' } };
    const open = new OpenTrace(new LiveSource(recorder.api, EPOCH));
    open.open('00', []);
    for (let round = 0; round < 9; round += 1) {
      await settled();
      open.refresh([]);
    }
    assert.equal(open.problem.problem, 'unknown_trace');
    assert.equal(recorder.asked.length, 5);
  });
});

describe('capsules', () => {
  const capsule = (changes) => ({ format: 'segue-capsule', version: 1, captured_at: '2026-11-22T03:00:00Z', seconds: 30, generation: 7, profile: {}, modes: {}, traces: listJson([traceJson({ frame_id: 1 }), traceJson({ frame_id: 2, total_micros: 90_000 })]), ...changes });
  const fileOf = (content, name = 'night.segue-capsule') => new File([content], name);
  const zipped = (changes) => fileOf(gzipSync(JSON.stringify(capsule(changes))));

  test('stand in for the server', async () => {
    const opened = await Capsule.open(zipped({ frames: { a: '/9j/', b: 'not base64!', c: 3 } }));
    assert.equal(opened.facts.capturedAt, '2026-11-22T03:00:00Z');
    assert.deepEqual((await opened.load(START)).traces.map(({ frameId }) => frameId), [2, 1]);
    assert.deepEqual((await opened.load({ ...START, minMillis: 50 })).matched, 1);
    assert.equal((await opened.summary(START)).traces[0].totalMicros, 90_000);
    assert.deepEqual(['a', 'b', 'c'].map((id) => opened.picture(id)), ['data:image/jpeg;base64,/9j/', null, null]);
    await assert.rejects(opened.trace('00'), { problem: 'unknown_trace' });
  });

  for (const [name, file, message] of [
    ['a file that is not compressed', () => fileOf('{}'), /gzip/],
    ['a file that is cut', () => fileOf(gzipSync(JSON.stringify(capsule())).subarray(0, 60)), /damaged/],
    ['a file of something else', () => zipped({ format: 'tape' }), /not a capsule/],
    ['a capsule from a newer server', () => zipped({ version: 2 }), /version 2/],
    ['a capsule without traces', () => zipped({ traces: undefined }), /traces is not an object/],
  ]) {
    test(`refused: ${name}`, async () => assert.rejects(Capsule.open(file()), { problem: 'no_capsule', message }));
  }
});

describe('every state has words', () => {
  const now = { isLive: true, isFollowing: true, isFiltered: false, isLoading: false, shown: 9, problem: null, summary: {} };
  const states = [
    ['all is well', {}, 'Following', null],
    ['standing still', { isFollowing: false }, 'Standing still', null],
    ['no frames yet', { shown: 0 }, 'Following', 'No frames yet'],
    ['filters too narrow', { shown: 0, isFiltered: true }, 'Following', 'No frame matches'],
    ['out of reach', { shown: 0, problem: new TraceError('unreachable') }, 'The server cannot be reached', 'The server cannot be reached'],
    ['gone', { problem: new TraceError('unreachable') }, 'The server cannot be reached', null],
    ['too old', { shown: 0, problem: new TraceError('too_old') }, 'No traces', 'This server keeps no traces'],
    ['refused', { shown: 0, problem: new TraceError('refused', 'limit=0') }, 'No traces', 'Traces could not be read'],
    ['a capsule', { isLive: false }, 'A capsule', null],
  ];
  for (const [name, change, status, title] of states) {
    test(name, () => {
      const words = inWords({ ...now, ...change });
      assert.equal(words.status, status);
      assert.equal(words.empty?.title ?? null, title);
      assert.ok(!words.empty || words.empty.text, 'what to do about it');
    });
  }

  test('a trace that is gone says where it may be', () => {
    assert.match(noFrameInWords(new TraceError('unknown_trace', 'gone'), 'ab', true), /Trace ab is not in the recorder/);
    assert.match(noFrameInWords(null, '', true), /Choose a frame/);
  });
});

test('every stage has a side, and one that is not known counts as the server’s', () => {
  assert.equal(STAGE_ORDER.length, 17);
  assert.deepEqual(['browser.encode', 'network.up', 'server.queue', 'plugin.infer', 'cache.look'].map(sideOf), ['browser', 'network', 'server', 'plugin', 'server']);
});

test('numbers are as fine as they are worth', () => {
  assert.deepEqual([0, 40, 350, 12_345, 180_400, 2_500_000, 90_000_000].map(duration), ['0 µs', '40 µs', '0.35 ms', '12.3 ms', '180 ms', '2.50 s', '1.5 min']);
  assert.deepEqual([-3500, 0, 3500].map(difference), ['−3.50 ms', '±0', '+3.50 ms']);
  assert.deepEqual([0, 0.001, 0.256].map(percent), ['0 %', '< 1 %', '26 %']);
  assert.deepEqual([12, 21_000, 3_000_000].map(byteCount), ['12 B', '21.0 kB', '3.00 MB']);
});

test('a trace in a line says what happened to it', () => {
  assert.match(traceInWords(traceOf()), /^Frame 12 of session 3, [\d:.]+: 30.0 ms, in time. Nothing out of the ordinary.$/);
  assert.match(traceInWords(traceOf({ outcome: 'dropped', reason: 'backend_failed', message: 'It broke.' })), /dropped: backend failed. It broke.$/);
});

test('a verdict is its first sentence, whatever numbers stand in it', () => {
  assert.deepEqual(splitVerdict('1 took 0.5 ms. 2 took 3 s. All is well.'), ['1 took 0.5 ms.', '2 took 3 s. All is well.']);
  assert.deepEqual(splitVerdict('All is well.'), ['All is well.', '']);
});
