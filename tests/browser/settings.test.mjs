import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SegueServer } from './support/segue_server.mjs';
import { newContext, Visitor } from './support/visitor.mjs';

const now = (page) => page.evaluate(() => window.segue.settings.now);

/** What the page shows of the settings. */
function shown(page) {
  return page.evaluate(() => ({
    view: document.querySelector('input[name="view"]:checked').value,
    opacity: document.getElementById('opacity').value,
    softEdge: document.getElementById('soft-edge').checked,
    mirror: document.getElementById('mirror').checked,
    labels: document.getElementById('label-names').checked,
    over: document.getElementById('over').value,
    quality: document.getElementById('by-hand').checked && document.getElementById('quality').value,
  }));
}

async function setByHand(page) {
  await page.locator('input[name="view"][value="side-by-side"]').check({ force: true });
  await page.fill('#opacity', '35');
  await page.selectOption('#over', 'live');
  for (const name of ['Soft edges', 'Names in the picture', 'By hand']) await page.locator('label', { hasText: name }).click();
  await page.fill('#quality', '25');
}

const CHOSEN = { view: 'side-by-side', opacity: '35', softEdge: false, mirror: false, labels: true, over: 'live', quality: '25' };

test('what was chosen outlives a reload, and a link takes it to somebody else', async (t) => {
  const visitor = await Visitor.arrive(t);
  const { page, server } = visitor;
  const mode = await visitor.otherMode();
  // Before a camera says which way it looks, a picture is mirrored.
  await page.locator('label', { hasText: 'Mirror' }).click();
  await visitor.goLive();
  if (mode) {
    await visitor.choose(mode);
    await visitor.isAnsweredBy(mode);
  } else t.diagnostic('SKIPPED: the server has one mode only, none can be kept');
  await setByHand(page);
  const toggle = page.locator('#legend .legend-toggle').first();
  const hasClass = await toggle.waitFor({ timeout: 3000 }).then(() => true, () => false);
  if (hasClass) await toggle.click();
  const chosen = await now(page);
  assert.equal(chosen.hidden.length, hasClass ? 1 : 0);
  await page.waitForFunction(() => window.segue.stream.pulse.quality.settings?.jpegQuality === 25);

  await page.reload();
  await visitor.reads('Ready');
  assert.deepEqual(await now(page), chosen);
  assert.deepEqual(await shown(page), CHOSEN);
  await visitor.goLive();
  if (mode) await visitor.isAnsweredBy(mode);
  if (hasClass) await page.locator('#legend .legend-toggle[aria-pressed="false"]').waitFor();
  await page.waitForFunction(() => window.segue.stream.pulse.quality.settings?.jpegQuality === 25);

  const link = new URL(page.url());
  assert.doesNotMatch(link.hash, /camera/, 'whose camera it is stays here');
  const guest = await Visitor.in(await newContext(t, page.context().browser()), server);
  await guest.page.goto(link.href);
  await guest.reads('Ready');
  assert.deepEqual({ ...(await now(guest.page)), camera: '' }, { ...chosen, camera: '' });
  assert.deepEqual(await shown(guest.page), CHOSEN);
  await guest.goLive();
  if (mode) await guest.isAnsweredBy(mode);
  assert.deepEqual([...visitor.complaints, ...guest.complaints], []);
});

test('a link or a store full of nonsense changes nothing', async (t) => {
  const visitor = await Visitor.arrive(t, { path: '/#view=<b>&opacity=9e9&quality=NaN&size=-1&colour=red&over=&mirror=maybe&hidden=&mode=%00&backdrop=x&__proto__=1' });
  const { page } = visitor;
  const { view, opacity, quality, size, colour, over, mirror } = await now(page);
  assert.deepEqual({ view, opacity, quality, size, colour, over, mirror }, { view: 'filled', opacity: 0.6, quality: 0, size: 0, colour: '#1f6f6b', over: 'frame', mirror: null });
  await visitor.goLive();
  await page.evaluate(() => Object.keys(localStorage).forEach((key) => localStorage.setItem(key, '{"view":7,"opacity":"x"')));
  await page.goto(visitor.server.url);
  await page.reload();
  await visitor.reads('Ready');
  await visitor.goLive();
  await visitor.sees(3);
  assert.deepEqual(visitor.complaints, []);
});

test('a link to another server asks first, and nothing is sent there before', async (t) => {
  const [own, other] = [await SegueServer.startFor(t), await SegueServer.startFor(t)];
  const host = new URL(other.url).host;
  const visitor = await Visitor.arrive(t, { server: own, path: `/#server=${host}&view=blend` });
  const { page } = visitor;
  const streams = async ({ url }) => (await (await fetch(`${url}/v1/traces?limit=1`)).json()).sessions.filter(({ frames }) => frames > 0).length;
  await page.locator('#proposal', { hasText: host }).waitFor();
  assert.equal((await now(page)).view, 'blend', 'all else of the link holds');
  await visitor.goLive();
  await visitor.sees(5);
  assert.deepEqual([await streams(own), await streams(other)], [1, 0]);
  await page.click('#proposal-refuse');
  await page.locator('#proposal').waitFor({ state: 'hidden' });
  await visitor.sees(5);
  assert.equal(await streams(other), 0);
  assert.equal((await now(page)).server, '');

  await page.goto('about:blank');
  await page.goto(`${own.url}/#server=${host}`);
  await page.click('#proposal-accept');
  await visitor.reads('Ready');
  await visitor.goLive();
  await visitor.sees(5);
  assert.equal(await streams(other), 1);
  assert.equal(await page.inputValue('#server'), host);
  await page.goto('about:blank');
  await page.goto(`${own.url}/#server=${host}`);
  await visitor.reads('Ready');
  assert.equal(await page.isVisible('#proposal'), false, 'who has agreed is not asked again');
  assert.deepEqual(visitor.complaints, []);
});

test('the server box moves the stream to another server and back, and says what is no address', async (t) => {
  const [own, other] = [await SegueServer.startFor(t), await SegueServer.startFor(t, { set: ['capture.jpeg_quality=23'] })];
  const visitor = await Visitor.arrive(t, { server: own });
  const { page } = visitor;
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  const connect = async (address) => {
    await page.fill('#server', address);
    await page.keyboard.press('Enter');
  };
  await visitor.goLive();
  const limitIs = (quality) => page.waitForFunction((wanted) => window.segue.stream.limits?.jpegQuality === wanted, quality);
  const ownQuality = await page.evaluate(() => window.segue.stream.limits.jpegQuality);
  await connect('not an address');
  assert.match(await page.textContent('#server-problem'), /no address/);
  await visitor.sees(3);

  await connect(new URL(other.url).host);
  await limitIs(23);
  assert.equal(await page.textContent('#server-problem'), '');
  await visitor.reads('Live');
  await visitor.sees(5);
  await connect('');
  await limitIs(ownQuality);
  await visitor.reads('Live');
  await visitor.sees(5);
  await connect('127.0.0.1:1');
  await visitor.reads('The server cannot be reached');
  await connect('');
  await visitor.reads('Live');
  await visitor.sees(5);
  const elsewhere = asked.filter((url) => /^http/.test(url) && !url.endsWith('/ws') && new URL(url).origin !== own.url);
  assert.deepEqual(elsewhere, [], 'for all but frames only its own server is asked');
  visitor.assertNoOtherComplaints();
});

test('two tabs stream at once, each with its own choices, and neither minds when the other is closed', async (t) => {
  const first = await Visitor.arrive(t);
  const second = await Visitor.in(first.page.context(), first.server);
  await second.page.goto(first.server.url);
  await second.reads('Ready');
  await first.goLive();
  await second.goLive();
  await second.page.locator('input[name="view"][value="contour"]').check({ force: true });
  await Promise.all([first.sees(10), second.sees(10)]);
  assert.equal((await now(first.page)).view, 'filled');
  await first.page.close();
  await second.sees(10);
  second.assertOneSocket();
  assert.deepEqual([...first.complaints, ...second.complaints], []);
});
