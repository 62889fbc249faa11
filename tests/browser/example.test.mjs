import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { showsPerson } from './support/clip.mjs';
import { SegueServer } from './support/segue_server.mjs';
import { Visitor } from './support/visitor.mjs';

const example = readFileSync(new URL('../../examples/browser/index.html', import.meta.url), 'utf8');

test('the example page draws a mask, from whatever server on this machine serves it', async (t) => {
  const server = await SegueServer.startFor(t);
  const html = example.replace('ws://127.0.0.1:8080/ws', `${server.url.replace('http', 'ws')}/ws`);
  const shelf = createServer((_, response) => response.setHeader('content-type', 'text/html').end(html));
  await new Promise((resolve) => shelf.listen(0, '127.0.0.1', resolve));
  t.after(() => shelf.close());
  const visitor = await Visitor.arrive(t, { server });
  const { page } = visitor;
  await page.goto(`http://localhost:${shelf.address().port}/`);
  await page.waitForFunction(() => document.getElementById('mask').width === 640);
  if (showsPerson) {
    await page.waitForFunction(() => {
      const mask = document.getElementById('mask');
      const { data } = mask.getContext('2d').getImageData(0, 0, mask.width, mask.height);
      const covered = data.reduce((sum, value, at) => sum + (at % 4 === 3 && value > 0 ? 1 : 0), 0) / (data.length / 4);
      return covered > 0.08 && covered < 0.7;
    });
  } else t.diagnostic('SKIPPED: no test data, so nobody is in front of the camera');
  assert.deepEqual(visitor.complaints.filter((text) => !text.includes('favicon')), []);
});
