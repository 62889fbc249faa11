/**
 * The browser that the tests drive: Chromium, or Firefox where `SEGUE_BROWSER` says so. Both are Debian's, as users have
 * them. Firefox paints with WebGL only where it has a display, such as that of `xvfb-run`.
 */

import { chromium, firefox } from 'playwright-core';
import { after } from 'node:test';
import { clip, showsPerson as clipShowsPerson } from './clip.mjs';

export const isFirefox = process.env.SEGUE_BROWSER === 'firefox';

/** Firefox has a camera of its own, with nobody in front of it. */
export const showsPerson = clipShowsPerson && !isFirefox;

export const CHROMIUM = process.env.SEGUE_CHROMIUM ?? '/usr/bin/chromium';

const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** What paints: nothing but the canvas's own code, or a graphics card that the processor stands in for. */
export const GRAPHICS = {
  none: ['--disable-gpu'],
  card: ['--ignore-gpu-blocklist', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'],
};

/** What the machine has for a camera, and whether it may be used: flags of Chromium, preferences of Firefox. */
export const CAMERA = {
  clip: {
    flags: ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', `--use-file-for-fake-video-capture=${clip}`],
    preferences: { 'media.navigator.streams.fake': true, 'media.navigator.permission.disabled': true },
  },
  /** A pattern, twice as often. */
  quick: {
    flags: ['--use-fake-device-for-media-stream=fps=60', '--use-fake-ui-for-media-stream'],
    preferences: { 'media.navigator.streams.fake': true, 'media.navigator.permission.disabled': true },
  },
  denied: {
    flags: ['--use-fake-device-for-media-stream', '--deny-permission-prompts'],
    preferences: { 'media.navigator.streams.fake': true, 'permissions.default.camera': 2 },
  },
  none: {
    flags: ['--use-fake-device-for-media-stream=device-count=0', '--use-fake-ui-for-media-stream'],
    preferences: { 'media.navigator.permission.disabled': true },
  },
};

/** One of each kind for all tests of a file. @type {Map<string, Promise<import('playwright-core').Browser>>} */
const running = new Map();

after(async () => {
  for (const browser of running.values()) await (await browser).close();
});

/**
 * A browser that others of the same kind share; what is opened there is to be closed.
 *
 * @param {{ camera?: { flags: string[], preferences: object }, graphics?: string[], hostName?: string, flags?: string[], program?: string }} [kind]
 *   `hostName` leads to this machine; `flags` are more of Chromium's, `program` stands in for it.
 */
export function browserOf({ camera = CAMERA.clip, graphics = GRAPHICS.none, hostName, flags = [], program } = {}) {
  const key = JSON.stringify([camera, graphics, hostName, flags, program]);
  if (!running.has(key)) running.set(key, isFirefox ? launchFirefox(camera, hostName) : launchChromium([...camera.flags, ...graphics, ...flags], hostName, program));
  return running.get(key);
}

function launchChromium(flags, hostName, program) {
  const hosts = hostName ? [`--host-resolver-rules=MAP ${hostName} 127.0.0.1`] : [];
  return chromium.launch({ executablePath: program ?? CHROMIUM, args: [...CHROMIUM_FLAGS, ...flags, ...hosts] });
}

function launchFirefox(camera, hostName) {
  const hosts = hostName ? { 'network.dns.localDomains': hostName } : {};
  return firefox.launch({
    // The one that Mozilla makes, by the protocol that browsers have in common.
    channel: 'moz-firefox',
    executablePath: process.env.SEGUE_FIREFOX ?? '/usr/bin/firefox-esr',
    headless: !process.env.DISPLAY,
    firefoxUserPrefs: { ...camera.preferences, ...hosts },
  });
}
