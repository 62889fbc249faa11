/**
 * @import { Clock } from '../core/clock.js'
 * @import { Connection } from '../core/connection.js'
 * @import { DecodedResult } from '../core/decoded_result.js'
 * @import { FrameStats } from '../core/frame_stats.js'
 * @import { Session } from '../core/session.js'
 * @import { CameraProblem } from './camera.js'
 * @import { View } from './views/all_views.js'
 */

import { CameraError } from './camera_error.js';
import { Capture } from './capture.js';
import { find } from './find.js';
import { FrameKeeper } from './frame_keeper.js';
import { Legend } from './legend.js';
import { ModeMenu } from './mode_menu.js';
import { Numbers } from './numbers.js';
import { Shortcuts } from './shortcuts.js';
import { Stage } from './stage.js';
import { StatusLine } from './status_line.js';
import { describe } from './status_words.js';
import { Toast } from './toast.js';
import { ViewMenu } from './view_menu.js';
import { allViews } from './views/all_views.js';

const REFRESH_MILLIS = 250;
const CAMERA_KEPT_MICROS = 30_000_000;
const FAILURES_TO_SAY_SO = 3;

/** The page: brings camera, session and controls to what the user and the server want, and says what is going on. */
export class Page {
  frames = new FrameKeeper();

  #clock;
  #connection;
  #session;
  #stats;
  #video = find('video', HTMLVideoElement);
  #startButton = find('start', HTMLButtonElement);
  #mirrorBox = find('mirror', HTMLInputElement);
  #softEdgeBox = find('soft-edge', HTMLInputElement);
  #help = find('help', HTMLDialogElement);
  #status = new StatusLine(find);
  #numbers = new Numbers(find);
  #legend = new Legend(find('legend'), find('legend-empty'));
  #toast;
  #stage;

  #isWanted = false;
  #isStarting = false;
  /** @type {Capture | null} */
  #capture = null;
  /** @type {CameraProblem | 'encoder' | null} */
  #cameraProblem = null;
  #cameraKeptUntil = 0;
  #failuresInARow = 0;
  #failure = '';

  /** @param {{ clock: Clock, connection: Connection, session: Session, stats: FrameStats }} parts */
  constructor({ clock, connection, session, stats }) {
    this.#clock = clock;
    this.#connection = connection;
    this.#session = session;
    this.#stats = stats;
    this.#toast = new Toast(find('toast'), clock);
    const views = allViews();
    this.#stage = new Stage(
      { root: find('stage'), video: this.#video, canvas: find('overlay', HTMLCanvasElement), view: views[0] },
      (painted) => this.#afterPaint(painted),
    );
    this.#buildControls(views);
    this.#listen();
    if (!navigator.mediaDevices?.getUserMedia) this.#cameraProblem = 'insecure';
    this.#refresh();
  }

  /** What the canvas shows. */
  get painted() {
    return this.#stage.painted;
  }

  toggle() {
    this.#isWanted = !this.#isWanted;
    if (this.#isWanted) {
      this.#cameraProblem = null;
      this.#failuresInARow = 0;
      this.#connection.retryNow();
    }
    this.#settle();
  }

  /** @param {View[]} views */
  #buildControls(views) {
    const modeMenu = new ModeMenu(find('modes'), this.#session);
    const viewMenu = new ViewMenu(
      { group: find('views'), slider: find('opacity', HTMLInputElement), output: find('opacity-output'), views },
      { onChosen: (view) => this.#stage.setView(view), onStrength: (strength) => this.#stage.setStrength(strength) },
    );
    this.#startButton.addEventListener('click', () => this.toggle());
    find('retry').addEventListener('click', () => this.#connection.retryNow());
    find('keep-trace').addEventListener('click', () => this.#keepTrace());
    find('help-open').addEventListener('click', () => this.#help.showModal());
    find('help-close').addEventListener('click', () => this.#help.close());
    this.#mirrorBox.addEventListener('change', () => this.#stage.setMirrored(this.#mirrorBox.checked));
    this.#softEdgeBox.addEventListener('change', () => this.#session.setSoftEdge(this.#softEdgeBox.checked));
    this.#stage.setMirrored(this.#mirrorBox.checked);
    this.#session.setSoftEdge(this.#softEdgeBox.checked);
    new Shortcuts({
      toggle: () => this.toggle(),
      mirror: () => this.#mirrorBox.click(),
      nextView: () => viewMenu.next(),
      keepTrace: () => this.#keepTrace(),
      help: () => this.#help.showModal(),
      mode: (position) => modeMenu.choose(position),
    });
  }

  #listen() {
    const session = this.#session;
    session.changed.subscribe(() => this.#settle());
    session.resultArrived.subscribe((bytes) => this.#stats.received(bytes));
    session.resultDecoded.subscribe((decoded) => {
      this.#failuresInARow = 0;
      if (this.#capture) this.#stage.show(decoded);
    });
    session.frameDropped.subscribe(({ reason, message }) => {
      this.#stats.dropped(reason);
      if (reason !== 'backend_failed') return;
      this.#failuresInARow += 1;
      this.#failure = message;
    });
    session.noticed.subscribe(({ message, code }) => this.#toast.show(message || code));
    session.traceAsked.subscribe((traceId) => {
      this.#toast.show('This frame’s trace is kept.', { text: 'See where its time went', href: `/traces?trace=${traceId}` });
    });
    document.addEventListener('visibilitychange', () => this.#settle());
    setInterval(() => this.#settle(), REFRESH_MILLIS);
  }

  #keepTrace() {
    this.#session.keepNextTrace();
    if (!this.#capture) this.#toast.show('The trace of the first frame will be kept. Press Start to send it.');
  }

  /** Brings the camera to what is wanted now. A server that is away for long does not keep it on. */
  #settle() {
    const now = this.#clock.micros();
    if (this.#session.isOpen) this.#cameraKeptUntil = now + CAMERA_KEPT_MICROS;
    else this.#stage.clear();
    const isCameraOn = this.#capture !== null;
    const cameraWanted = this.#isWanted && (this.#session.isOpen || (isCameraOn && now < this.#cameraKeptUntil));
    if (cameraWanted && !isCameraOn && !this.#isStarting) this.#startCapture();
    if (!cameraWanted) this.#stopCapture();
    this.#capture?.pump.setPaused(document.hidden);
    this.#refresh();
  }

  async #startCapture() {
    this.#isStarting = true;
    try {
      const parts = { session: this.#session, stage: this.#stage, video: this.#video, clock: this.#clock };
      const capture = await Capture.open(parts);
      this.#capture = capture;
      this.#stats.restart();
      this.#setMirrored(!capture.facesAway);
      capture.onLost(() => this.#giveUp('lost'));
      capture.pump.failed.subscribe(() => this.#giveUp('encoder'));
      capture.pump.sent.subscribe((sent) => {
        this.#stats.sent(sent.sentBytes);
        this.frames.add(sent);
      });
    } catch (error) {
      this.#giveUp(error instanceof CameraError ? error.problem : 'failed');
    } finally {
      this.#isStarting = false;
      this.#settle();
    }
  }

  #stopCapture() {
    this.#capture?.close();
    this.#capture = null;
  }

  /** @param {CameraProblem | 'encoder'} problem */
  #giveUp(problem) {
    this.#cameraProblem = problem;
    this.#isWanted = false;
    this.#settle();
  }

  /** @param {boolean} isMirrored */
  #setMirrored(isMirrored) {
    this.#mirrorBox.checked = isMirrored;
    this.#stage.setMirrored(isMirrored);
  }

  /** @param {DecodedResult} painted */
  #afterPaint(painted) {
    const paintedAt = this.#clock.micros();
    this.#stats.paintedFrame(painted.capturedAt, paintedAt);
    this.#session.reportPaint(painted, paintedAt);
  }

  #refresh() {
    const { modes, limits, generation, inFlightCount, serverVersion, clockSync } = this.#session;
    const { painted, scheme } = this.#stage;
    const words = describe({
      isWanted: this.#isWanted,
      isCameraOn: this.#capture !== null,
      cameraProblem: this.#cameraProblem,
      phase: this.#connection.phase,
      hasServed: this.#connection.hasServed,
      isHidden: document.hidden,
      hasMask: painted !== null,
      mode: modes.current,
      pendingMode: modes.pending,
      failure: this.#failuresInARow >= FAILURES_TO_SAY_SO ? this.#failure : null,
    });
    this.#status.show(words, this.#connection.retryInMillis);
    this.#startButton.textContent = this.#isWanted ? 'Stop' : 'Start';
    this.#startButton.dataset.running = String(this.#isWanted);
    this.#numbers.show(this.#stats.snapshot(), { inFlight: inFlightCount, maxInFlight: limits?.maxInFlight ?? 0 });
    if (painted) this.#legend.show(painted.mask, scheme);
    else this.#legend.clear();
    find('model').textContent = modes.current ? `${modes.current.name} · ${modes.current.model || modes.current.backend}` : '–';
    find('generation').textContent = limits ? String(generation) : '–';
    find('server-version').textContent = serverVersion || '–';
    find('round-trip').textContent = clockSync.best ? `${(clockSync.best.roundTripMicros / 1000).toFixed(1)} ms away` : '–';
  }
}
