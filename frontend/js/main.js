/** Where the page begins: one of everything, joined. `window.segue` is for the console and for tests. */

import { find } from './app/find.js';
import { OperatorPanel } from './app/operator_panel.js';
import { Page } from './app/page.js';
import { settingsStorage } from './app/settings_storage.js';
import { StandingAlert } from './app/standing_alert.js';
import { Stream } from './app/stream.js';
import { TokenStore } from './app/token_store.js';
import { SystemClock } from './core/clock.js';
import { OperatorApi } from './core/operator_api.js';
import { Operator } from './core/operator.js';
import { Settings } from './core/settings.js';

const clock = new SystemClock();
const stream = new Stream();
const settings = new Settings(settingsStorage(), location.hash);
const page = new Page({ clock, settings, stream });

const operator = new Operator({ api: new OperatorApi({ clock }), tokens: new TokenStore(), clock });
const panel = new OperatorPanel(find, operator);
new StandingAlert(find, operator, () => panel.show());
stream.configured.subscribe(() => operator.refresh());
document.addEventListener('visibilitychange', () => operator.setVisible(!document.hidden));

Object.assign(window, { segue: { stream, settings, page, operator } });
window.addEventListener('pagehide', () => {
  operator.close();
  page.close();
});
window.addEventListener('pageshow', () => {
  page.open();
  operator.setVisible(!document.hidden);
  operator.open();
});
