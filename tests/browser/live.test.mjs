import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { showsPerson } from './support/browsers.mjs';
import { segue } from './support/segue_server.mjs';
import { Visitor } from './support/visitor.mjs';

/** Where the canvas differs from the picture that was segmented, with the very JPEG it was sent as. */
function lookAtCanvas(page) {
  return page.evaluate(() => {
    const { stage } = window.segue.page;
    stage.repaint();
    const { painted, canvas } = stage;
    const pixelsOf = (source) => {
      const context = new OffscreenCanvas(source.width, source.height).getContext('2d');
      context.drawImage(source, 0, 0);
      return context.getImageData(0, 0, source.width, source.height).data;
    };
    const [data, plain] = [pixelsOf(canvas), pixelsOf(painted.picture)];
    const { width, height } = painted.picture;
    // Side by side the mask is in the right half.
    const [left, top] = [canvas.width - width, canvas.height - height];
    const placeOf = (pixel) => (top + Math.floor(pixel / width)) * canvas.width + left + (pixel % width);
    const differs = (pixel) => [0, 1, 2].some((part) => Math.abs(data[placeOf(pixel) * 4 + part] - plain[pixel * 4 + part]) > 2);
    const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
    return {
      width,
      height,
      mode: painted.mode.name,
      labels: painted.mode.labels,
      isPainted: base64(Uint8Array.from({ length: width * height }, (_, pixel) => (differs(pixel) ? 1 : 0))),
      jpeg: base64(painted.jpeg ?? []),
    };
  });
}

test('a person in front of the camera gets a mask that fits', async (t) => {
  const visitor = await Visitor.arrive(t);
  const { page } = visitor;
  await page.evaluate(() => window.segue.stream.keepFrames(32));
  await page.locator('label', { hasText: 'Soft edges' }).click();
  await page.locator('label', { hasText: 'Mirror' }).click();
  await visitor.goLive();
  await visitor.sees(20);
  await page.waitForFunction(() => window.segue.page.painted?.encoding === 1);
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
    snapshot: window.segue.stream.pulse.snapshot,
    roundTrip: window.segue.stream.pulse.roundTripMicros,
    inFlight: window.segue.stream.inFlightCount,
    limit: window.segue.stream.limits.maxInFlight,
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
  await page.waitForFunction(() => window.segue.page.painted?.encoding === 1);
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
  await page.locator('label', { hasText: 'Mirror' }).click();
  const views = await page.locator('#views label').all();
  for (const view of views) {
    await view.click();
    await visitor.sees(3);
    const { isPainted } = await lookAtCanvas(page);
    assert.ok(Buffer.from(isPainted, 'base64').includes(1) || !showsPerson, `${await view.textContent()} paints`);
  }
  const mode = await visitor.otherMode();
  if (!mode) return t.diagnostic('SKIPPED: the server has one mode only');
  await visitor.choose(mode);
  await visitor.isAnsweredBy(mode);
  await page.waitForFunction((name) => document.getElementById('model').textContent.startsWith(name), mode);
  assert.equal(await page.locator('input[name="mode"]:checked').getAttribute('value'), mode);
  assert.deepEqual(visitor.complaints, []);
});
