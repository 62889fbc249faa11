/** What half an hour of frames leaves behind, by the frames of some minutes: a picture lost now and then would be seen. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { SegueServer } from '../support/segue_server.mjs';
import { CAMERA, Visitor } from '../support/visitor.mjs';

/** Until caches are filled, code is compiled and the flight recorder is full. */
const WARM_UP_FRAMES = 1500;
const FRAMES = Number(process.env.SEGUE_SOAK_FRAMES ?? 3000);
const FRAMES_A_ROUND = 250;

/** One picture of 640x480, decoded, is 1.2 MB; the browser's own comings and goings are 7 MB. */
const MOST_RENDERER_BYTES = 16e6;
const MOST_HEAP_BYTES = 1e6;
const MOST_SERVER_BYTES = 16e6;

/**
 * Of the renderer that has most: what its process has allocated, pictures among it. Without what it shares with others: that
 * is mostly a cache which the browser fills to its brim, whatever the page does.
 */
async function ownBytesOf(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  const owns = processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => /RssAnon:\s+(\d+) kB/.exec(readFileSync(`/proc/${id}/status`, 'utf8')));
  return Math.max(...owns.map(([, kilobytes]) => 1024 * Number(kilobytes)));
}

/** Of the page with its worker, of the page's objects alone, and of the server. */
async function measure({ page, server, streamWorker }) {
  const worker = streamWorker();
  for (let turn = 0; turn < 3; turn += 1) {
    await page.evaluate(() => window.gc());
    await worker.evaluate(() => self.gc());
  }
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  return {
    renderer: await ownBytesOf(page.context().browser()),
    heap: await page.evaluate(() => performance.memory.usedJSHeapSize),
    server: Number(/^segue_resident_memory_bytes (\S+)/m.exec(metrics)[1]),
  };
}

/** Frames with all that users do meanwhile: the same each round. */
async function useIt(visitor, frames, mode) {
  const { page } = visitor;
  for (let seen = 0; seen < frames; seen += FRAMES_A_ROUND) {
    for (const view of ['contour', 'side-by-side', 'blend', 'cut-out', 'filled']) {
      await page.evaluate((name) => window.segue.settings.set('view', name), view);
      await visitor.sees(FRAMES_A_ROUND / 10);
    }
    if (mode) await page.selectOption('#compare', mode);
    await page.evaluate(() => window.segue.settings.set('labels', !window.segue.settings.now.labels));
    await visitor.sees(FRAMES_A_ROUND / 4);
    if (mode) await page.selectOption('#compare', '');
    await page.click('#start');
    await visitor.reads('Ready');
    await visitor.goLive();
    await visitor.sees(FRAMES_A_ROUND / 4);
  }
}

test('neither page nor server grow with the frames', async (t) => {
  const server = await SegueServer.startFor(t, { set: ['capture.min_frame_interval_millis=0', 'telemetry.log="warn"'] });
  const flags = ['--js-flags=--expose-gc', '--enable-precise-memory-info'];
  const visitor = await Visitor.arrive(t, { server, camera: CAMERA.quick, flags });
  const mode = await visitor.otherMode();
  const parts = { page: visitor.page, server, streamWorker: () => visitor.streamWorker() };
  await visitor.goLive();
  await useIt(visitor, WARM_UP_FRAMES, mode);
  const before = await measure(parts);
  const start = performance.now();
  await useIt(visitor, FRAMES, mode);
  const after = await measure(parts);
  const grown = Object.fromEntries(Object.keys(after).map((part) => [part, after[part] - before[part]]));
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  t.diagnostic(`${FRAMES} frames in ${((performance.now() - start) / 1000).toFixed(0)} s`);
  for (const part of Object.keys(after)) t.diagnostic(`${part}: ${megabytes(before[part])}, and ${megabytes(grown[part])} more`);
  assert.ok(grown.renderer < MOST_RENDERER_BYTES && grown.heap < MOST_HEAP_BYTES && grown.server < MOST_SERVER_BYTES, JSON.stringify(grown));
  assert.deepEqual(visitor.complaints, []);
});
