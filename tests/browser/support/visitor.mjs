import { chromium } from 'playwright-core';
import { clip } from './clip.mjs';
import { SegueServer } from './segue_server.mjs';

const WAIT = { timeout: 60_000 };
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** What the machine has for a camera. */
export const CAMERA = {
  clip: ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', `--use-file-for-fake-video-capture=${clip}`],
  denied: ['--use-fake-device-for-media-stream', '--deny-permission-prompts'],
  none: ['--use-fake-device-for-media-stream=device-count=0', '--use-fake-ui-for-media-stream'],
};

/** Someone with a browser of their own on the page of a server. */
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

  /** On the page of `server`, or of one of their own. */
  static async arrive(t, { camera = CAMERA.clip, viewport = { width: 1280, height: 800 }, hostName, isAt = 'Ready', server } = {}) {
    server ??= await SegueServer.startFor(t);
    const hosts = hostName ? [`--host-resolver-rules=MAP ${hostName} 127.0.0.1`] : [];
    const browser = await chromium.launch({ executablePath: process.env.SEGUE_CHROMIUM ?? '/usr/bin/chromium', args: [...FLAGS, ...camera, ...hosts] });
    t.after(() => browser.close());
    const page = await browser.newPage({ viewport });
    page.setDefaultTimeout(WAIT.timeout);
    const visitor = new Visitor(server, page);
    await page.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
    });
    await page.goto(hostName ? `http://${hostName}:${server.port}/` : server.url);
    await visitor.reads(isAt);
    return visitor;
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

  /** The worker that sends and receives. */
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
}
