/**
 * @import { Clock } from '../core/clock.js'
 * @import { Settings } from '../core/settings.js'
 * @import { Source, SourceChoice } from './sources/source.js'
 * @import { ShownFrame, Stream } from './stream.js'
 */

import { ClassFilter } from '../core/class_filter.js';
import { ComparePanel } from './compare_panel.js';
import { Facts } from './facts.js';
import { find } from './find.js';
import { HealthPanel } from './health_panel.js';
import { LabelLayer } from './label_layer.js';
import { Legend } from './legend.js';
import { lookOf, pictureFrom } from './look.js';
import { ModeMenu } from './mode_menu.js';
import { QualityPanel } from './quality_panel.js';
import { ServerBox } from './server_box.js';
import { Shortcuts } from './shortcuts.js';
import { SourceKeeper } from './source_keeper.js';
import { SourceMenu } from './source_menu.js';
import { Stage } from './stage.js';
import { StatusLine } from './status_line.js';
import { describe } from './status_words.js';
import { Takes } from './takes.js';
import { Toast } from './toast.js';
import { ViewPanel } from './view_panel.js';

const FAILURES_TO_SAY_SO = 3;
/** Without its numbers the page looks after itself all the same. */
const REFRESH_MILLIS = 250;

/** The page: brings source, stream and controls to what the user and the server want, and says what is going on. */
export class Page {
  #clock;
  #stream;
  #settings;
  #startButton = find('start', HTMLButtonElement);
  #help = find('help', HTMLDialogElement);
  #status = new StatusLine(find);
  #health = new HealthPanel();
  #facts = new Facts();
  #toast;
  #stage;
  #labels = new LabelLayer(find('labels', HTMLCanvasElement));
  #legend;
  #sources;
  #keeper;
  #views;
  #compare;
  #takes;
  #server;

  #failuresInARow = 0;
  #failure = '';
  /** @type {ImageBitmap | null} */
  #backdrop = null;

  /** @param {{ clock: Clock, settings: Settings, stream: Stream }} parts */
  constructor({ clock, settings, stream }) {
    this.#clock = clock;
    this.#settings = settings;
    this.#stream = stream;
    this.#toast = new Toast(find('toast'), clock);
    this.#views = new ViewPanel(settings, (file) => this.#takeBackdrop(file));
    const { hidden, only, over } = settings.now;
    const look = { look: this.#look, over, split: 0.5, filter: new ClassFilter(hidden, only) };
    const canvas = find('canvas', HTMLCanvasElement);
    this.#stage = new Stage({ root: find('stage'), canvas, look }, (painted, isNew) => this.#afterPaint(painted, isNew));
    this.#legend = new Legend(settings);
    this.#sources = new SourceMenu(settings, { onChosen: () => this.#keeper.change(), onDevices: () => this.#keeper.devicesChanged() });
    this.#keeper = new SourceKeeper({
      clock,
      parts: { stage: this.#stage, stream, video: find('video', HTMLVideoElement) },
      choice: () => this.#sources.choice,
      onOpened: (source, choice) => this.#afterOpened(source, choice),
      onChanged: () => this.#refresh(),
    });
    this.#compare = new ComparePanel(settings, stream, (split) => this.#stage.setLook({ split }));
    const nameOf = () => `segue-${stream.mode?.name ?? 'picture'}-${settings.now.view}-${new Date().toISOString().replace(/[:.]/g, '-')}`;
    this.#takes = new Takes({ stage: this.#stage, labels: this.#labels.canvas, nameOf, onFailed: (message) => this.#toast.show(message) });
    this.#server = new ServerBox(settings, stream);
    new QualityPanel(settings, stream);
    this.#buildControls();
    this.#listen();
  }

  /** What the canvas shows. */
  get painted() {
    return this.#stage.painted;
  }

  get stage() {
    return this.#stage;
  }

  /** Connects, and takes up what was chosen before. */
  open() {
    this.#server.open();
    if (this.#settings.now.mode) this.#stream.chooseMode(this.#settings.now.mode);
    this.#stream.setSoftEdge(this.#settings.now.softEdge);
    this.#compare.start();
    this.#refresh();
  }

  toggle() {
    this.#failuresInARow = 0;
    if (this.#stream.state.phase === 'closed') this.#server.open();
    else this.#stream.retryNow();
    this.#keeper.toggle();
  }

  /** Until it is opened again. */
  close() {
    this.#keeper.rest();
    this.#stream.close();
  }

  #buildControls() {
    const modeMenu = new ModeMenu(find('modes'), this.#stream, (mode) => this.#chooseMode(mode));
    this.#startButton.addEventListener('click', () => this.toggle());
    find('retry').addEventListener('click', () => this.#stream.retryNow());
    find('keep-trace').addEventListener('click', () => this.#keepTrace());
    find('copy-link').addEventListener('click', () => void this.#copyLink());
    find('help-open').addEventListener('click', () => this.#help.showModal());
    find('help-close').addEventListener('click', () => this.#help.close());
    new Shortcuts({
      toggle: () => this.toggle(),
      mode: (position) => modeMenu.choose(position),
      keys: {
        v: () => this.#views.nextView(),
        o: () => this.#views.toggleOver(),
        l: () => this.#views.toggleLabels(),
        m: () => this.#views.toggleMirror(),
        '/': () => this.#legend.focusSearch(),
        a: () => this.#legend.showAll(),
        s: () => void this.#takes.snapshot(),
        r: () => this.#takes.toggle(),
        k: () => this.#keepTrace(),
        '?': () => this.#help.showModal(),
      },
    });
  }

  #listen() {
    const stream = this.#stream;
    stream.changed.subscribe(() => this.#settle());
    stream.pulsed.subscribe((pulse) => this.#health.show(pulse, stream.limits));
    stream.shown.subscribe((frame) => {
      this.#failuresInARow = 0;
      if (this.#keeper.isOn) this.#stage.show(frame);
      else frame.picture?.close();
    });
    stream.frameDropped.subscribe(({ reason, message }) => {
      if (reason !== 'backend_failed') return;
      this.#failuresInARow += 1;
      this.#failure = message;
    });
    stream.noticed.subscribe(({ message, code }) => this.#toast.show(message || code));
    stream.traceAsked.subscribe((traceId) => {
      const link = this.#server.isOwn ? { text: 'See where its time went', href: `/traces?trace=${traceId}` } : undefined;
      this.#toast.show('This frame’s trace is kept.', link);
    });
    this.#settings.changed.subscribe((key) => this.#follow(key));
    document.addEventListener('visibilitychange', () => this.#settle());
    // A link that was pasted into this tab.
    window.addEventListener('hashchange', () => location.reload());
    window.addEventListener('online', () => stream.retryNow());
    setInterval(() => this.#settle(), REFRESH_MILLIS);
  }

  /** @param {keyof Settings['now']} key What the user changed. */
  #follow(key) {
    const { hidden, only, over, softEdge, labels } = this.#settings.now;
    if (key === 'softEdge') this.#stream.setSoftEdge(softEdge);
    if (key === 'labels' && !labels) this.#labels.clear();
    if (key === 'hidden' || key === 'only') this.#stage.setLook({ filter: new ClassFilter(hidden, only) });
    this.#stage.setLook({ look: this.#look, over });
    this.#refresh();
    showLink(this.#settings.link);
  }

  get #look() {
    return lookOf(this.#settings.now, { isMirrored: this.#views.isMirrored, picture: this.#backdrop });
  }

  /** @param {File} file */
  async #takeBackdrop(file) {
    const picture = await pictureFrom(file);
    if (!picture) return this.#toast.show(`${file.name} is no picture that this browser can read.`);
    this.#backdrop?.close();
    this.#backdrop = picture;
    this.#stage.setLook({ look: this.#look });
  }

  async #copyLink() {
    const link = `${location.origin}${location.pathname}#${this.#settings.link}`;
    try {
      await navigator.clipboard.writeText(link);
      this.#toast.show('The link is copied. It opens the page as you see it.');
    } catch {
      this.#toast.show('The browser allows no copying; the address bar has the link.');
    }
  }

  /** @param {string} mode Asked for even where it was chosen before: the server may have moved on since. */
  #chooseMode(mode) {
    this.#settings.set('mode', mode);
    this.#stream.chooseMode(mode);
  }

  #keepTrace() {
    this.#stream.keepNextTrace();
    if (!this.#keeper.isOn) this.#toast.show('The trace of the first frame will be kept. Press Start to send it.');
  }

  #settle() {
    if (!this.#stream.isOpen) this.#stage.clear();
    this.#stream.setPaused(document.hidden);
    this.#keeper.settle();
  }

  /**
   * @param {Source} source
   * @param {SourceChoice} choice
   */
  #afterOpened(source, choice) {
    this.#views.setSelfView(source.isSelfView);
    this.#stage.setLook({ look: this.#look });
    if (choice.kind === 'camera') this.#sources.showCamera(source.deviceId);
  }

  /**
   * @param {ShownFrame | null} painted
   * @param {boolean} isNew
   */
  #afterPaint(painted, isNew) {
    if (painted && isNew) this.#stream.reportPaint(painted.frameId, this.#clock.micros());
    const { labels, view } = this.#settings.now;
    if (labels && painted) {
      const where = { isMirrored: this.#views.isMirrored, isBeside: view === 'side-by-side', picture: this.#stage.canvas };
      this.#labels.draw(this.#stage.layers, where);
    }
    this.#takes.painted();
  }

  #refresh() {
    const { mode, pendingMode, state, pulse } = this.#stream;
    const { painted, scheme } = this.#stage;
    const words = describe({
      source: this.#sources.choice.kind,
      isWanted: this.#keeper.isWanted,
      isSourceOn: this.#keeper.isOn,
      problem: this.#keeper.problem,
      phase: state.phase,
      hasServed: state.hasServed,
      isHidden: document.hidden,
      hasMask: painted !== null,
      mode,
      pendingMode,
      failure: this.#failuresInARow >= FAILURES_TO_SAY_SO ? this.#failure : null,
    });
    this.#status.show(words, Math.max(0, (state.retryAt - this.#clock.micros()) / 1000));
    this.#startButton.textContent = this.#keeper.isWanted ? 'Stop' : 'Start';
    this.#startButton.dataset.running = String(this.#keeper.isWanted);
    this.#takes.setLive(this.#keeper.isOn);
    if (painted && scheme) this.#legend.show(painted.mask, scheme);
    else this.#legend.clear();
    if (!painted) this.#labels.clear();
    this.#compare.show(painted, pulse?.comparison ?? null);
    find('shows').hidden = !this.#keeper.isOn;
    find('shows').textContent = this.#stage.showsOwnFrame ? 'The mask’s own frame' : 'Live video';
    this.#facts.show(this.#stream);
  }
}

/** @param {string} link What the address says after `#`. */
function showLink(link) {
  try {
    history.replaceState(null, '', `${location.pathname}${location.search}#${link}`);
  } catch {
    // Some browsers take only so many a minute: the next change, or Copy link, has it all.
  }
}
