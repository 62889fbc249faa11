import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { showsPerson } from './support/clip.mjs';
import { segue } from './support/segue_server.mjs';
import { Visitor } from './support/visitor.mjs';

/** What the canvas shows at this moment, with the very JPEG it was made from. */
function lookAtCanvas(page) {
  return page.evaluate(() => {
    const { painted, frames } = window.segue.page;
    const canvas = document.getElementById('overlay');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
    return {
      width: canvas.width,
      height: canvas.height,
      mode: painted.mode.name,
      labels: painted.mode.labels,
      isPainted: base64(Uint8Array.from({ length: data.length / 4 }, (_, pixel) => (data[pixel * 4 + 3] > 0 ? 1 : 0))),
      jpeg: base64(frames.jpeg(painted.result.frameId)),
    };
  });
}

test('a person in front of the camera gets a mask that fits', async (t) => {
  const visitor = await Visitor.arrive(t);
  const { page } = visitor;
  await page.evaluate(() => window.segue.page.frames.keep(32));
  await page.locator('label', { hasText: 'Soft edges' }).click();
  await visitor.goLive();
  await visitor.sees(20);
  await page.waitForFunction(() => window.segue.page.painted?.result.encoding === 1);
  const seen = await lookAtCanvas(page);

  const frame = join(mkdtempSync(join(tmpdir(), 'segue-frame-')), 'frame.jpg');
  writeFileSync(frame, Buffer.from(seen.jpeg, 'base64'));
  const expected = JSON.parse(segue('segment', frame, '--mode', seen.mode, '--json'));
  const ids = expected.runs.flatMap(([length, id]) => Array(length).fill(id));
  assert.deepEqual([seen.width, seen.height], [expected.width, expected.height]);

  const painted = Buffer.from(seen.isPainted, 'base64');
  const drawsClass0 = seen.labels[0] !== 'background';
  let both = 0;
  let either = 0;
  let person = 0;
  ids.forEach((id, pixel) => {
    const isExpected = id !== 0 || drawsClass0;
    both += isExpected && painted[pixel] ? 1 : 0;
    either += isExpected || painted[pixel] ? 1 : 0;
    person += seen.labels[id] === 'person' ? 1 : 0;
  });
  assert.ok(either === 0 || both / either >= 0.95, `the painted mask overlaps the expected one by ${both / either}`);
  if (!showsPerson) return t.diagnostic('SKIPPED: no test data, so nobody is in front of the camera');
  const share = person / ids.length;
  t.diagnostic(`IoU ${(both / either).toFixed(4)}, person ${(100 * share).toFixed(1)} % of the picture`);
  assert.ok(share > 0.08 && share < 0.7, `a person covers ${share} of the picture`);
  await page.locator('#legend li', { hasText: 'person' }).waitFor();
  assert.deepEqual(visitor.complaints, []);
});

test('the numbers are alive', async (t) => {
  const visitor = await Visitor.arrive(t);
  await visitor.goLive();
  await visitor.sees(10);
  for (const id of ['number-fps', 'number-median', 'number-p95', 'number-up', 'number-down', 'generation']) {
    await visitor.page.waitForFunction((name) => Number(document.getElementById(name).textContent) > 0, id);
  }
  const { snapshot, roundTrip, inFlight, limit } = await visitor.page.evaluate(() => ({
    snapshot: window.segue.stats.snapshot(),
    roundTrip: window.segue.session.clockSync.best?.roundTripMicros,
    inFlight: window.segue.session.inFlightCount,
    limit: window.segue.session.limits.maxInFlight,
  }));
  t.diagnostic(JSON.stringify(snapshot));
  assert.ok(roundTrip > 0, 'the clocks are aligned');
  assert.ok(inFlight <= limit);
  assert.deepEqual(visitor.complaints, []);
});

test('soft edges come when asked for and go when not', async (t) => {
  const visitor = await Visitor.arrive(t);
  const { page } = visitor;
  await visitor.goLive();
  const label = page.locator('label', { hasText: 'Soft edges' });
  await label.click();
  await page.waitForFunction(() => window.segue.page.painted?.result.encoding === 1);
  await label.click();
  await visitor.sees(5);
  const hasConfidence = await page.evaluate(() => window.segue.page.painted.mask.confidence !== null);
  if (!hasConfidence) t.diagnostic('the default mode gives no confidence');
  assert.deepEqual(visitor.complaints, []);
});

test('every view paints, and another mode answers when it is chosen', async (t) => {
  const visitor = await Visitor.arrive(t);
  const { page } = visitor;
  await visitor.goLive();
  const views = await page.locator('#views label').all();
  for (const view of views) {
    await view.click();
    await visitor.sees(3);
    const isPainted = await page.evaluate(() => {
      const canvas = document.getElementById('overlay');
      return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0);
    });
    assert.ok(isPainted || !showsPerson, `${await view.textContent()} paints`);
  }
  const mode = await visitor.otherMode();
  if (!mode) return t.diagnostic('SKIPPED: the server has one mode only');
  await visitor.choose(mode);
  await visitor.isAnsweredBy(mode);
  await page.waitForFunction((name) => document.getElementById('model').textContent.startsWith(name), mode);
  assert.equal(await page.locator('input[name="mode"]:checked').getAttribute('value'), mode);
  assert.deepEqual(visitor.complaints, []);
});
