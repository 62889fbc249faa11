/** What only Firefox has to be asked: where it differs, and, since nobody is in front of its camera, what a clip shows. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isFirefox, Visitor } from '../support/visitor.mjs';

assert.ok(isFirefox, 'SEGUE_BROWSER is to be firefox: in another browser these tests say nothing');

const data = process.env.SEGUE_TEST_DATA;
const walk = data && join(data, 'media/webcam/walk.mkv');
const showsPerson = Boolean(walk && existsSync(walk));
const source = showsPerson ? ['-i', walk] : ['-f', 'lavfi', '-i', 'testsrc=size=640x480:rate=15:duration=3'];

/** A file that ffmpeg makes of the clip. */
function made(t, name, ...options) {
  const folder = mkdtempSync(join(tmpdir(), 'segue-firefox-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, name);
  const { status, stderr, error } = spawnSync('ffmpeg', ['-v', 'error', ...source, ...options, file], { encoding: 'utf8' });
  assert.equal(status, 0, `ffmpeg could not make ${name}: ${stderr ?? error}`);
  return file;
}

const clipOf = (t) => made(t, 'clip.webm', '-t', '3', '-an', '-c:v', 'libvpx', '-deadline', 'realtime', '-b:v', '2M');

/** Someone who is live with a file instead of the camera, which must not be asked for. */
async function liveWith(t, file) {
  const visitor = await Visitor.arrive(t);
  // A file that is chosen is shown at once.
  await visitor.page.setInputFiles('#file', file);
  await visitor.reads('Live');
  await visitor.sees(5);
  return visitor;
}

/** The share of the canvas that differs from the picture below the mask; side by side, of its right half. */
function sharePainted(page) {
  return page.evaluate(() => {
    const { stage } = window.segue.page;
    stage.repaint();
    const { painted, canvas } = stage;
    const pixelsOf = (image) => {
      const context = new OffscreenCanvas(image.width, image.height).getContext('2d');
      context.drawImage(image, 0, 0);
      return context.getImageData(0, 0, image.width, image.height).data;
    };
    const [drawn, plain] = [pixelsOf(canvas), pixelsOf(painted.picture)];
    const { width, height } = painted.picture;
    const left = canvas.width - width;
    let differing = 0;
    for (let pixel = 0; pixel < width * height; pixel += 1) {
      const place = Math.floor(pixel / width) * canvas.width + left + (pixel % width);
      if ([0, 1, 2].some((part) => Math.abs(drawn[4 * place + part] - plain[4 * pixel + part]) > 2)) differing += 1;
    }
    return differing / (width * height);
  });
}

test('the page reads the camera for the worker, and paints as quickly as the machine can', async (t) => {
  const visitor = await Visitor.arrive(t);
  await visitor.goLive();
  await visitor.sees(5);
  const { kind, renderer, readsInWorker } = await visitor.page.evaluate(() => {
    const gl = document.createElement('canvas').getContext('webgl2');
    return {
      kind: window.segue.page.stage.painterKind,
      renderer: gl && gl.getParameter(gl.RENDERER),
      readsInWorker: 'MediaStreamTrackProcessor' in window,
    };
  });
  t.diagnostic(`painted by ${kind}, where WebGL is ${renderer}`);
  assert.equal(readsInWorker, false);
  // WebGL without a graphics card is slower than a plain canvas.
  if (!renderer || /llvmpipe|software/i.test(renderer)) assert.equal(kind, '2d');
  assert.deepEqual(visitor.complaints, []);
});

test('a clip paints in each view, and a class can be shown alone', async (t) => {
  const visitor = await liveWith(t, clipOf(t));
  const { page } = visitor;
  await page.evaluate(() => window.segue.settings.set('mirror', false));
  for (const view of ['filled', 'contour', 'side-by-side', 'blend', 'cut-out']) {
    await page.evaluate((name) => window.segue.settings.set('view', name), view);
    await visitor.sees(3);
    const share = await sharePainted(page);
    t.diagnostic(`${view} changes ${(100 * share).toFixed(1)} % of the picture`);
    if (showsPerson) assert.ok(share > 0.001 && share < 0.999, `${view} changes ${share} of the picture`);
  }
  if (!showsPerson) return t.diagnostic('SKIPPED: SEGUE_TEST_DATA has no media/webcam/walk.mkv, so nobody is in the clip');
  const person = page.locator('#legend li', { hasText: 'person' });
  await person.locator('button', { hasText: 'Only' }).click();
  await page.waitForFunction(() => window.segue.settings.now.only === 'person');
  assert.deepEqual(visitor.complaints, []);
});

test('a picture is a source, and a snapshot is as large as the canvas', async (t) => {
  const visitor = await liveWith(t, made(t, 'picture.png', '-frames:v', '1'));
  const { page } = visitor;
  // No event of a download comes from Firefox here: the file is looked at as the page hands it over.
  await page.evaluate(() => {
    const make = URL.createObjectURL;
    window.saved = new Promise((resolve) => {
      URL.createObjectURL = (blob) => {
        resolve(blob);
        return make.call(URL, blob);
      };
    });
  });
  await page.click('#snapshot');
  const png = Buffer.from(await page.evaluate(async () => [...new Uint8Array(await (await window.saved).arrayBuffer())]));
  assert.equal(png.toString('latin1', 1, 4), 'PNG');
  const size = await page.evaluate(() => [window.segue.page.stage.canvas.width, window.segue.page.stage.canvas.height]);
  assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], size);
  assert.deepEqual(visitor.complaints, []);
});

test('what was chosen is still chosen after a reload', async (t) => {
  const visitor = await Visitor.arrive(t);
  const { page } = visitor;
  await page.keyboard.press('v');
  await page.keyboard.press('m');
  // Without the part of the address that says the same.
  await page.goto(new URL('/traces', visitor.server.url).href);
  await page.goto(visitor.server.url);
  await visitor.reads('Ready');
  assert.equal(await page.locator('input[name="view"]:checked').getAttribute('value'), 'contour');
  assert.equal(await page.isChecked('#mirror'), false);
  assert.deepEqual(visitor.complaints, []);
});
