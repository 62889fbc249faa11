import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Visitor } from './support/visitor.mjs';

test('nothing is wider than the screen, be it small, lying or large', async (t) => {
  const visitor = await Visitor.arrive(t, { viewport: { width: 360, height: 640 } });
  const { page } = visitor;
  await visitor.goLive();
  await page.locator('label', { hasText: 'By hand' }).click();
  await page.click('#operator-summary');
  for (const [width, height] of [[360, 640], [390, 844], [844, 390], [1280, 800]]) {
    await page.setViewportSize({ width, height });
    for (const view of ['side-by-side', 'cut-out', 'filled']) {
      await page.evaluate((name) => window.segue.settings.set('view', name), view);
      await visitor.sees(1);
      const size = `${width}x${height}, ${view}`;
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width, size);
      const stage = await page.locator('#stage').boundingBox();
      assert.ok(stage.width <= width && stage.height <= height, `${size}: the stage is ${stage.width}x${stage.height}`);
    }
  }
  assert.deepEqual(visitor.complaints, []);
});

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
  const isMirrored = await page.isChecked('#mirror');
  await page.keyboard.press('m');
  assert.equal(await page.isChecked('#mirror'), !isMirrored);
  assert.equal(await page.evaluate(() => window.segue.settings.now.mirror), !isMirrored);

  await page.keyboard.press('?');
  await page.locator('dialog[open]').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('dialog[open]').waitFor({ state: 'detached' });
  await page.click('#help-open');
  await page.click('#help-close');
  await page.locator('dialog[open]').waitFor({ state: 'detached' });

  for (const [key, setting, values] of [['l', 'labels', [true, false]], ['o', 'over', ['live', 'frame']]]) {
    for (const value of values) {
      await page.keyboard.press(key);
      assert.equal(await page.evaluate((name) => window.segue.settings.now[name], setting), value, `${key} sets ${setting}`);
    }
  }
  await page.keyboard.press('k');
  await page.locator('#toast', { hasText: 'trace is kept' }).waitFor();

  const stops = [];
  for (let press = 0; press < 80 && stops.at(-1) !== 'operator-summary'; press += 1) {
    await page.keyboard.press('Tab');
    stops.push(await focused());
  }
  const wanted = ['start', 'source', 'snapshot', 'record', 'mode', 'compare', 'view', 'opacity', 'over', 'soft-edge', 'label-names', 'mirror', 'by-hand', 'server', 'copy-link', 'keep-trace', 'operator-summary'];
  assert.deepEqual(wanted.filter((stop) => !stops.includes(stop)), [], `Tab reaches everything: ${stops}`);
  assert.deepEqual(stops.filter((stop) => wanted.includes(stop)), wanted, 'in the order in which it is seen');

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
