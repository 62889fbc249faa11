/** Where the page begins: one of everything, joined. `window.segue` is for the console and for tests. */

import { Page } from './app/page.js';
import { SystemClock } from './core/clock.js';
import { Connection } from './core/connection.js';
import { FrameStats } from './core/frame_stats.js';
import { Session } from './core/session.js';

const clock = new SystemClock();
const url = new URL('/ws', location.href);
url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
const connection = new Connection({ url: url.href, clock });
const session = new Session({ connection, clock });
const stats = new FrameStats(clock);
const page = new Page({ clock, connection, session, stats });

Object.assign(window, { segue: { session, connection, stats, page } });
window.addEventListener('pagehide', () => session.close());
window.addEventListener('pageshow', () => session.open());
