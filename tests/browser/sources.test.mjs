import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { folderFor, pictureFile, videoFile } from './support/media.mjs';
import { SegueServer } from './support/segue_server.mjs';
import { isFirefox, Visitor } from './support/visitor.mjs';

/** The track that plays, to be looked at when it does no more. */
const trackOf = (page) => page.evaluateHandle(() => document.getElementById('video').srcObject.getVideoTracks()[0]);
const stateOf = (track) => track.evaluate(({ readyState }) => readyState);

test('a camera that is unplugged is missed, and goes on when it is back', { skip: isFirefox && 'its tracks take no events but its own' }, async (t) => {
  const visitor = await Visitor.arrive(t);
  const { page } = visitor;
  await visitor.goLive();
  const track = await trackOf(page);
  await track.evaluate((lost) => lost.dispatchEvent(new Event('ended')));
  await visitor.reads('The camera is gone');
  assert.equal(await page.textContent('#start'), 'Start');
  assert.equal(await stateOf(track), 'ended', 'nothing of it is left on');
  await page.waitForFunction(() => window.segue.stream.inFlightCount === 0);

  await page.evaluate(() => navigator.mediaDevices.dispatchEvent(new Event('devicechange')));
  await visitor.reads('Live');
  await visitor.sees(5);
  await page.evaluate(() => navigator.mediaDevices.dispatchEvent(new Event('devicechange')));
  await visitor.sees(5);
  visitor.assertOneSocket();
  assert.deepEqual(visitor.complaints, []);
});

test('a video or picture file takes the camera’s place, and the camera takes it back', async (t) => {
  const visitor = await Visitor.arrive(t);
  const { page } = visitor;
  await visitor.goLive();
  const camera = await trackOf(page);
  const cameraName = await page.inputValue('#source');
  const isMirrored = await page.isChecked('#mirror');

  await page.setInputFiles('#file', videoFile(t));
  await page.waitForFunction(() => document.getElementById('video').currentSrc.startsWith('blob:'));
  assert.equal(await stateOf(camera), 'ended', 'the camera is off');
  await visitor.reads('Live');
  // Longer than the file: it plays over and over.
  await page.waitForFunction(() => {
    const { currentTime } = document.getElementById('video');
    const isAgain = currentTime < (window.timeBefore ?? 0);
    window.timeBefore = currentTime;
    return isAgain;
  });
  await visitor.sees(10);
  assert.equal(await page.isChecked('#mirror'), false, 'a file is not mirrored');
  assert.match(await page.locator('#source option:checked').textContent(), /clip\.webm/);

  await page.setInputFiles('#file', pictureFile(t));
  await page.waitForFunction(() => window.segue.page.painted && document.getElementById('source').selectedOptions[0].textContent === 'picture.png');
  await visitor.sees(3);
  await page.click('#start');
  await visitor.reads('Ready');
  assert.match(await page.textContent('#notice-text'), /play the file/);
  await visitor.goLive();

  await page.selectOption('#source', cameraName);
  await page.waitForFunction(() => document.getElementById('video').srcObject !== null);
  await visitor.reads('Live');
  await visitor.sees(5);
  assert.equal(await page.isChecked('#mirror'), isMirrored);
  visitor.assertOneSocket();
  assert.deepEqual(visitor.complaints, []);
});

test('what is no video and no picture is said to be neither, and the way back is open', async (t) => {
  const visitor = await Visitor.arrive(t);
  const { page } = visitor;
  const folder = folderFor(t);
  for (const [name, text] of [['notes.txt', 'notes'], ['empty.png', ''], ['torn.webm', '\x1aE\xdf\xa3 and no more']]) {
    writeFileSync(join(folder, name), text, 'latin1');
    await page.setInputFiles('#file', join(folder, name));
    await visitor.reads('The file cannot be shown');
    assert.equal(await page.textContent('#start'), 'Start');
  }
  await page.setInputFiles('#file', pictureFile(t));
  await visitor.reads('Live');
  assert.deepEqual(visitor.complaints, []);
});

test('a screen is shared, and the page says so when it ends', { skip: isFirefox && 'nobody is there to choose the screen' }, async (t) => {
  const server = await SegueServer.startFor(t);
  const visitor = await Visitor.arrive(t, { server, flags: ['--auto-select-desktop-capture-source=Entire screen'] });
  const { page } = visitor;
  await page.selectOption('#source', 'screen');
  await visitor.reads('Live');
  // Nothing moves on it, and all the same a change of mode or settings is to be seen.
  await visitor.sees(4);
  assert.equal(await page.isChecked('#mirror'), false, 'a screen is not mirrored');
  const track = await trackOf(page);
  assert.ok(await track.evaluate((shared) => shared.getSettings().displaySurface), 'a screen it is');
  await track.evaluate((shared) => shared.dispatchEvent(new Event('ended')));
  await visitor.reads('Sharing has ended');
  assert.equal(await stateOf(track), 'ended');
  await visitor.goLive();
  assert.deepEqual(visitor.complaints, []);
});
