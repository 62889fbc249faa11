import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Profiles } from './support/profiles.mjs';
import { SegueServer } from './support/segue_server.mjs';
import { Visitor } from './support/visitor.mjs';

const TOKEN = 'open-sesame-and-then-some';

/** A server by a profile `stage` of the test's own, beside `small`. */
async function serve(t, { token = TOKEN } = {}) {
  const profiles = new Profiles(t);
  profiles.write('stage', { jpeg_quality: 80, max_dimension_px: 640 });
  profiles.write('small', { jpeg_quality: 35, max_dimension_px: 256 });
  const set = token ? [`security.admin_token=${token}`] : [];
  const server = await SegueServer.startFor(t, { profiles: profiles.directory, profile: 'stage', set });
  return { profiles, server };
}

/** The JPEG behind the newest mask, as it was sent. */
function newestFrame(page) {
  return page.evaluate(async () => {
    const jpeg = window.segue.page.painted?.jpeg;
    if (!jpeg) return { longerSidePx: 0, bytes: 0 };
    const { width, height } = await createImageBitmap(new Blob([jpeg]));
    return { longerSidePx: Math.max(width, height), bytes: jpeg.length };
  });
}

/** Mean bytes of some frames, once they are of this size. */
async function bytesOfFrames(visitor, longerSidePx) {
  while ((await newestFrame(visitor.page)).longerSidePx !== longerSidePx) await visitor.sees(1);
  let total = 0;
  const frames = 8;
  for (let frame = 0; frame < frames; frame += 1) {
    await visitor.sees(1);
    const { longerSidePx: side, bytes } = await newestFrame(visitor.page);
    assert.equal(side, longerSidePx);
    total += bytes;
  }
  return total / frames;
}

const generationOf = async (page) => Number(await page.textContent('#generation'));

async function signIn(page, token) {
  await page.fill('#token', token);
  await page.click('#sign-in button');
}

/** What chromium says of every answer that refuses something. */
const isRefusal = (text) => /status of 4\d\d/.test(text);

test('an edited profile reaches every page that is open, and none of them connects again', async (t) => {
  const { profiles, server } = await serve(t);
  const visitors = [await Visitor.arrive(t, { server }), await Visitor.arrive(t, { server })];
  for (const { page } of visitors) await page.evaluate(() => window.segue.stream.keepFrames(64));
  await Promise.all(visitors.map((visitor) => visitor.goLive()));
  const bytesBefore = await Promise.all(visitors.map((visitor) => bytesOfFrames(visitor, 640)));
  const generationsBefore = await Promise.all(visitors.map(({ page }) => generationOf(page)));

  profiles.edit('stage', [
    ['max_dimension_px = 640', 'max_dimension_px = 320'],
    ['jpeg_quality = 80', 'jpeg_quality = 40'],
  ]);
  const bytesAfter = await Promise.all(visitors.map((visitor) => bytesOfFrames(visitor, 320)));
  for (const [position, visitor] of visitors.entries()) {
    t.diagnostic(`page ${position + 1}: ${Math.round(bytesBefore[position])} bytes a frame, then ${Math.round(bytesAfter[position])}`);
    assert.ok(bytesAfter[position] < bytesBefore[position] * 0.6, 'half the size and quality take far fewer bytes'); // A quarter, of a real picture.
    await visitor.page.waitForFunction((before) => Number(document.getElementById('generation').textContent) > before, generationsBefore[position]);
    await visitor.sees(10);
    assert.equal(await visitor.page.textContent('#status-text'), 'Live');
    visitor.assertOneSocket();
    assert.deepEqual(visitor.complaints, []);
  }
});

test('a mode that gets another model, goes and comes back takes the page along', async (t) => {
  const { profiles, server } = await serve(t);
  const capture = { jpeg_quality: 50, max_dimension_px: 640 };
  const extra = (variant) => `\n[modes.extra]\nrank = 9\nmodel = "selfie"\nvariant = "${variant}"\n`;
  const visitor = await Visitor.arrive(t, { server });
  const { page } = visitor;
  await visitor.goLive();
  profiles.write('stage', capture, extra('landscape'));
  await page.locator('input[name="mode"][value="extra"]').waitFor({ state: 'attached' });
  await visitor.choose('extra');
  await visitor.isAnsweredBy('extra');

  const model = await page.evaluate(() => window.segue.page.painted.mode.model);
  profiles.write('stage', capture, extra('general'));
  await page.waitForFunction((before) => window.segue.page.painted.mode.model !== before, model);
  await visitor.isAnsweredBy('extra');

  profiles.write('stage', capture);
  await page.locator('#toast', { hasText: 'extra' }).waitFor();
  await visitor.isAnsweredBy('fast');
  assert.equal(await page.locator('input[name="mode"][value="extra"]').count(), 0);

  profiles.write('stage', capture, extra('landscape'));
  await visitor.isAnsweredBy('extra');
  await visitor.sees(10);
  const { dropped } = await page.evaluate(() => window.segue.stream.pulse.snapshot);
  assert.equal(dropped.undecoded ?? 0, 0, 'every mask was read');
  visitor.assertOneSocket();
  assert.deepEqual(visitor.complaints, []);
});

test('the operator is let in by the token alone, and forgotten when told to', async (t) => {
  const { server } = await serve(t);
  const visitor = await Visitor.arrive(t, { server });
  const { page } = visitor;
  assert.equal(await page.locator('#sign-in').isVisible(), false, 'it is out of a visitor’s way');
  await page.click('#operator-summary');
  await signIn(page, 'not the token of this server');
  await page.locator('#operator-problem', { hasText: 'not the server’s admin token' }).waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);

  await signIn(page, TOKEN);
  await page.locator('#desk').waitFor();
  assert.equal(await page.textContent('#profile'), 'stage');
  assert.equal(await page.textContent('#profile-generation'), await page.textContent('#generation'));
  const choices = await page.locator('#profiles option').allTextContents();
  for (const name of ['base', 'small', 'stage']) assert.ok(choices.includes(name), `${name} can be chosen: ${choices}`);
  await page.locator('.reload').first().waitFor();

  await page.reload();
  await visitor.reads('Ready');
  await page.click('#operator-summary');
  await page.locator('#desk').waitFor();
  await page.click('#forget-token');
  await page.locator('#sign-in').waitFor();
  assert.deepEqual(await page.evaluate(() => [sessionStorage.length, localStorage.length, document.cookie]), [0, 0, '']);
  assert.deepEqual(visitor.complaints.filter((text) => !isRefusal(text)), []);
});

test('a server without an admin token says how to set one', async (t) => {
  const { server } = await serve(t, { token: null });
  const { page } = await Visitor.arrive(t, { server });
  await page.click('#operator-summary');
  await signIn(page, TOKEN);
  await page.locator('#operator-problem', { hasText: 'admin_token' }).waitFor();
  assert.equal(await page.locator('#desk').isVisible(), false);
});

test('a bad edit is told until it is mended, and the page goes on', async (t) => {
  const { profiles, server } = await serve(t);
  const visitor = await Visitor.arrive(t, { server });
  const { page } = visitor;
  const standing = page.locator('#standing');
  await visitor.goLive();
  await page.click('#operator-summary');
  await signIn(page, TOKEN);
  await page.locator('#desk').waitFor();
  await page.click('#operator-summary');
  const generation = await generationOf(page);

  profiles.edit('stage', [['jpeg_quality = 80', 'jpeg_quality = 140']]);
  await standing.waitFor();
  assert.match(await standing.textContent(), /stage\.toml:4: capture\.jpeg_quality/);
  await visitor.sees(10);
  assert.equal(await page.evaluate(() => window.segue.stream.limits.jpegQuality), 80);
  assert.equal(await generationOf(page), generation);
  await page.click('#standing-show');
  await page.locator('.reload[data-outcome="rejected"]', { hasText: 'capture.jpeg_quality' }).first().waitFor();

  await page.reload();
  await visitor.reads('Ready');
  await standing.waitFor();
  await visitor.goLive();
  profiles.edit('stage', [['jpeg_quality = 140', 'jpeg_quality = 60']]);
  await standing.waitFor({ state: 'hidden' });
  await page.waitForFunction(() => window.segue.stream.limits.jpegQuality === 60);
  await page.click('#operator-summary');
  const mended = page.locator('.reload').first();
  await mended.filter({ hasText: '80 → 60' }).waitFor();
  assert.equal(await mended.getAttribute('data-outcome'), 'applied');
  await visitor.sees(5);
  assert.deepEqual(visitor.complaints, []);
});

test('another profile is used at once, and one with faults is not', async (t) => {
  const { profiles, server } = await serve(t);
  const visitor = await Visitor.arrive(t, { server });
  const { page } = visitor;
  const outcome = page.locator('#outcome');
  await page.evaluate(() => window.segue.stream.keepFrames(64));
  await visitor.goLive();
  await page.click('#operator-summary');
  await signIn(page, TOKEN);
  await page.locator('#desk').waitFor();
  const use = async (name) => {
    await page.locator(`#profiles option[value="${name}"]`).waitFor({ state: 'attached' });
    await page.selectOption('#profiles', name);
    await page.click('#use-profile button');
  };

  await use('small');
  await outcome.filter({ hasText: /^Applied: small/ }).waitFor();
  await page.waitForFunction(() => window.segue.stream.limits.jpegQuality === 35);
  await page.waitForFunction(() => document.getElementById('profile').textContent === 'small');
  await bytesOfFrames(visitor, 256);

  profiles.write('broken', { jpeg_quality: 140 });
  await use('broken');
  await outcome.filter({ hasText: /broken\.toml:4: capture\.jpeg_quality/ }).waitFor();
  assert.equal(await page.textContent('#profile'), 'small');
  assert.equal(await page.evaluate(() => window.segue.stream.limits.jpegQuality), 35);

  await page.click('#read-again');
  await outcome.filter({ hasText: /^Unchanged/ }).waitFor();
  await visitor.sees(5);
  visitor.assertOneSocket();
  assert.deepEqual(visitor.complaints.filter((text) => !isRefusal(text)), []);
});

for (const [width, height] of [[360, 640], [844, 390]]) {
  test(`the operator’s panel fits a screen of ${width}x${height}, and the keyboard reaches it`, async (t) => {
    const { profiles, server } = await serve(t);
    const { page } = await Visitor.arrive(t, { server, viewport: { width, height } });
    await page.focus('#operator-summary');
    await page.keyboard.press('Space');
    await page.keyboard.press('Tab');
    await page.keyboard.type(TOKEN);
    await page.keyboard.press('Enter');
    await page.locator('#desk').waitFor();
    assert.equal(await page.textContent('#start'), 'Start', 'what is typed there is no shortcut');
    assert.equal(await page.isChecked('#mirror'), true);
    const stops = [];
    for (let press = 0; press < 4; press += 1) {
      stops.push(await page.evaluate(() => document.activeElement.id || document.activeElement.textContent));
      await page.keyboard.press('Tab');
    }
    assert.deepEqual(stops, ['profiles', 'Use', 'read-again', 'forget-token']);
    profiles.edit('stage', [['jpeg_quality = 80', 'jpeg_quality = 140']]);
    await page.locator('#standing').waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
  });
}
