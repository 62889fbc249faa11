import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CAMERA, Visitor } from './support/visitor.mjs';

test('a camera that is denied is said in words', async (t) => {
  const visitor = await Visitor.arrive(t, { camera: CAMERA.denied });
  await visitor.page.click('#start');
  await visitor.reads('The camera is not allowed');
  assert.equal(await visitor.page.textContent('#start'), 'Start');
  assert.deepEqual(visitor.complaints, []);
});

test('no camera is said in words', async (t) => {
  const visitor = await Visitor.arrive(t, { camera: CAMERA.none });
  await visitor.page.click('#start');
  await visitor.reads('No camera found');
  assert.deepEqual(visitor.complaints, []);
});

test('plain http from another host says what to do', async (t) => {
  const visitor = await Visitor.arrive(t, { hostName: 'segue.test', isAt: 'This address may not use the camera' });
  assert.match(await visitor.page.textContent('#notice-text'), /https.*localhost/);
});

test('stop turns the camera off', async (t) => {
  const visitor = await Visitor.arrive(t);
  await visitor.goLive();
  assert.equal(await visitor.cameraIsOn(), true);
  const track = await visitor.page.evaluateHandle(() => document.getElementById('video').srcObject.getVideoTracks()[0]);
  await visitor.page.click('#start');
  await visitor.reads('Ready');
  assert.equal(await visitor.cameraIsOn(), false);
  assert.equal(await track.evaluate(({ readyState }) => readyState), 'ended');
  await visitor.goLive();
  assert.deepEqual(visitor.complaints, []);
});

test('a browser that cannot read the camera in a worker streams all the same', async (t) => {
  const visitor = await Visitor.arrive(t, { prepare: (page) => page.addInitScript(() => delete window.MediaStreamTrackProcessor) });
  await visitor.goLive();
  await visitor.sees(10);
  assert.deepEqual(visitor.complaints, []);
});

test('a hidden page sends nothing and says so', async (t) => {
  const visitor = await Visitor.arrive(t);
  const { page } = visitor;
  await visitor.goLive();
  const setHidden = (isHidden) =>
    page.evaluate((value) => {
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => value });
      document.dispatchEvent(new Event('visibilitychange'));
    }, isHidden);
  await setHidden(true);
  await visitor.reads('Paused');
  assert.match(await page.title(), /^Paused/);
  await page.waitForFunction(() => window.segue.stream.inFlightCount === 0);
  await setHidden(false);
  await visitor.reads('Live');
  await visitor.sees(3);
});
