import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Lab } from './support/lab.mjs';
import { pictureFile } from './support/media.mjs';
import { isFirefox, Visitor } from './support/visitor.mjs';

/** On the page of a lab, with a picture that stands still and is not mirrored. */
async function arrive(t) {
  const lab = new Lab(t);
  const visitor = await Visitor.arrive(t, { server: await lab.serve(t), path: '/#softEdge=false&mirror=false' });
  await visitor.page.setInputFiles('#file', pictureFile(t));
  await visitor.reads('Live');
  return { lab, visitor, page: visitor.page };
}

/** Remembers in the page what the canvas shows now. */
const keepPixels = (page, name) =>
  page.evaluate((key) => {
    const { stage } = window.segue.page;
    stage.repaint();
    const { width, height } = stage.canvas;
    const context = new OffscreenCanvas(width, height).getContext('2d');
    context.drawImage(stage.canvas, 0, 0);
    window.kept = { ...window.kept, [key]: context.getImageData(0, 0, width, height).data };
  }, name);

/** The share of the values in which two of them differ. */
const differ = (page, one, other) =>
  page.evaluate((keys) => {
    const [a, b] = keys.map((key) => window.kept[key]);
    return a.reduce((sum, value, at) => sum + (Math.abs(value - b[at]) > 4 ? 1 : 0), 0) / a.length;
  }, [one, other]);

const splitIsAt = (page) => page.locator('#split').getAttribute('aria-valuenow').then(Number);

test('two modes answer the same frames: each on its side of a line that keys and pointer move', async (t) => {
  const { visitor, page } = await arrive(t);
  await visitor.isAnsweredBy('low');
  await keepPixels(page, 'low alone');
  await visitor.choose('high');
  await visitor.isAnsweredBy('high');
  await keepPixels(page, 'high alone');
  await visitor.choose('low');
  await visitor.isAnsweredBy('low');
  assert.ok((await differ(page, 'low alone', 'high alone')) > 0.02, 'the modes are to be told apart');

  await page.selectOption('#compare', 'high');
  await page.locator('#agreement').waitFor();
  await page.waitForFunction(() => window.segue.page.painted?.other?.mode.name === 'high');
  assert.match(await page.textContent('#tag-first'), /^low · \d+ ms$/);
  assert.match(await page.textContent('#tag-second'), /^high · \d+ ms$/);
  const own = await page.evaluate(() => {
    const [first, second] = [window.segue.page.painted.mask, window.segue.page.painted.other.mask].map(({ classIds }) => classIds);
    return first.reduce((sum, id, at) => sum + (id === second[at] ? 1 : 0), 0) / first.length;
  });
  const said = Number.parseFloat(await page.textContent('#agreement'));
  assert.ok(Math.abs(said - 100 * own) < 0.2, `${said} % is said, ${100 * own} % it is`);

  await page.focus('#split');
  for (const [key, at, mode] of [['End', 100, 'low alone'], ['Home', 0, 'high alone']]) {
    await page.keyboard.press(key);
    assert.equal(await splitIsAt(page), at);
    await keepPixels(page, key);
    assert.ok((await differ(page, key, mode)) < 0.002, `${key} shows ${mode}`);
  }
  await page.keyboard.press('ArrowRight');
  assert.equal(await splitIsAt(page), 2);

  const [stage, handle] = [await page.locator('#stage').boundingBox(), await page.locator('#split').boundingBox()];
  await page.mouse.move(handle.x + handle.width / 2, stage.y + stage.height / 2);
  await page.mouse.down();
  await page.mouse.move(stage.x + 0.25 * stage.width, stage.y + stage.height / 2, { steps: 4 });
  await page.mouse.up();
  assert.ok(Math.abs((await splitIsAt(page)) - 25) <= 1);

  await page.selectOption('#compare', '');
  await page.locator('#agreement').waitFor({ state: 'hidden' });
  await page.waitForFunction(() => window.segue.page.painted?.other === null);
  await keepPixels(page, 'afterwards');
  assert.ok((await differ(page, 'afterwards', 'low alone')) < 0.002, 'one mode has all of it again');
  if (!isFirefox) assert.deepEqual([visitor.sockets, visitor.closedSockets], [2, 1]);
  assert.deepEqual(visitor.complaints, []);
});

test('a comparison outlives a reload and the server', async (t) => {
  const { lab, visitor, page } = await arrive(t);
  await page.selectOption('#compare', 'high');
  await page.locator('#agreement').waitFor();
  await page.reload();
  await visitor.goLive();
  await page.locator('#agreement').waitFor();
  assert.equal(await page.inputValue('#compare'), 'high');

  await visitor.server.close();
  await visitor.reads('The server is gone');
  await lab.serve(t, visitor.server.port);
  await visitor.reads('Live');
  await page.waitForFunction(() => window.segue.page.painted?.other?.mode.name === 'high');
  visitor.assertNoOtherComplaints();
});

/** Of the pixels of each class, the share that is painted over. */
const paintedOver = (page) =>
  page.evaluate(() => {
    const { stage } = window.segue.page;
    stage.repaint();
    const { picture, mask, mode } = stage.painted;
    const pixelsOf = (source) => {
      const context = new OffscreenCanvas(mask.widthPx, mask.heightPx).getContext('2d');
      context.drawImage(source, 0, 0, mask.widthPx, mask.heightPx);
      return context.getImageData(0, 0, mask.widthPx, mask.heightPx).data;
    };
    const [shown, plain] = [pixelsOf(stage.canvas), pixelsOf(picture)];
    const counts = mode.labels.map(() => ({ all: 0, changed: 0 }));
    mask.classIds.forEach((id, at) => {
      counts[id].all += 1;
      if ([0, 1, 2].some((part) => Math.abs(shown[4 * at + part] - plain[4 * at + part]) > 4)) counts[id].changed += 1;
    });
    return Object.fromEntries(mode.labels.map((label, id) => [label, counts[id].changed / counts[id].all]));
  });

test('a class is hidden, shown alone and shown again, in the legend and in the picture', async (t) => {
  const { visitor, page } = await arrive(t);
  const filter = () => page.evaluate(() => [window.segue.settings.now.hidden, window.segue.settings.now.only]);
  const row = (name) => page.locator('#legend li', { hasText: name });
  const assertPainted = async (...labels) => {
    const shares = await paintedOver(page);
    for (const label of ['dark', 'bright']) assert.ok(labels.includes(label) ? shares[label] > 0.7 : shares[label] < 0.03, JSON.stringify({ labels, shares }));
    for (const label of ['dark', 'bright']) {
      assert.equal(await row(label).locator('.legend-toggle').getAttribute('aria-pressed'), String(labels.includes(label)));
    }
  };
  await row('bright').waitFor();
  await assertPainted('dark', 'bright');
  await row('bright').locator('.legend-solo').click();
  assert.deepEqual(await filter(), [[], 'bright']);
  await assertPainted('bright');
  await row('dark').locator('.legend-toggle').click();
  assert.deepEqual(await filter(), [[], ''], 'another class joins the one that was alone');
  await assertPainted('dark', 'bright');

  await row('dark').locator('.legend-toggle').click({ modifiers: ['Shift'] });
  await assertPainted('dark');
  await page.click('#legend-all');
  await page.locator('#legend-all').waitFor({ state: 'hidden' });
  await row('bright').locator('.legend-toggle').click();
  await assertPainted('dark');
  await visitor.choose('high');
  await visitor.isAnsweredBy('high');
  assert.deepEqual(await filter(), [['bright'], ''], 'what is hidden stays hidden in another mode');
  await assertPainted('dark');
  await page.keyboard.press('a');
  await assertPainted('dark', 'bright');
  assert.deepEqual(visitor.complaints, []);
});
