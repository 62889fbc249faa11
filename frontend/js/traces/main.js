/** Where the traces page begins. `window.segue` is for the console and for tests. */

import { SystemClock } from '../core/clock.js';
import { TraceApi } from '../core/trace_api.js';
import { LiveSource } from './live_source.js';
import { TracesPage } from './traces_page.js';

const clock = new SystemClock();
const live = new LiveSource(new TraceApi({ clock }), clock.micros());
const page = new TracesPage({ live, clock });

Object.assign(window, { segue: { page } });
