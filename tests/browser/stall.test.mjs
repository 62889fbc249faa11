import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SegueServer } from './support/segue_server.mjs';
import { Visitor } from './support/visitor.mjs';

const STALL_MILLIS = 80;
const root = fileURLToPath(new URL('../..', import.meta.url));
const built = dirname(process.env.SEGUE_BIN);

/** On a machine that is busy with something else, that may be worse than the stall for a while. */
const ATTEMPTS = 5;

/** The page and the terminal both name `stage` before any other. */
async function assertNamed(visitor, server, stage) {
  const page = await visitor.page.context().browser().newPage();
  visitor.page.once('close', () => page.close());
  const firstStage = (text) => /(browser|network|server|plugin)\.[a-z]+/.exec(text)?.[0];
  let said = [];
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    await visitor.sees(60);
    await page.goto(`${server.url}/traces`);
    await page.waitForFunction(() => (document.getElementById('diagnosis-text')?.textContent ?? '').length > 10);
    const terminal = spawnSync(process.env.SEGUE_BIN, ['trace', '--check', '--url', server.url], { encoding: 'utf8' });
    said = [await page.textContent('#diagnosis-text'), terminal.stdout];
    if (said.every((text) => firstStage(text) === stage)) return;
  }
  assert.fail(`${stage} is not what is named: ${said.join('\n')}`);
}

test('a stall in the page while it decodes is named', async (t) => {
  const server = await SegueServer.startFor(t);
  const visitor = await Visitor.arrive(t, { server });
  await visitor.streamWorker().evaluate((millis) => {
    const Plain = DecompressionStream;
    let made = 0;
    globalThis.DecompressionStream = class extends Plain {
      constructor(format) {
        super(format);
        made += 1;
        if (made % 20 !== 0) return;
        const until = performance.now() + millis;
        while (performance.now() < until);
      }
    };
  }, STALL_MILLIS);
  await visitor.goLive();
  await assertNamed(visitor, server, 'browser.decode');
});

test('a stall in a plugin is named', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'segue-stall-'));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const part of ['plugins', 'models', 'profiles']) mkdirSync(join(folder, part));
  cpSync(join(built, 'libmisbehaving.so'), join(folder, 'plugins/libmisbehaving.so'));
  const model = `backend = "misbehaving"\ntitle = "Test"\nlicence = "MIT"\n[settings]\nstall_millis = "${STALL_MILLIS}"\n`;
  writeFileSync(join(folder, 'models/test.toml'), model);
  const base = readFileSync(join(root, 'profiles/base.toml'), 'utf8');
  const [before] = base.split('[modes.fast]');
  const [, after] = base.split('# What the server accepts.');
  writeFileSync(join(folder, 'profiles/base.toml'), `${before}[modes.fast]\nmodel = "test"\ninstances = 1\n${after}`);
  const places = Object.fromEntries(['plugins', 'models', 'profiles'].map((part) => [part, join(folder, part)]));
  const server = await SegueServer.startFor(t, places);
  const visitor = await Visitor.arrive(t, { server });
  await visitor.goLive();
  await assertNamed(visitor, server, 'plugin.infer');
});

test('a stall on the way to the server is named', async (t) => {
  const server = await SegueServer.startFor(t);
  const link = await stallingLink(t, server.port);
  const visitor = await Visitor.arrive(t, { server: { url: `http://127.0.0.1:${link}`, port: link } });
  await visitor.goLive();
  await assertNamed(visitor, server, 'network.up');
});

/** The port of a link to `port` that holds what goes to the server up, now and then. */
async function stallingLink(t, port) {
  const listener = net.createServer((client) => {
    const upstream = net.connect(port, '127.0.0.1');
    for (const socket of [client, upstream]) socket.setNoDelay(true).on('error', () => {});
    upstream.pipe(client);
    let free = Promise.resolve();
    let seen = 0;
    client.on('data', (bytes) => {
      // A frame is a few packets; every 20th large one waits.
      if (bytes.length > 4000) seen += 1;
      const wait = bytes.length > 4000 && seen % 20 === 0 ? STALL_MILLIS : 0;
      free = free.then(() => new Promise((resolve) => (wait > 0 ? setTimeout(resolve, wait) : resolve()))).then(() => upstream.write(bytes));
    });
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  });
  await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
  t.after(() => listener.close());
  return listener.address().port;
}
