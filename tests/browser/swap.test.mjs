import assert from 'node:assert/strict';
import { appendFileSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { SegueServer } from './support/segue_server.mjs';
import { Visitor } from './support/visitor.mjs';

const TOKEN = 'a-token-for-the-tests';
const built = join(dirname(process.env.SEGUE_BIN), 'plugins');

/** A copy of the plugins that a test may overwrite. */
function copyPlugins(t) {
  const directory = mkdtempSync(join(tmpdir(), 'segue-plugins-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  cpSync(built, directory, { recursive: true });
  return directory;
}

test('whoever watches notices nothing of a new build, and the operator sees one that was refused', async (t) => {
  const plugins = copyPlugins(t);
  const installed = join(plugins, 'libselfie.so');
  const server = await SegueServer.startFor(t, { plugins, set: [`security.admin_token=${TOKEN}`] });
  const visitor = await Visitor.arrive(t, { server });
  const { page } = visitor;
  await visitor.goLive();
  await visitor.sees(10);
  const painted = () => page.evaluate(() => ({ index: window.segue.page.painted.mode.index, name: window.segue.page.painted.mode.name }));
  const before = await painted();
  const noticesBefore = await page.locator('#toast').textContent();

  appendFileSync(installed, 'another build');
  await page.waitForFunction((index) => window.segue.page.painted.mode.index !== index, before.index);
  await visitor.sees(10);
  assert.equal((await painted()).name, before.name);
  assert.equal(await page.locator('#toast').textContent(), noticesBefore, 'nobody is told');
  assert.equal(await page.evaluate(() => window.segue.stream.pulse.snapshot.dropped.backend_failed ?? 0), 0);
  visitor.assertOneSocket();

  writeFileSync(installed, 'no library');
  await page.click('#operator-summary');
  await page.fill('#token', TOKEN);
  await page.click('#sign-in button');
  await page.locator('#standing-alert', { hasText: /A new build for .+ was refused/ }).waitFor();
  await visitor.sees(10);
  assert.deepEqual(visitor.complaints, []);
});
