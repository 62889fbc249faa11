import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Visitor } from './support/visitor.mjs';

for (const [width, height] of [[360, 640], [390, 844], [844, 390], [1280, 800]]) {
  test(`nothing is wider than a screen of ${width}x${height}`, async (t) => {
    const visitor = await Visitor.arrive(t, { viewport: { width, height } });
    await visitor.goLive();
    await visitor.sees(2);
    assert.equal(await visitor.page.evaluate(() => document.documentElement.scrollWidth), width);
    const stage = await visitor.page.locator('#stage').boundingBox();
    assert.ok(stage.width <= width && stage.height <= height, `the stage is ${stage.width}x${stage.height}`);
  });
}

test('everything can be done by keyboard', async (t) => {
  const visitor = await Visitor.arrive(t);
  const { page } = visitor;
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.name);

  await page.keyboard.press('Space');
  await visitor.reads('Live');
  await page.keyboard.press('v');
  assert.equal(await page.locator('input[name="view"]:checked').getAttribute('value'), 'contour');
  for (let views = 1; views < 5; views += 1) await page.keyboard.press('v');
  assert.equal(await page.locator('input[name="view"]:checked').getAttribute('value'), 'filled');
  await page.keyboard.press('m');
  assert.equal(await page.isChecked('#mirror'), false);
  assert.equal(await page.evaluate(() => window.segue.settings.now.mirror), false);

  await page.keyboard.press('?');
  await page.locator('dialog[open]').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('dialog[open]').waitFor({ state: 'detached' });
  await page.click('#help-open');
  await page.click('#help-close');
  await page.locator('dialog[open]').waitFor({ state: 'detached' });

  // Modes that are not installed have a button each, which copies their command.
  const stops = [];
  for (let press = 0; press < 16 && !stops.includes('mirror'); press += 1) {
    await page.keyboard.press('Tab');
    stops.push(await focused());
  }
  for (const stop of ['start', 'mode', 'view', 'opacity', 'soft-edge', 'mirror']) assert.ok(stops.includes(stop), `Tab reaches ${stop}: ${stops}`);

  const mode = await visitor.otherMode();
  if (mode) {
    const position = await page.evaluate((name) => window.segue.stream.modes.findIndex((one) => one.name === name) + 1, mode);
    await page.keyboard.press(String(position));
    await visitor.isAnsweredBy(mode);
  } else t.diagnostic('SKIPPED: the server has one mode only');

  await page.focus('#start');
  await page.keyboard.press('Space');
  await visitor.reads('Ready');
  await page.focus('input[name="mode"]:checked');
  await page.keyboard.press('Space');
  await visitor.reads('Live');
  assert.deepEqual(visitor.complaints, []);
});
