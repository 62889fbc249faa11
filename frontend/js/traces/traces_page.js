/**
 * @import { Clock } from '../core/clock.js'
 * @import { Trace } from '../core/traces.js'
 * @import { LiveSource } from './live_source.js'
 * @import { ViewState } from './view_state.js'
 */

import { find } from '../app/find.js';
import { TraceError } from '../core/trace_error.js';
import { Capsule } from './capsule.js';
import { CapsuleDoor } from './capsule_door.js';
import { ComparisonTable } from './comparison_table.js';
import { Filters } from './filters.js';
import { FramePanel } from './frame_panel.js';
import { GenerationSamples } from './generation_samples.js';
import { HeatMap } from './heat_map.js';
import { LaneChart } from './lane_chart.js';
import { OpenTrace } from './open_trace.js';
import { showCapsule, showDiagnosis, showMarks } from './page_parts.js';
import { describe, noFrameInWords, problemInWords } from './page_words.js';
import { SlowTable } from './slow_table.js';
import { Tip } from './tip.js';
import { TraceFeed } from './trace_feed.js';
import { TraceKeys } from './trace_keys.js';
import { isFiltered, readState, START, writeState } from './view_state.js';
import { counted } from './words.js';

/** Of the state: what does not ask the server anew. */
const SIGHT_ONLY = new Set(['isFollowing', 'trace', 'before', 'after', 'layout']);

/** The page: its state stands in the address, the feed brings what the state asks for, and every part shows it. */
export class TracesPage {
  #live;
  #feed;
  #open;
  #samples;
  #state = readState(location.search);
  /** @type {Capsule | null} */
  #capsule = null;
  /** @type {TraceError | null} */
  #fileProblem = null;

  #tip = new Tip(find('tip'));
  #filters = new Filters((change) => this.#change(change));
  #heat;
  #lanes;
  #panel = new FramePanel({ body: find('frame-body'), heading: find('frame-heading') });
  #comparison;
  #slowest = new SlowTable(find('slowest'), (trace) => this.#openTrace(trace, true));
  #followBox = find('follow', HTMLInputElement);
  #door = new CapsuleDoor((file) => this.#openCapsule(file));
  #keys;
  #abort = new AbortController();

  /** @param {{ live: LiveSource, clock: Clock }} parts */
  constructor({ live, clock }) {
    this.#live = live;
    this.#feed = new TraceFeed({ source: live, clock, state: this.#state });
    this.#open = new OpenTrace(live);
    this.#samples = new GenerationSamples(live);
    this.#heat = new HeatMap({ canvas: find('heat', HTMLCanvasElement), words: find('heat-words'), tip: this.#tip }, (since, until) =>
      this.#change({ since, until, lastSeconds: 0, isFollowing: false }),
    );
    const lanes = { canvas: find('lanes', HTMLCanvasElement), words: find('lanes-words'), tip: this.#tip };
    this.#lanes = new LaneChart(lanes, (trace) => this.#openTrace(trace, true));
    const selects = { before: find('compare-before', HTMLSelectElement), after: find('compare-after', HTMLSelectElement) };
    this.#comparison = new ComparisonTable({ table: find('compare'), words: find('compare-words'), ...selects }, (before, after) =>
      this.#change({ before, after }),
    );
    this.#keys = new TraceKeys({
      previous: () => this.#step(-1),
      next: () => this.#step(1),
      close: () => this.#change({ trace: '' }),
      follow: () => this.#followBox.click(),
      slow: () => this.#filters.toggleSlow(),
      help: () => find('help', HTMLDialogElement).showModal(),
    });
    this.#listen();
    this.#feed.changed.subscribe(() => this.#renderAll());
    this.#samples.changed.subscribe(() => this.#renderComparison());
    this.#open.changed.subscribe(() => this.#renderFrame());
    this.#open.open(this.#state.trace, []);
    this.#feed.ask(this.#state);
    this.#renderAll();
  }

  close() {
    this.#abort.abort();
    this.#feed.close();
    this.#heat.close();
    this.#lanes.close();
    this.#door.close();
    this.#keys.close();
  }

  #listen() {
    const { signal } = this.#abort;
    /** @type {(id: string, action: () => void) => void} */
    const onClick = (id, action) => find(id).addEventListener('click', action, { signal });
    onClick('help-open', () => find('help', HTMLDialogElement).showModal());
    onClick('help-close', () => find('help', HTMLDialogElement).close());
    onClick('frame-previous', () => this.#step(-1));
    onClick('frame-next', () => this.#step(1));
    onClick('frame-close', () => this.#change({ trace: '' }));
    onClick('range-clear', () => this.#change({ since: null, until: null, isFollowing: true }));
    onClick('zoom-in', () => this.#lanes.zoom(1));
    onClick('zoom-out', () => this.#lanes.zoom(-1));
    onClick('zoom-all', () => this.#lanes.showAll());
    onClick('capsule-close', () => this.#useCapsule(null));
    this.#followBox.addEventListener('change', () => this.#setFollowing(this.#followBox.checked), { signal });
    for (const input of document.querySelectorAll('input[name="layout"]')) {
      input.addEventListener('change', () => this.#change({ layout: /** @type {HTMLInputElement} */ (input).value === 'frames' ? 'frames' : 'sessions' }), { signal });
    }
    document.addEventListener('visibilitychange', () => this.#feed.setVisible(!document.hidden), { signal });
    window.addEventListener('popstate', () => this.#setState(readState(location.search)), { signal });
  }

  /** @param {Partial<ViewState>} change */
  #change(change) {
    const state = { ...this.#state, ...change };
    const address = `${location.pathname}${writeState(state)}`;
    const isStep = 'trace' in change && this.#state.trace !== '' && state.trace !== '';
    if (isStep) history.replaceState(null, '', address);
    else history.pushState(null, '', address);
    this.#setState(state);
  }

  /** @param {ViewState} state */
  #setState(state) {
    const changed = /** @type {(keyof ViewState)[]} */ (Object.keys(state)).filter((key) => state[key] !== this.#state[key]);
    this.#state = state;
    this.#open.open(state.trace, this.#known);
    if (changed.some((key) => !SIGHT_ONLY.has(key))) {
      this.#lanes.restart();
      this.#samples.restart();
      this.#feed.ask(state);
    } else if (changed.includes('isFollowing')) this.#feed.follow(state);
    this.#renderAll();
  }

  /** A range of time stands still: following goes on without it. @param {boolean} isFollowing */
  #setFollowing(isFollowing) {
    this.#change(isFollowing && this.#state.until !== null ? { isFollowing, since: null, until: null } : { isFollowing });
  }

  /**
   * @param {Trace} trace
   * @param {boolean} isShown Brought into sight where the page is narrow.
   */
  #openTrace(trace, isShown) {
    this.#change({ trace: trace.traceId });
    if (isShown) find('frame').scrollIntoView({ block: 'nearest' });
  }

  /**
   * The frame of the same session that began before or after.
   *
   * @param {number} step 1 is later.
   */
  #step(step) {
    const { traces } = this.#feed;
    const open = this.#open.trace;
    const known = open ? traces.filter((trace) => trace.session === open.session) : traces;
    const position = known.findIndex((trace) => trace.traceId === open?.traceId);
    const next = position === -1 ? known[0] : known[position - step];
    if (next) this.#openTrace(next, false);
  }

  get #known() {
    return [...this.#feed.traces, ...(this.#feed.summary?.traces ?? [])];
  }

  /** @param {File} file */
  async #openCapsule(file) {
    try {
      this.#useCapsule(await Capsule.open(file));
    } catch (error) {
      if (!(error instanceof TraceError)) throw error;
      this.#fileProblem = error;
      this.#renderWords();
    }
  }

  /** @param {Capsule | null} capsule */
  #useCapsule(capsule) {
    this.#capsule = capsule;
    this.#fileProblem = null;
    showCapsule(capsule);
    this.#open.setSource(capsule ?? this.#live);
    this.#samples.setSource(capsule ?? this.#live);
    this.#feed.setSource(capsule ?? this.#live);
    this.#lanes.restart();
    const { isFollowing, layout } = this.#state;
    this.#change({ ...START, isFollowing, layout });
  }

  #renderAll() {
    const { traces, summary } = this.#feed;
    const { layout, since, until } = this.#state;
    this.#open.refresh(this.#known);
    this.#renderWords();
    this.#filters.show(this.#state, traces, summary);
    this.#followBox.checked = this.#state.isFollowing;
    this.#followBox.disabled = this.#capsule !== null;
    find('range-clear').hidden = since === null && until === null;
    for (const input of document.querySelectorAll('input[name="layout"]')) {
      if (input instanceof HTMLInputElement) input.checked = input.value === layout;
    }
    if (summary) {
      showDiagnosis(summary.diagnosis);
      showMarks(summary.marks);
      find('slowest-words').textContent = summary.matched === 0 ? '' : `of ${counted(summary.matched, 'frame')}`;
    }
    if (traces.length > 0) {
      this.#heat.show(traces, summary?.marks ?? [], summary?.slowMillis ?? 0);
      this.#lanes.show(traces, summary?.marks ?? [], layout);
      this.#renderComparison();
      this.#slowest.show(summary?.traces ?? [], this.#state.trace);
    }
    this.#renderFrame();
  }

  #renderComparison() {
    const { traces, summary } = this.#feed;
    this.#comparison.show(this.#samples.choose(traces, summary?.marks ?? [], this.#state));
  }

  #renderWords() {
    const { traces, summary, problem, isLoading } = this.#feed;
    const isLive = this.#capsule === null;
    const { isFollowing } = this.#state;
    const words = describe({ isLive, isFollowing, isFiltered: isFiltered(this.#state), isLoading, shown: traces.length, problem, summary });
    setText('status-text', words.status);
    find('status').dataset.tone = words.tone;
    const complaint = this.#fileProblem ?? (traces.length > 0 ? problem : null);
    find('problem').hidden = complaint === null;
    setText('problem', complaint ? problemInWords(complaint) : '');
    const isEmpty = words.empty !== null && this.#state.trace === '';
    find('empty').hidden = words.empty === null;
    find('board').hidden = isEmpty || (words.empty !== null && this.#open.trace === null && this.#open.problem === null);
    find('board').toggleAttribute('data-alone', words.empty !== null);
    if (!words.empty) return;
    if (!summary) setText('diagnosis-text', words.empty.title);
    setText('empty-title', words.empty.title);
    setText('empty-text', words.empty.text);
    find('empty-camera').hidden = !words.empty.hasCamera;
  }

  #renderFrame() {
    const { trace, problem, traceId } = this.#open;
    this.#lanes.select(traceId);
    this.#renderWords();
    if (trace && traceId) this.#panel.show(trace, this.#feed.source.picture(traceId));
    else this.#panel.showNone(noFrameInWords(problem, traceId, this.#capsule === null));
    find('frame-close').hidden = traceId === '';
  }
}

/**
 * Only when it is another: what is set anew is read aloud anew.
 *
 * @param {string} id
 * @param {string} text
 */
function setText(id, text) {
  const element = find(id);
  if (element.textContent !== text) element.textContent = text;
}
