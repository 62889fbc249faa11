import assert from 'node:assert/strict';
import { test } from 'node:test';
import { showsPerson } from './support/browsers.mjs';
import { Profiles } from './support/profiles.mjs';
import { SegueServer } from './support/segue_server.mjs';
import { Visitor } from './support/visitor.mjs';

/** What the page keeps by itself, and what it has of the server. */
const kept = (page) =>
  page.evaluate(() => {
    const { view, hidden, mode } = window.segue.settings.now;
    return { view, hidden, mode, limits: window.segue.stream.limits };
  });

test('the server goes and comes back: the stream resumes by itself, mode, view, limits and hidden classes kept', async (t) => {
  const visitor = await Visitor.arrive(t);
  const { page, server } = visitor;
  const mode = await visitor.otherMode();
  await visitor.goLive();
  if (mode) {
    await visitor.choose(mode);
    await visitor.isAnsweredBy(mode);
  } else t.diagnostic('SKIPPED: the server has one mode only, none can be kept');
  await page.keyboard.press('v');
  const toggle = page.locator('#legend .legend-toggle').first();
  if (showsPerson) await toggle.click();
  else t.diagnostic('SKIPPED: nobody is in front of the camera, no class can be hidden');
  const before = await kept(page);
  assert.equal(before.hidden.length, showsPerson ? 1 : 0);
  await server.close();
  await visitor.reads('The server is gone');
  assert.match(await page.textContent('#notice-countdown'), /^Trying again in \d+ s$/);
  await page.waitForFunction(() => window.segue.stream.inFlightCount === 0);

  await SegueServer.startFor(t, { port: server.port });
  await visitor.reads('Live');
  await visitor.sees(5);
  if (mode) await visitor.isAnsweredBy(mode);
  assert.equal(await page.locator('input[name="view"]:checked').getAttribute('value'), 'contour');
  assert.deepEqual(await kept(page), before);
  if (showsPerson) assert.equal(await toggle.getAttribute('aria-pressed'), 'false');
  visitor.assertNoOtherComplaints();
});

test('the server comes back with other modes and limits: the page says so and goes on with them', async (t) => {
  const profiles = new Profiles(t);
  profiles.write('stage', { jpeg_quality: 50 }, '\n[modes.extra]\nmodel = "selfie"\nvariant = "landscape"\n');
  const server = await SegueServer.startFor(t, { profiles: profiles.directory, profile: 'stage' });
  const visitor = await Visitor.arrive(t, { server });
  const { page } = visitor;
  await visitor.goLive();
  await visitor.choose('extra');
  await visitor.isAnsweredBy('extra');
  await server.close();
  await visitor.reads('The server is gone');
  profiles.write('stage', { jpeg_quality: 30 });
  const again = await SegueServer.startFor(t, { port: server.port, profiles: profiles.directory, profile: 'stage' });
  await page.locator('#toast', { hasText: 'extra' }).waitFor();
  await visitor.reads('Live');
  await visitor.isAnsweredBy('fast');
  assert.equal(await page.locator('input[name="mode"]:checked').getAttribute('value'), 'fast');
  assert.equal(await page.locator('input[name="mode"][value="extra"]').count(), 0);
  assert.equal(await page.evaluate(() => window.segue.stream.limits.jpegQuality), 30);
  await again.close();
  await visitor.reads('The server is gone');
  profiles.write('stage', { jpeg_quality: 50 }, '\n[modes.extra]\nmodel = "selfie"\nvariant = "landscape"\n');
  await SegueServer.startFor(t, { port: server.port, profiles: profiles.directory, profile: 'stage' });
  await visitor.reads('Live');
  await visitor.isAnsweredBy('extra');
  visitor.assertNoOtherComplaints();
});

test('a start without a server leaves the camera off', async (t) => {
  const visitor = await Visitor.arrive(t);
  await visitor.server.close();
  await visitor.reads('The server is gone');
  await visitor.page.click('#start');
  await visitor.page.waitForFunction(() => window.segue.stream.state.phase === 'waiting');
  assert.equal(await visitor.cameraIsOn(), false);
});

test('a double click opens one socket and leaves the page as it was', async (t) => {
  const visitor = await Visitor.arrive(t);
  await visitor.page.dblclick('#start');
  await visitor.reads('Ready');
  await visitor.goLive();
  visitor.assertOneSocket();
});
