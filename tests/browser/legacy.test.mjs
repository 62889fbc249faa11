import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { showsPerson } from './support/browsers.mjs';
import { SegueServer } from './support/segue_server.mjs';
import { Visitor } from './support/visitor.mjs';

/** Serves the page of the legacy protocol from an origin of its own; its address. */
async function serveLegacyPage(t) {
  const html = readFileSync(new URL('./support/legacy_page.html', import.meta.url));
  const server = createServer((_, response) => response.setHeader('content-type', 'text/html').end(html));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return `http://localhost:${server.address().port}/`;
}

/** A page of the legacy protocol that streams to a server of its own. */
async function stream(t) {
  const server = await SegueServer.startFor(t);
  const { page } = await Visitor.arrive(t, { server });
  await page.goto(await serveLegacyPage(t));
  await page.evaluate((url) => window.page.connect(url), `${server.url.replace('http', 'ws')}/ws`);
  const answers = async (count) => {
    const before = await page.evaluate(() => window.page.answered);
    await page.waitForFunction((wanted) => window.page.answered >= wanted, before + count);
  };
  await answers(5);
  return { page, server, answers };
}

test('a page of the legacy protocol works as it is', async (t) => {
  const { page, server, answers } = await stream(t);
  const { connected, segmentation } = await page.evaluate(() => window.page.messages);
  assert.equal(connected.status, 'ready');
  assert.equal(connected.current_model, 'fast');
  assert.deepEqual(connected.class_labels, ['background', 'person']);
  assert.ok(connected.available_models.includes('balanced'));
  assert.equal(segmentation.metadata.model_mode, 'fast');
  assert.ok(Math.abs(Date.now() - segmentation.timestamp) < 60_000, 'the timestamp is the frame’s own');
  if (showsPerson) assert.deepEqual(segmentation.metadata.detected_classes, ['person']);
  assert.deepEqual(await page.evaluate(() => document.getElementById('result').decode().then(() => [document.getElementById('result').naturalWidth, document.getElementById('result').naturalHeight])), [640, 480]);
  const health = await (await fetch(`${server.url}/health`)).json();
  assert.equal(health.status, 'healthy');
  assert.equal(health.active_connections, 1);

  await page.evaluate(() => window.page.say({ type: 'update_viz', settings: { visualization_mode: 'side-by-side', overlay_opacity: 0.9 } }));
  await page.waitForFunction(() => document.getElementById('result').naturalWidth === 1280);
  assert.equal(await page.evaluate(() => window.page.messages.viz_updated.settings.overlay_opacity), 0.9);
  await page.evaluate(() => window.page.say({ type: 'change_mode', model_mode: 'landscape' }));
  await page.waitForFunction(() => window.page.last.metadata.model_mode === 'landscape');
  assert.equal(await page.evaluate(() => window.page.messages.mode_changed.model_mode), 'landscape');
  await page.evaluate(() => window.page.say({ type: 'get_stats' }));
  await page.waitForFunction(() => window.page.messages.stats?.avg_inference_ms > 0);
  await answers(5);
  assert.deepEqual(await page.evaluate(() => window.page.errors), []);
});

test('errors leak no slot of a legacy page, and a malformed message ends nothing', async (t) => {
  const { page, answers } = await stream(t);
  await page.evaluate(() => {
    window.page.breaksEvery = 3;
    for (const text of ['', '{', '[]', '{"type":"dance"}', '{"type":"change_mode"}', '{"type":"change_mode","model_mode":"warp"}', '{"type":"update_viz","settings":{"overlay_opacity":"much"}}']) {
      window.page.say(text);
    }
  });
  await answers(90);
  const { errors, inFlight, sent, answered, longestStall, isClosed } = await page.evaluate(() => window.page);
  t.diagnostic(`${sent} sent, ${answered} answered, ${errors.length} errors, longest stall ${Math.round(longestStall)} ms`);
  assert.ok(inFlight <= 2 && sent - answered <= 2);
  assert.ok(errors.filter((code) => code === 'INFERENCE_FAILED').length >= 25, 'each broken frame is told');
  assert.ok(errors.includes('INVALID_MODE') && errors.includes('VIZ_UPDATE_FAILED'));
  assert.equal(isClosed, undefined);
});
