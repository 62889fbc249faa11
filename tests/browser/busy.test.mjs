import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GRAPHICS } from './support/browsers.mjs';
import { SegueServer } from './support/segue_server.mjs';
import { Visitor } from './support/visitor.mjs';

const BUSY_MILLIS = 150;
const PERIOD_MILLIS = 200;
const FRAMES = 40;

/** The frames that were answered and painted from now on, once there are so many, and how many were sent in a second. */
async function framesFromNow(server) {
  const tracesOf = async (query) => (await fetch(`${server.url}/v1/traces?${query}`)).json();
  const { now_micros: since } = await tracesOf('limit=1');
  for (;;) {
    const { traces, now_micros: now } = await tracesOf(`limit=10000&since=${since}`);
    const settled = traces.filter((trace) => trace.is_settled);
    if (settled.length >= FRAMES) return { frames: settled, perSecond: traces.length / ((now - since) / 1e6) };
  }
}

/** Of those that were painted, where it is a stage after the answer. The share `quantile` of the frames spent at most so many milliseconds in `stage`. */
function millisIn(frames, stage, quantile) {
  const times = frames.flatMap(({ stages }) => stages.filter((one) => one.stage === stage).map((one) => one.duration_micros / 1000));
  assert.ok(times.length >= 10, `${stage} is told of ${times.length} of ${frames.length} frames`);
  return times.sort((a, b) => a - b)[Math.floor(quantile * (times.length - 1))];
}

test('a page that is kept busy holds no frame up: it paints late, and that is all', async (t) => {
  const server = await SegueServer.startFor(t);
  // Without a graphics card, Chromium's workers wait for the page when they draw a frame of the camera.
  const visitor = await Visitor.arrive(t, { server, graphics: GRAPHICS.card });
  const { page } = visitor;
  await visitor.goLive();
  await visitor.sees(20);
  const calm = await framesFromNow(server);
  await page.evaluate(
    ([busyMillis, periodMillis]) => {
      setInterval(() => {
        const until = performance.now() + busyMillis;
        while (performance.now() < until);
      }, periodMillis);
    },
    [BUSY_MILLIS, PERIOD_MILLIS],
  );
  const busy = await framesFromNow(server);

  const told = (stage) => [calm, busy].map(({ frames }) => millisIn(frames, stage, 0.9));
  const [encode, decode, paint] = ['browser.encode', 'browser.decode', 'browser.paint'].map(told);
  t.diagnostic(`frames a second ${calm.perSecond.toFixed(1)}, then ${busy.perSecond.toFixed(1)}`);
  t.diagnostic(`nine of ten, in ms: encode ${encode.join(', then ')}; decode ${decode.join(', then ')}; paint ${paint.join(', then ')}`);
  assert.ok(busy.perSecond > 0.5 * calm.perSecond, `${busy.perSecond} frames a second after ${calm.perSecond}`);
  for (const [, millis] of [encode, decode]) assert.ok(millis < BUSY_MILLIS / 2, `a stage in the worker takes ${millis} ms`);
  assert.ok(paint[1] > paint[0], 'painting waits');
  assert.deepEqual(await page.evaluate(() => window.segue.stream.pulse.snapshot.dropped), {});
  await visitor.sees(5);
  assert.deepEqual(visitor.complaints, []);
});
