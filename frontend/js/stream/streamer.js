/**
 * @import { Clock } from '../core/clock.js'
 * @import { SocketLike } from '../core/connection.js'
 * @import { DecodedResult } from '../core/decoded_result.js'
 * @import { Answered } from '../core/frame_pairs.js'
 * @import { SentFrame } from '../core/frame_pump.js'
 * @import { Begin, Order, Painted, Tell } from './orders.js'
 *
 * @typedef {(url: string, subprotocol: string) => SocketLike} OpenSocket
 */

import { AdaptiveQuality } from '../core/adaptive_quality.js';
import { Connection } from '../core/connection.js';
import { FramePairs } from '../core/frame_pairs.js';
import { FramePump } from '../core/frame_pump.js';
import { Session } from '../core/session.js';
import { Departures } from './departures.js';
import { Describer } from './describer.js';
import { NewestFrameEncoder } from './newest_frame_encoder.js';
import { Rival } from './rival.js';
import { StreamNumbers } from './stream_numbers.js';

const PULSE_MILLIS = 250;

/** The stream as the page orders it: frames out, masks in, and what there is to tell about both. */
export class Streamer {
  #clock;
  #tell;
  #openSocket;
  /** @type {Connection | null} */
  #connection = null;
  /** @type {Session | null} */
  #session = null;
  /** @type {FramePairs | null} */
  #pairs = null;
  /** @type {Rival | null} */
  #rival = null;
  /** @type {FramePump | null} */
  #pump = null;
  /** @type {NewestFrameEncoder | null} */
  #encoder = null;
  #quality;
  #numbers;
  #departures = new Departures();
  #describer = new Describer();
  #softEdge = true;
  #isPaused = false;
  #stateIsDue = false;

  /** @param {{ clock: Clock, tell: Tell, openSocket?: OpenSocket }} parts */
  constructor({ clock, tell, openSocket }) {
    this.#clock = clock;
    this.#tell = tell;
    this.#openSocket = openSocket;
    this.#quality = new AdaptiveQuality({ clock });
    this.#numbers = new StreamNumbers(clock);
    this.#pulse();
  }

  /** @param {Order} order */
  obey(order) {
    switch (order.do) {
      case 'open':
        return this.#open(order.url);
      case 'close':
        return this.#close();
      case 'retry':
        return this.#connection?.retryNow();
      case 'mode':
        return this.#session?.chooseMode(order.mode);
      case 'soft-edge':
        return this.#setSoftEdge(order.isOn);
      case 'keep-trace':
        return this.#session?.keepNextTrace();
      case 'begin':
        return this.#begin(order);
      case 'offer':
        return this.#encoder ? this.#encoder.offer(order.picture, order.capturedAt, order.takenAt) : order.picture.close();
      case 'fail':
        return this.#encoder?.fail(order.reason);
      case 'end':
        return this.#end();
      case 'pause':
        return this.#pause(order.isPaused);
      case 'pin':
        return this.#quality.pin(order.settings);
      case 'compare':
        return this.#compare(order.mode);
      case 'painted':
        return this.#painted(order);
      case 'keep-frames':
        return this.#departures.keepJpegs(order.most);
    }
  }

  /** @param {string} url */
  #open(url) {
    if (this.#connection && this.#session) return this.#move(url, this.#connection, this.#session);
    const connection = new Connection({ url, clock: this.#clock, openSocket: this.#openSocket });
    const session = new Session({ connection, clock: this.#clock });
    const pairs = new FramePairs(session);
    this.#connection = connection;
    this.#session = session;
    this.#pairs = pairs;
    session.setSoftEdge(this.#softEdge);
    session.changed.subscribe(() => this.#follow());
    session.configured.subscribe(() => this.#tell({ tell: 'configured' }));
    session.resultArrived.subscribe((bytes) => this.#numbers.received(bytes));
    session.frameDropped.subscribe(({ reason, message }) => this.#dropped(reason, message));
    session.noticed.subscribe((notice) => this.#tell({ tell: 'notice', notice }));
    session.traceAsked.subscribe((traceId) => this.#tell({ tell: 'trace-asked', traceId }));
    pairs.answered.subscribe((answered) => this.#answer(answered));
    pairs.lost.subscribe((frameId) => this.#departures.forget(frameId));
    connection.open();
  }

  /**
   * @param {string} url
   * @param {Connection} connection
   * @param {Session} session
   */
  #move(url, connection, session) {
    if (url !== connection.url) session.forgetServer();
    connection.moveTo(url);
    this.#rival?.moveTo(url);
    connection.retryNow();
    connection.open();
  }

  #close() {
    this.#connection?.close();
    this.#rival?.close();
  }

  /** Takes over what the session says of itself. */
  #follow() {
    const session = this.#session;
    if (!session) return;
    if (!session.isOpen) {
      this.#departures.clear();
      this.#quality.restart();
    }
    if (session.limits) this.#quality.setLimits(session.limits);
    this.#tellState();
  }

  /** @param {boolean} isOn */
  #setSoftEdge(isOn) {
    this.#softEdge = isOn;
    this.#session?.setSoftEdge(isOn);
    this.#rival?.session.setSoftEdge(isOn);
  }

  /** @param {Begin} order */
  #begin({ readable, leastIntervalMillis }) {
    this.#end();
    if (!this.#pairs) return;
    const encoder = new NewestFrameEncoder(readable ? undefined : () => this.#tell({ tell: 'frame-wanted' }));
    this.#encoder = encoder;
    this.#numbers.begin(readable ? () => encoder.offered : null);
    this.#quality.restart();
    const settings = () => this.#quality.settings;
    const pump = new FramePump({ sink: this.#pairs, encoder, clock: this.#clock, settings, leastIntervalMillis });
    pump.sent.subscribe((sent) => this.#sent(sent));
    pump.failed.subscribe((error) => this.#tell({ tell: 'failed', reason: error.message }));
    pump.setPaused(this.#isPaused);
    this.#pump = pump;
    if (readable) void encoder.readFrom(readable);
  }

  #end() {
    this.#pump?.close();
    this.#pump = null;
    this.#encoder?.close();
    this.#encoder = null;
    // What is on its way belongs to a picture that is gone.
    this.#departures.clear();
  }

  /** @param {boolean} isPaused */
  #pause(isPaused) {
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    this.#pump?.setPaused(isPaused);
    if (!isPaused) {
      this.#quality.restart();
      this.#numbers.restart();
    }
  }

  /** @param {string | null} mode */
  #compare(mode) {
    if (mode !== null && this.#rival) return this.#rival.choose(mode);
    this.#rival?.close();
    this.#rival = null;
    if (mode !== null && this.#connection) {
      const connection = new Connection({ url: this.#connection.url, clock: this.#clock, openSocket: this.#openSocket });
      this.#rival = new Rival({ connection, clock: this.#clock, mode, softEdge: this.#softEdge, onChanged: () => this.#tellState() });
      this.#rival.session.resultArrived.subscribe((bytes) => this.#numbers.received(bytes));
      this.#rival.session.frameDropped.subscribe(({ reason }) => this.#numbers.dropped(reason));
    }
    this.#numbers.compare(mode !== null);
    const rival = this.#rival;
    this.#pairs?.setRival(rival?.session ?? null, () => rival?.isAnswering === true);
    this.#tellState();
  }

  /** @param {SentFrame} sent */
  #sent(sent) {
    this.#departures.add(sent, this.#clock.micros());
    this.#numbers.sent(sent.sentBytes);
  }

  /**
   * @param {string} reason
   * @param {string} message
   */
  #dropped(reason, message) {
    this.#numbers.dropped(reason);
    this.#quality.dropped(reason);
    this.#tell({ tell: 'dropped', reason, message });
  }

  /** @param {Answered} answered */
  #answer({ first, second }) {
    const { frameId, generation } = first.result;
    const departure = this.#departures.answer(frameId, first);
    if (!departure) return;
    if (second) this.#numbers.compared(first, second);
    const { picture } = departure;
    const shown = {
      frameId,
      generation,
      capturedAt: first.capturedAt,
      picture,
      layer: this.#layerOf(first),
      other: second && this.#layerOf(second),
      jpeg: this.#departures.jpegOf(frameId),
    };
    this.#tell({ tell: 'shown', shown }, picture ? [picture] : []);
  }

  /** @param {DecodedResult} decoded */
  #layerOf({ mask, mode, result }) {
    const { widthPx, heightPx, classIds, confidence } = mask;
    // Copied on their way: a delta builds on this mask.
    return { ...this.#describer.describe(mode), mask: { widthPx, heightPx, classIds, confidence }, encoding: result.encoding };
  }

  /** @param {Painted} painted */
  #painted({ frameId, paintedAt }) {
    const frame = this.#departures.painted(frameId);
    if (!frame || !this.#session) return;
    this.#session.reportPaint(frame.decoded, paintedAt);
    const { best } = this.#session.clockSync;
    const partMicros = this.#numbers.painted({ ...frame, paintedAt, clockOffsetMicros: best?.offsetMicros ?? null });
    this.#quality.painted({ capturedAt: frame.decoded.capturedAt, paintedAt, partMicros, roundTripMicros: best?.roundTripMicros ?? null });
  }

  /** At most once for all that changes together. */
  #tellState() {
    if (this.#stateIsDue) return;
    this.#stateIsDue = true;
    queueMicrotask(() => {
      this.#stateIsDue = false;
      if (this.#connection && this.#session) this.#tell({ tell: 'state', state: this.#stateOf(this.#connection, this.#session) });
    });
  }

  /**
   * @param {Connection} connection
   * @param {Session} session
   */
  #stateOf(connection, { modes, limits, generation, profile, serverVersion }) {
    return {
      phase: connection.phase,
      hasServed: connection.hasServed,
      retryAt: this.#clock.micros() + connection.retryInMillis * 1000,
      modes: modes.all,
      mode: modes.current?.name ?? '',
      pendingMode: modes.pending?.name ?? '',
      limits,
      generation,
      profile,
      serverVersion,
      rival: this.#rival?.state ?? null,
    };
  }

  #pulse() {
    const { settings, state } = this.#quality;
    const quality = { kind: state.kind, reason: state.reason, settings };
    const inFlight = this.#session?.inFlightCount ?? 0;
    const roundTripMicros = this.#session?.clockSync.best?.roundTripMicros ?? null;
    const stream = { inFlight, roundTripMicros, quality, limits: this.#session?.limits ?? null, isStreaming: this.#pump !== null && !this.#isPaused };
    this.#tell({ tell: 'pulse', pulse: { inFlight, roundTripMicros, quality, ...this.#numbers.now(stream) } });
    this.#clock.after(PULSE_MILLIS, () => this.#pulse());
  }
}
