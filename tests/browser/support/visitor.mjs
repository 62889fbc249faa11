import assert from 'node:assert/strict';
import { browserOf, CAMERA, isFirefox } from './browsers.mjs';
import { SegueServer } from './segue_server.mjs';

export { CAMERA, isFirefox };

const WAIT = { timeout: 60_000 };

/** What browsers say of a server that is away. */
const isOfConnecting = (text) => /ERR_CONNECTION|can’t establish a connection|connection to .+ was interrupted/.test(text);

/** Someone on the page of a server, in a profile of their own. */
export class Visitor {
  /** What the console and the browser complained about. */
  complaints = [];
  sockets = 0;
  closedSockets = 0;

  constructor(server, page) {
    this.server = server;
    this.page = page;
    page.on('console', (message) => message.type() === 'error' && this.complaints.push(message.text()));
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    page.on('websocket', (socket) => {
      this.sockets += 1;
      socket.on('close', () => (this.closedSockets += 1));
    });
  }

  /**
   * On the page of `server`, or of one of their own.
   *
   * @param {object} [options] Of the browser, too.
   */
  static async arrive(t, { server, viewport, colorScheme, path = '/', isAt = 'Ready', prepare, ...kind } = {}) {
    server ??= await SegueServer.startFor(t);
    const context = await newContext(t, await browserOf(kind), { viewport, colorScheme });
    const visitor = await Visitor.in(context, server);
    await prepare?.(visitor.page);
    await visitor.page.goto(new URL(path, kind.hostName ? `http://${kind.hostName}:${server.port}/` : server.url).href);
    await visitor.reads(isAt);
    return visitor;
  }

  /** In a new tab of a browser's profile. */
  static async in(context, server) {
    const page = await context.newPage();
    page.setDefaultTimeout(WAIT.timeout);
    await page.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
    });
    return new this(server, page);
  }

  /** The status says this. */
  async reads(title) {
    await this.page.waitForFunction((text) => document.getElementById('status-text').textContent === text, title, WAIT);
  }

  /** Starts the camera and waits for the stream. */
  async goLive() {
    await this.page.click('#start');
    await this.reads('Live');
  }

  /** The worker that sends and receives; nothing can be run in Firefox's. */
  streamWorker() {
    return this.page.workers().find((worker) => worker.url().endsWith('/stream_worker.js'));
  }

  /** This many more masks are painted. */
  async sees(count) {
    await this.page.evaluate(() => (window.paintedBefore = window.segue.stream.pulse?.snapshot.painted ?? 0));
    await this.page.waitForFunction((more) => window.segue.stream.pulse?.snapshot.painted >= window.paintedBefore + more, count, WAIT);
  }

  /** The first mode besides the current one that can serve. */
  otherMode() {
    return this.page.evaluate(() => {
      const { modes, mode: current } = window.segue.stream;
      return modes.find((mode) => mode !== current && mode.state !== 'unavailable')?.name;
    });
  }

  /** The mode's own name is answering. */
  async isAnsweredBy(mode) {
    await this.page.waitForFunction((name) => window.segue.page.painted?.mode.name === name, mode, WAIT);
  }

  async choose(mode) {
    await this.page.locator('label', { has: this.page.locator(`input[name="mode"][value="${mode}"]`) }).click();
  }

  cameraIsOn() {
    return this.page.evaluate(() => document.getElementById('video').srcObject !== null);
  }

  /** They neither connected again nor twice. Of Firefox's workers nobody is told. */
  assertOneSocket() {
    if (!isFirefox) assert.deepEqual([this.sockets, this.closedSockets], [1, 0]);
  }

  /** Nothing but that the server could not be reached: for tests in which it could not. */
  assertNoOtherComplaints() {
    assert.deepEqual(this.complaints.filter((text) => !isOfConnecting(text)), []);
  }
}

/** Closed with the test `t`. */
export async function newContext(t, browser, { viewport = { width: 1280, height: 800 }, colorScheme } = {}) {
  const context = await browser.newContext({ viewport, acceptDownloads: true, ...(colorScheme ? { colorScheme } : {}) });
  t.after(() => context.close());
  return context;
}
