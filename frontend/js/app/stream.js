/**
 * @import { FrameSettings } from '../core/frame_pump.js'
 * @import { Mode } from '../core/messages.js'
 * @import { Notice } from '../core/session.js'
 * @import { Grabbed } from './sources/source.js'
 * @import { Layer, Order, Pulse, Shown, StreamState, Tale } from '../stream/orders.js'
 *
 * @typedef {{ mask: Mask, mode: Mode, encoding: number }} ShownLayer
 * @typedef {object} ShownFrame A frame's result, to be painted. Its picture is to be closed by whoever takes it.
 * @property {number} frameId
 * @property {number} capturedAt
 * @property {number} generation
 * @property {ImageBitmap | null} picture
 * @property {Mask} mask
 * @property {Mode} mode
 * @property {number} encoding
 * @property {ShownLayer | null} other
 * @property {Uint8Array} [jpeg]
 *
 * @typedef {{ reason: string, message: string }} Drop
 */

import { Mask } from '../core/mask.js';
import { Signal } from '../core/signal.js';

/** Layers whose modes are remembered: those of results in flight, and then some. */
const MOST_DESCRIPTIONS = 32;

/** @type {StreamState} */
const UNKNOWN = {
  phase: 'closed',
  hasServed: false,
  retryAt: 0,
  modes: [],
  mode: '',
  pendingMode: '',
  limits: null,
  generation: 0,
  profile: '',
  serverVersion: '',
  rival: null,
};

/** The stream that runs in the worker, as the page sees and orders it. */
export class Stream {
  /** Phase, modes, limits or generation changed. @type {Signal<void>} */
  changed = new Signal();
  /** @type {Signal<Pulse>} */
  pulsed = new Signal();
  /** @type {Signal<ShownFrame>} */
  shown = new Signal();
  /** @type {Signal<Drop>} */
  frameDropped = new Signal();
  /** @type {Signal<Notice>} */
  noticed = new Signal();
  /** @type {Signal<string>} */
  traceAsked = new Signal();
  /** @type {Signal<void>} */
  configured = new Signal();
  /** Only the page can read the source: it is to offer a frame. @type {Signal<void>} */
  frameWanted = new Signal();
  /** @type {Signal<string>} No frames are sent any more. */
  failed = new Signal();

  #worker;
  #state = UNKNOWN;
  #isPaused = false;
  /** @type {Pulse | null} */
  #pulse = null;
  /** @type {Map<number, Mode>} */
  #descriptions = new Map();

  constructor() {
    this.#worker = new Worker(new URL('../stream/stream_worker.js', import.meta.url), { type: 'module' });
    this.#worker.onmessage = ({ data }) => this.#hear(data);
    this.#worker.onerror = (event) => this.failed.emit(event.message || 'the stream’s worker could not start');
  }

  get state() {
    return this.#state;
  }

  get isOpen() {
    return this.#state.phase === 'open';
  }

  get modes() {
    return this.#state.modes;
  }

  /** The mode that answers frames now. */
  get mode() {
    return this.modeNamed(this.#state.mode);
  }

  /** The mode asked for that is not serving yet. */
  get pendingMode() {
    return this.modeNamed(this.#state.pendingMode);
  }

  get limits() {
    return this.#state.limits;
  }

  get generation() {
    return this.#state.generation;
  }

  get inFlightCount() {
    return this.#pulse?.inFlight ?? 0;
  }

  /** The numbers of the last quarter of a second. */
  get pulse() {
    return this.#pulse;
  }

  /** @param {string} name */
  modeNamed(name) {
    return this.#state.modes.find((mode) => mode.name === name);
  }

  /** @param {string} url Also moves to another server. */
  open(url) {
    this.#order({ do: 'open', url });
  }

  close() {
    this.#order({ do: 'close' });
  }

  /** Ends the wait for the next attempt to connect. */
  retryNow() {
    this.#order({ do: 'retry' });
  }

  /** @param {string} mode */
  chooseMode(mode) {
    this.#order({ do: 'mode', mode });
  }

  /** @param {boolean} isOn */
  setSoftEdge(isOn) {
    this.#order({ do: 'soft-edge', isOn });
  }

  /** The trace of the frame that is sent next is to be kept. */
  keepNextTrace() {
    this.#order({ do: 'keep-trace' });
  }

  /** @param {FrameSettings | null} settings Quality and size by hand; null: automatic. */
  pin(settings) {
    this.#order({ do: 'pin', settings });
  }

  /** @param {string | null} mode Null ends the comparison. */
  compareWith(mode) {
    this.#order({ do: 'compare', mode });
  }

  /**
   * @param {{ readable: ReadableStream<VideoFrame> | null, leastIntervalMillis: number }} source Without `readable` the page
   *   is asked for each frame.
   */
  begin({ readable, leastIntervalMillis }) {
    this.#order({ do: 'begin', readable, leastIntervalMillis }, readable ? [readable] : []);
  }

  /** @param {Grabbed} grabbed */
  offer(grabbed) {
    this.#order({ do: 'offer', ...grabbed }, [grabbed.picture]);
  }

  /** @param {string} reason Why there is no frame. */
  fail(reason) {
    this.#order({ do: 'fail', reason });
  }

  end() {
    this.#order({ do: 'end' });
  }

  /** @param {boolean} isPaused */
  setPaused(isPaused) {
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    this.#order({ do: 'pause', isPaused });
  }

  /**
   * @param {number} frameId
   * @param {number} paintedAt
   */
  reportPaint(frameId, paintedAt) {
    this.#order({ do: 'painted', frameId, paintedAt });
  }

  /** @param {number} most For debugging: how many frames keep their JPEG until they are shown. */
  keepFrames(most) {
    this.#order({ do: 'keep-frames', most });
  }

  /**
   * @param {Order} order
   * @param {Transferable[]} [transfer]
   */
  #order(order, transfer = []) {
    this.#worker.postMessage(order, transfer);
  }

  /** @param {Tale} tale */
  #hear(tale) {
    switch (tale.tell) {
      case 'state':
        this.#state = tale.state;
        return this.changed.emit();
      case 'pulse':
        this.#pulse = tale.pulse;
        return this.pulsed.emit(tale.pulse);
      case 'shown':
        return this.shown.emit(this.#read(tale.shown));
      case 'dropped':
        return this.frameDropped.emit(tale);
      case 'notice':
        return this.noticed.emit(tale.notice);
      case 'trace-asked':
        return this.traceAsked.emit(tale.traceId);
      case 'configured':
        return this.configured.emit();
      case 'frame-wanted':
        return this.frameWanted.emit();
      case 'failed':
        return this.failed.emit(tale.reason);
    }
  }

  /**
   * @param {Shown} shown
   * @returns {ShownFrame}
   */
  #read({ layer, other, ...frame }) {
    return { ...frame, ...this.#layerOf(layer), other: other && this.#layerOf(other) };
  }

  /**
   * @param {Layer} layer
   * @returns {ShownLayer}
   */
  #layerOf({ mode, description, mask, encoding }) {
    const known = description ?? this.#descriptions.get(mode);
    if (!known) throw new Error(`a mask of the unknown mode ${mode}`);
    // The last used stands last.
    this.#descriptions.delete(mode);
    this.#descriptions.set(mode, known);
    for (const oldest of this.#descriptions.keys()) {
      if (this.#descriptions.size <= MOST_DESCRIPTIONS) break;
      this.#descriptions.delete(oldest);
    }
    return { mask: new Mask(mask.widthPx, mask.heightPx, mask.classIds, mask.confidence), mode: known, encoding };
  }
}
