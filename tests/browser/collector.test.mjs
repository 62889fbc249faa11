import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Collector } from './support/collector.mjs';
import { SegueServer } from './support/segue_server.mjs';
import { Visitor } from './support/visitor.mjs';

/** What each painted frame of a page goes through. */
const STAGES = [
  'browser.encode',
  'browser.send',
  'network.up',
  'server.receive',
  'server.queue',
  'server.decode',
  'plugin.infer',
  'server.encode',
  'server.send',
  'network.down',
  'browser.decode',
  'browser.paint',
];

/** What share of `top` its stages account for. */
function covered(top, spans) {
  const time = (span, name) => BigInt(span[name]);
  const stages = spans.filter((span) => span.Name.includes('.'));
  stages.sort((a, b) => Number(time(a, 'Start time') - time(b, 'Start time')));
  let until = time(top, 'Start time');
  let sum = 0n;
  for (const stage of stages) {
    const [start, end] = [time(stage, 'Start time'), time(stage, 'End time')];
    if (end <= until) continue;
    sum += end - (start > until ? start : until);
    until = end;
  }
  return Number(sum) / Number(time(top, 'End time') - time(top, 'Start time'));
}

test('a frame of a page arrives at a collector as one tree, from the camera to the screen', async (t) => {
  const collector = await Collector.startFor(t);
  if (!collector) return;
  const set = [`telemetry.otlp.endpoint=${collector.url}`, 'telemetry.traces.sample_ratio=1.0'];
  const visitor = await Visitor.arrive(t, { server: await SegueServer.startFor(t, { set }) });
  await visitor.goLive();
  await visitor.sees(30);

  const spans = await collector.finds((all) => {
    const painted = all.filter((span) => span.Name === 'browser.paint').map((span) => span['Trace ID']);
    const whole = painted.map((id) => all.filter((span) => span['Trace ID'] === id));
    // The first frames wait for code to be compiled and caches to be filled.
    return whole.slice(10).find((trace) => STAGES.every((name) => trace.some((span) => span.Name === name && span['End time'])));
  });

  const ids = new Set(spans.map((span) => span.ID));
  assert.equal(ids.size, spans.length);
  const tops = spans.filter((span) => span['Parent ID'] === '');
  assert.deepEqual(tops.map((span) => span.Name), ['frame']);
  const [top] = tops;
  for (const span of spans) {
    assert.ok(span === top || ids.has(span['Parent ID']), `${span.Name} has a parent`);
    assert.ok(BigInt(span['Start time']) <= BigInt(span['End time']), `${span.Name} does not end before it begins`);
    assert.ok(BigInt(span['Start time']) >= BigInt(top['Start time']), `${span.Name} begins within the frame`);
    assert.ok(BigInt(span['End time']) <= BigInt(top['End time']), `${span.Name} ends within the frame`);
  }
  const scopes = new Set(spans.map((span) => span.scope));
  assert.deepEqual([...scopes].sort(), ['segue.browser', 'segue.network', 'segue.plugin', 'segue.server']);
  const share = covered(top, spans);
  t.diagnostic(`${spans.length} spans account for ${(100 * share).toFixed(1)} % of the frame`);
  assert.ok(share >= 0.95, `${share} of the frame`);
  assert.deepEqual(visitor.complaints, []);
});
