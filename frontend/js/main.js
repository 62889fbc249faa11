/** Where the page begins: one of everything, joined. `window.segue` is for the console and for tests. */

import { find } from './app/find.js';
import { OperatorPanel } from './app/operator_panel.js';
import { Page } from './app/page.js';
import { StandingAlert } from './app/standing_alert.js';
import { TokenStore } from './app/token_store.js';
import { SystemClock } from './core/clock.js';
import { Connection } from './core/connection.js';
import { FrameStats } from './core/frame_stats.js';
import { OperatorApi } from './core/operator_api.js';
import { Operator } from './core/operator.js';
import { Session } from './core/session.js';

const clock = new SystemClock();
const url = new URL('/ws', location.href);
url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
const connection = new Connection({ url: url.href, clock });
const session = new Session({ connection, clock });
const stats = new FrameStats(clock);
const page = new Page({ clock, connection, session, stats });

const operator = new Operator({ api: new OperatorApi({ clock }), tokens: new TokenStore(), clock });
const panel = new OperatorPanel(find, operator);
new StandingAlert(find, operator, () => panel.show());
session.configured.subscribe(() => operator.refresh());
document.addEventListener('visibilitychange', () => operator.setVisible(!document.hidden));

Object.assign(window, { segue: { session, connection, stats, page, operator } });
window.addEventListener('pagehide', () => {
  operator.close();
  session.close();
});
window.addEventListener('pageshow', () => {
  session.open();
  operator.setVisible(!document.hidden);
  operator.open();
});
