import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from './support/segue_server.mjs';
import { Visitor } from './support/visitor.mjs';

test('an operator edits the profile: the page follows and nobody reconnects', async (t) => {
  const profiles = mkdtempSync(join(tmpdir(), 'segue-profiles-'));
  cpSync(join(root, 'profiles'), profiles, { recursive: true });
  const base = join(profiles, 'base.toml');
  const before = readFileSync(base, 'utf8');
  const edited = before.replace(/^max_dimension_px = \d+$/m, 'max_dimension_px = 320').replace(/^max_in_flight = \d+$/m, 'max_in_flight = 1');
  assert.notEqual(edited, before);

  const visitor = await Visitor.arrive(t, { profiles });
  const { page, server } = visitor;
  if ((await fetch(`${server.url}/v1/reloads`)).status === 404) return t.skip('this server does not reload its profiles');
  await visitor.goLive();
  const generation = await page.evaluate(() => window.segue.session.generation);
  writeFileSync(base, edited);
  await page.waitForFunction(() => window.segue.page.painted?.mask.widthPx === 320);
  await page.waitForFunction(() => document.getElementById('number-in-flight').textContent.endsWith('/ 1'));
  await page.waitForFunction((old) => Number(document.getElementById('generation').textContent) > old, generation);
  assert.equal(visitor.sockets, 1);
  assert.deepEqual(visitor.complaints, []);
});
