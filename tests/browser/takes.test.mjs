import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { pictureFile, probe } from './support/media.mjs';
import { Visitor } from './support/visitor.mjs';

/** How far the pixels of a PNG are from those of the canvas, at their worst; sizes are to be the same. */
function distanceFromCanvas(page, png) {
  return page.evaluate(async (base64) => {
    const { stage } = window.segue.page;
    const picture = await createImageBitmap(new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))]));
    const pixelsOf = (source) => {
      const context = new OffscreenCanvas(source.width, source.height).getContext('2d');
      context.drawImage(source, 0, 0);
      return context.getImageData(0, 0, source.width, source.height).data;
    };
    stage.repaint();
    const [saved, shown] = [pixelsOf(picture), pixelsOf(stage.canvas)];
    return { sizes: [picture.width, picture.height, stage.canvas.width, stage.canvas.height], by: saved.reduce((most, value, at) => Math.max(most, Math.abs(value - shown[at])), 0) };
  }, png.toString('base64'));
}

async function downloadOf(page, deed) {
  const [download] = await Promise.all([page.waitForEvent('download'), deed()]);
  return { name: download.suggestedFilename(), path: await download.path() };
}

test('a snapshot is what the canvas shows, in each view, with its names and without', async (t) => {
  const visitor = await Visitor.arrive(t);
  const { page } = visitor;
  assert.equal(await page.isDisabled('#snapshot'), true, 'there is nothing to take yet');
  // A picture stands still between one look and the next.
  await page.setInputFiles('#file', pictureFile(t));
  await visitor.reads('Live');
  for (const view of ['filled', 'side-by-side', 'cut-out']) {
    await page.locator(`input[name="view"][value="${view}"]`).check({ force: true });
    await visitor.sees(1);
    const { name, path } = await downloadOf(page, () => page.click('#snapshot'));
    assert.match(name, new RegExp(`^segue-.+-${view}-.+\\.png$`));
    const { sizes, by } = await distanceFromCanvas(page, readFileSync(path));
    assert.deepEqual(sizes.slice(0, 2), sizes.slice(2), view);
    assert.ok(by <= 1, `${view} differs by ${by}`);
  }
  await page.keyboard.press('l');
  await visitor.sees(1);
  const hasNames = await page.evaluate(() => {
    const { width, height } = document.getElementById('labels');
    return width > 0 && document.getElementById('labels').getContext('2d').getImageData(0, 0, width, height).data.some((value) => value > 0);
  });
  const { path } = await downloadOf(page, () => page.keyboard.press('s'));
  const { by } = await distanceFromCanvas(page, readFileSync(path));
  if (hasNames) assert.ok(by > 50, 'the names are in the file');
  else t.diagnostic('SKIPPED: nothing in the picture has a name');
  assert.deepEqual(visitor.complaints, []);
});

test('a recording is a video of the canvas, and goes on over a change of view', async (t) => {
  const visitor = await Visitor.arrive(t);
  const { page } = visitor;
  await visitor.goLive();
  await page.keyboard.press('r');
  const button = page.locator('#record');
  await button.filter({ hasText: /Stop 0:01/ }).waitFor();
  assert.equal(await button.getAttribute('aria-pressed'), 'true');
  await page.keyboard.press('v');
  await button.filter({ hasText: /Stop 0:02/ }).waitFor();
  const { name, path } = await downloadOf(page, () => page.keyboard.press('r'));
  assert.match(name, /^segue-.+\.webm$/);
  const { streams, pictures, seconds } = probe(path);
  t.diagnostic(`${pictures} pictures, ${seconds} s of ${streams[0].codec_name}`);
  assert.deepEqual(streams.map(({ codec_type: type, width, height }) => [type, width, height]), [['video', 640, 480]]);
  assert.ok(seconds > 1 && pictures > 10);
  assert.equal(await button.textContent(), 'Record');

  await button.click();
  await button.filter({ hasText: /Stop 0:01/ }).waitFor();
  const cut = await downloadOf(page, () => page.click('#start'));
  assert.ok(probe(cut.path).pictures > 1, 'what there is when the stream is stopped is saved');
  assert.deepEqual(visitor.complaints, []);
});
