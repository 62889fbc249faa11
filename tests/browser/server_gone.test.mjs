import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SegueServer } from './support/segue_server.mjs';
import { Visitor } from './support/visitor.mjs';

test('the server goes and comes back: the stream resumes by itself, mode and view kept', async (t) => {
  const visitor = await Visitor.arrive(t);
  const { page, server } = visitor;
  const mode = await visitor.otherMode();
  await visitor.goLive();
  if (mode) {
    await visitor.choose(mode);
    await visitor.isAnsweredBy(mode);
  } else t.diagnostic('SKIPPED: the server has one mode only, none can be kept');
  await page.keyboard.press('v');
  await server.close();
  await visitor.reads('The server is gone');
  assert.match(await page.textContent('#notice-countdown'), /^Trying again in \d+ s$/);
  assert.equal(await page.evaluate(() => window.segue.stream.inFlightCount), 0);

  await SegueServer.startFor(t, { port: server.port });
  await visitor.reads('Live');
  await visitor.sees(5);
  if (mode) await visitor.isAnsweredBy(mode);
  assert.equal(await page.locator('input[name="view"]:checked').getAttribute('value'), 'contour');
  assert.deepEqual(visitor.complaints.filter((text) => !text.includes('ERR_CONNECTION_REFUSED')), []);
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
  assert.equal(visitor.sockets, 1);
});
