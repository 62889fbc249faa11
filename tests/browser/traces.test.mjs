import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Profiles } from './support/profiles.mjs';
import { SegueServer } from './support/segue_server.mjs';
import { CAMERA, Visitor } from './support/visitor.mjs';

/** Someone at the traces page, in a window of their own beside the visitor's whose frames it shows. */
class Hunter extends Visitor {
  static async join({ server, page: theirs }, { path = '/traces', viewport = { width: 1280, height: 800 } } = {}) {
    const context = await theirs.context().browser().newContext({ viewport });
    // At the end of a file the whole browser may be closed at the same time, and this with it.
    theirs.once('close', () => context.close().catch(() => {}));
    const hunter = await Hunter.in(context, server);
    await hunter.page.goto(new URL(path, server.url).href);
    return hunter;
  }

  get board() {
    return this.page.locator('#board');
  }

  async textOf(id) {
    return this.page.textContent(`#${id}`);
  }

  /** The text of an element becomes this. */
  async says(id, pattern) {
    await this.page.waitForFunction(([name, source]) => new RegExp(source).test(document.getElementById(name).textContent), [id, pattern.source]);
  }

  /** Stages of the open frame with their times, as its table says. */
  stages() {
    return this.page.locator('.waterfall tbody tr').evaluateAll((rows) => rows.map((row) => [row.cells[0].textContent, row.cells[3].textContent]));
  }

  /** Opens the slowest frame that was painted (a page skips a mask that a newer one overtook), and reads its stages. */
  async openPainted() {
    const links = this.page.locator('#slowest .open');
    const traces = await links.evaluateAll((rows) => rows.map((row) => row.dataset.trace));
    for (const trace of traces) {
      const before = await this.textOf('frame-heading');
      await this.page.locator(`#slowest [data-trace="${trace}"]`).click();
      await this.page.waitForURL(new RegExp(`trace=${trace}`));
      await this.page.waitForFunction((text) => document.getElementById('frame-heading').textContent !== text, before);
      await this.says('frame-heading', /^Frame \d+ of session \d+$/);
      const stages = await this.stages();
      if (stages.some(([name]) => name === 'browser.paint')) return stages;
    }
    throw new Error(`none of the ${traces.length} slowest frames was painted`);
  }

  /** Which share of a canvas is painted. */
  paintedShare(id) {
    return this.page.evaluate((name) => {
      const canvas = document.getElementById(name);
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return data.filter((value, position) => position % 4 === 3 && value > 0).length / (data.length / 4);
    }, id);
  }
}

/** A server with a camera in front of it, and so many masks painted. */
async function streamed(t, { masks = 40, ...options } = {}) {
  const server = await SegueServer.startFor(t, options);
  const visitor = await Visitor.arrive(t, { server });
  await visitor.goLive();
  await visitor.sees(masks);
  return visitor;
}

/** What chromium says of an answer that refuses something, and of a server that is away. */
const isExpected = (text) => /status of 404|ERR_CONNECTION/.test(text);

test('a frame that the camera sent can be followed from capture to paint', async (t) => {
  const visitor = await streamed(t);
  const hunter = await Hunter.join(visitor);
  const { page } = hunter;
  await hunter.board.waitFor();
  await hunter.reads('Following');
  assert.ok((await hunter.textOf('diagnosis-text')).length > 10);
  await page.selectOption('#filter-outcome', 'answered');
  await page.waitForURL(/outcome=answered/);
  const stages = await hunter.openPainted();
  for (const stage of ['browser.encode', 'network.up', 'server.decode', 'plugin.infer', 'network.down', 'browser.decode', 'browser.paint']) {
    assert.ok(stages.some(([name]) => name === stage), `${stage} is among ${stages}`);
  }
  assert.ok((await page.textContent('.frame-why')).length > 5);
  assert.ok((await hunter.paintedShare('lanes')) > 0.01 && (await hunter.paintedShare('heat')) > 0.01);

  const heading = await hunter.textOf('frame-heading');
  await page.keyboard.press('j');
  await page.waitForFunction((before) => document.getElementById('frame-heading').textContent !== before, heading);
  const [other, address] = [await hunter.textOf('frame-heading'), page.url()];
  await page.goto(address);
  await page.waitForFunction((text) => document.getElementById('frame-heading').textContent === text, other);
  assert.equal(await page.inputValue('#filter-outcome'), 'answered');
  assert.deepEqual([...visitor.complaints, ...hunter.complaints], []);
});

test('new frames come by themselves while they are followed, and none while not', async (t) => {
  const visitor = await streamed(t, { masks: 5 });
  const hunter = await Hunter.join(visitor);
  const { page } = hunter;
  await hunter.board.waitFor();
  const matched = async () => Number((await hunter.textOf('slowest-words')).replace(/\D/g, ''));
  const before = await matched();
  await page.waitForFunction((count) => Number(document.getElementById('slowest-words').textContent.replace(/\D/g, '')) > count, before);
  await page.keyboard.press('f');
  await hunter.reads('Standing still');
  assert.match(page.url(), /follow=0/);
  const requests = [];
  page.on('request', (request) => requests.push(request.url()));
  await visitor.sees(40);
  assert.deepEqual(requests, []);
});

test('the trace of a frame is kept by a key, and a link leads to it', async (t) => {
  const visitor = await streamed(t, { masks: 10 });
  const { page } = visitor;
  await page.keyboard.press('k');
  const link = page.locator('#toast a');
  await link.waitFor();
  const [opened] = await Promise.all([page.context().waitForEvent('page'), link.click()]);
  const hunter = new Hunter(visitor.server, opened);
  opened.setDefaultTimeout(60_000);
  await hunter.says('frame-body', /the client asked/);
  assert.equal(new URL(opened.url()).searchParams.get('trace'), await opened.textContent('.frame-facts code'));
  assert.deepEqual(visitor.complaints, []);
});

test('a reload is marked, and the stages before and after it stand side by side', async (t) => {
  const profiles = new Profiles(t);
  profiles.write('stage', { jpeg_quality: 80 });
  const visitor = await streamed(t, { profiles: profiles.directory, profile: 'stage', masks: 30 });
  const before = await visitor.page.evaluate(() => window.segue.stream.generation);
  profiles.edit('stage', [['jpeg_quality = 80', 'jpeg_quality = 35']]);
  await visitor.page.waitForFunction((generation) => window.segue.stream.generation > generation, before);
  await visitor.sees(30);
  const hunter = await Hunter.join(visitor);
  await hunter.board.waitFor();
  const after = await visitor.page.evaluate(() => window.segue.stream.generation);
  await hunter.says('compare-words', new RegExp(`Generation ${before}: [1-9].*Generation ${after}: [1-9].*The median changed by`));
  assert.equal(await hunter.page.inputValue('#compare-before'), String(before));
  await hunter.page.click('#marks-summary');
  await hunter.page.locator('#marks li', { hasText: 'jpeg_quality' }).waitFor();
  await hunter.page.selectOption('#compare-before', String(after));
  await hunter.page.waitForURL(new RegExp(`before=${after}`));
  assert.deepEqual([...visitor.complaints, ...hunter.complaints], []);
});

test('a range brushed on the heat map filters everything, and the way back is a button', async (t) => {
  const visitor = await streamed(t, { masks: 60 });
  const hunter = await Hunter.join(visitor);
  const { page } = hunter;
  await hunter.board.waitFor();
  await page.locator('#heat').scrollIntoViewIfNeeded();
  const { x, y, width } = await page.locator('#heat').boundingBox();
  await page.mouse.move(x + width * 0.4, y + 60);
  await page.mouse.down();
  await page.mouse.move(x + width * 0.95, y + 60, { steps: 4 });
  await page.mouse.up();
  await page.waitForURL(/since=\d+&until=\d+/);
  const query = new URL(page.url()).searchParams;
  const [since, until] = ['since', 'until'].map((key) => Number(query.get(key)));
  assert.ok(until > since);
  await hunter.reads('Standing still');
  await page.locator('#range-clear').click();
  await page.waitForFunction(() => location.search === '');
  await hunter.reads('Following');
  await page.goBack();
  await hunter.reads('Standing still');
  assert.deepEqual(hunter.complaints, []);
});

test('the lanes zoom and pan by wheel, drag and keys, and Enter opens a frame', async (t) => {
  const visitor = await streamed(t);
  const hunter = await Hunter.join(visitor, { path: '/traces?follow=0' });
  const { page } = hunter;
  await hunter.board.waitFor();
  const lanes = page.locator('#lanes');
  await lanes.scrollIntoViewIfNeeded();
  const picture = () => lanes.evaluate((canvas) => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(canvas.toDataURL())))));
  const { x, y, width } = await lanes.boundingBox();
  await page.mouse.move(x + width * 0.6, y + 40);
  const seen = [await picture()];
  const looksOther = async (deed) => {
    await deed();
    seen.push(await picture());
    assert.ok(seen.at(-1) !== seen.at(-2), `nothing came of ${deed}`);
  };
  await looksOther(async () => {
    // Without it, a wheel that scrolled the page a moment ago goes on scrolling it.
    await page.keyboard.down('Control');
    for (let turn = 0; turn < 4; turn += 1) await page.mouse.wheel(0, -60);
    await page.keyboard.up('Control');
  });
  await looksOther(async () => {
    await page.mouse.down();
    await page.mouse.move(x + width * 0.8, y + 40, { steps: 4 });
    await page.mouse.up();
  });
  await lanes.focus();
  for (const key of ['+', 'ArrowRight', '-', '0']) await looksOther(() => page.keyboard.press(key));
  await page.keyboard.press('ArrowUp');
  await hunter.says('lanes-words', /Enter opens it/);
  await page.keyboard.press('Enter');
  await page.waitForURL(/trace=/);
  await page.locator('.waterfall').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('.waterfall').waitFor({ state: 'detached' });
  await page.locator('label.segment', { hasText: 'One per lane' }).click();
  await page.waitForURL(/lanes=frames/);
  assert.deepEqual(hunter.complaints, []);
});

test('a capsule opens without its server, with the frame’s picture', async (t) => {
  const visitor = await streamed(t);
  const hunter = await Hunter.join(visitor);
  const { page } = hunter;
  await hunter.board.waitFor();
  const [traces, profile, modes] = await Promise.all(['traces', 'profile', 'modes'].map(async (name) => (await fetch(`${visitor.server.url}/v1/${name}`)).json()));
  await visitor.server.close();
  await hunter.reads('The server cannot be reached');
  const jpeg = await page.evaluate(() => document.createElement('canvas').toDataURL('image/jpeg').split(',')[1]);
  const frames = Object.fromEntries(traces.traces.map(({ trace_id }) => [trace_id, jpeg]));
  const capsule = { format: 'segue-capsule', version: 1, captured_at: new Date().toISOString(), seconds: 30, generation: traces.generation, profile, modes, traces, frames };
  await page.setInputFiles('#capsule-file', { name: 'night.segue-capsule', mimeType: 'application/gzip', buffer: gzipSync(JSON.stringify(capsule)) });
  await hunter.reads('A capsule');
  await page.locator('#slowest .open').first().click();
  await page.waitForFunction(() => document.querySelector('.frame-picture')?.naturalWidth > 0);
  await page.setInputFiles('#capsule-file', { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('notes') });
  await hunter.says('problem', /cannot be opened/);
  await page.click('#capsule-close');
  await page.locator('#capsule').waitFor({ state: 'hidden' });
  assert.deepEqual(hunter.complaints.filter((text) => !isExpected(text)), []);
});

test('without frames the page says how to get some, and of a trace that is gone where it may be', async (t) => {
  const visitor = await Visitor.arrive(t, { camera: CAMERA.none });
  const hunter = await Hunter.join(visitor);
  await hunter.says('empty-title', /No frames yet/);
  assert.equal(await hunter.page.getAttribute('#empty-camera', 'href'), '/');
  await hunter.page.goto(`${visitor.server.url}/traces?trace=${'0a'.repeat(16)}`);
  await hunter.says('frame-body', /is not in the recorder/);
  assert.deepEqual(hunter.complaints.filter((text) => !isExpected(text)), []);
});

test('nothing of the traces page is wider than the screen, be it small, lying or large', async (t) => {
  const visitor = await streamed(t, { masks: 20 });
  const hunter = await Hunter.join(visitor, { viewport: { width: 375, height: 760 } });
  const { page } = hunter;
  await hunter.board.waitFor();
  await page.locator('#slowest .open').first().click();
  await page.locator('.waterfall').waitFor();
  for (const [width, height] of [[375, 760], [844, 390], [1440, 900]]) {
    await page.setViewportSize({ width, height });
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width, `${width}x${height}`);
  }
});
