/**
 * @import { Clock } from './clock.js'
 * @import { Connection } from './connection.js'
 * @import { DecodedResult } from './decoded_result.js'
 * @import { EncodedFrame } from './frame_pump.js'
 * @import { Dropped, Limits, ModeChanged, ServerMessage } from './messages.js'
 * @import { Result } from './wire.js'
 *
 * @typedef {{ code: string, message: string }} Notice
 */

import { ClockSync } from './clock_sync.js';
import { paintMessage } from './decoded_result.js';
import { Heartbeat } from './heartbeat.js';
import { InFlight } from './in_flight.js';
import { MaskDecoder } from './mask_decoder.js';
import { readMessage } from './messages.js';
import { ModeChoice } from './mode_choice.js';
import { ProtocolError } from './protocol_error.js';
import { Signal } from './signal.js';
import { idInHex, TraceIds } from './trace_ids.js';
import { readResult, writeFrame } from './wire.js';

const MAX_UNDECODED = 2;

/** One conversation with the server, across reconnects: mode, view and the frame counter are kept, frames in flight are not. */
export class Session {
  /** Connection, modes, limits or generation changed. @type {Signal<void>} */
  changed = new Signal();
  /** A frame may have become welcome. @type {Signal<void>} */
  slotFreed = new Signal();
  /** @type {Signal<number>} Bytes of a binary message that came. */
  resultArrived = new Signal();
  /** @type {Signal<DecodedResult>} */
  resultDecoded = new Signal();
  /** @type {Signal<Dropped>} Dropped by the server, or here with a reason of our own: `unanswered`, `undecoded`. */
  frameDropped = new Signal();
  /** @type {Signal<Notice>} */
  noticed = new Signal();
  /** @type {Signal<string>} The id of a trace that the server was asked to keep; its frame was sent. */
  traceAsked = new Signal();
  /** The server said anew what it is configured to: limits or modes, pushed or in a hello. @type {Signal<void>} */
  configured = new Signal();

  modes = new ModeChoice();
  clockSync = new ClockSync();
  generation = 0;
  serverVersion = '';
  /** Of the profile in force; empty where the server does not say. */
  profile = '';
  /** @type {Limits | null} Null until the first hello. */
  limits = null;

  #connection;
  #clock;
  #inFlight = new InFlight();
  #decoder = new MaskDecoder();
  #traceIds = new TraceIds();
  #undecoded = 0;
  #nextFrameId = 1;
  #softEdge = true;
  #heartbeat;

  /** @param {{ connection: Connection, clock: Clock }} parts */
  constructor({ connection, clock }) {
    this.#connection = connection;
    this.#clock = clock;
    this.#heartbeat = new Heartbeat(clock, {
      ask: () => this.#say({ type: 'clock', sent: clock.micros() }),
      onSilent: () => connection.drop(),
      onTick: (now) => this.#giveUpUnanswered(now),
      onAwake: () => this.clockSync.reset(),
    });
    connection.received.subscribe((message) => this.#receive(message));
    connection.phaseChanged.subscribe((phase) => {
      if (phase !== 'open') this.#forgetSocket();
      this.changed.emit();
    });
  }

  get inFlightCount() {
    return this.#inFlight.size;
  }

  get isOpen() {
    return this.#connection.phase === 'open';
  }

  /** Whether a frame encoded now could be sent. */
  get wantsFrame() {
    const { limits } = this;
    return this.isOpen && limits !== null && this.#inFlight.size < limits.maxInFlight && this.#undecoded < MAX_UNDECODED;
  }

  open() {
    this.#connection.open();
  }

  close() {
    this.#connection.close();
  }

  /** Another one is to be met: nothing of what this one said holds there. */
  forgetServer() {
    this.modes.begin([], '');
    [this.limits, this.generation, this.serverVersion, this.profile] = [null, 0, '', ''];
  }

  /** @param {string} name */
  chooseMode(name) {
    this.modes.want(name);
    this.#requestMode();
  }

  /** @param {boolean} softEdge */
  setSoftEdge(softEdge) {
    this.#softEdge = softEdge;
    if (this.isOpen) this.#sendView();
  }

  /** The trace of the frame that is sent next is to be kept. */
  keepNextTrace() {
    this.#traceIds.keepNext();
  }

  /**
   * @param {EncodedFrame} frame
   * @returns {{ frameId: number, sentBytes: number }}
   */
  sendFrame(frame) {
    const frameId = this.#nextFrameId;
    this.#nextFrameId = (frameId + 1) >>> 0;
    const trace = this.#traceIds.next();
    const sentAt = this.#clock.micros();
    const message = writeFrame(
      {
        frameId,
        capturedAt: frame.capturedAt,
        encodeMicros: frame.encodedAt - frame.capturedAt,
        sendDelayMicros: sentAt - frame.encodedAt,
        ...trace,
      },
      frame.jpeg,
    );
    this.#inFlight.add(frameId, { sentAt, encodeStartedAt: frame.startedAt });
    this.#connection.send(message);
    if (trace.keepTrace) this.traceAsked.emit(idInHex(trace.traceId));
    return { frameId, sentBytes: message.byteLength };
  }

  /**
   * Takes the frame's trace to the screen.
   *
   * @param {DecodedResult} decoded
   * @param {number} paintedAt
   */
  reportPaint(decoded, paintedAt) {
    if (this.isOpen) this.#say(paintMessage(decoded, paintedAt));
  }

  /** @param {string | ArrayBuffer} message */
  #receive(message) {
    this.#heartbeat.heard();
    try {
      if (typeof message === 'string') this.#follow(readMessage(message));
      else this.#accept(readResult(message), message.byteLength);
    } catch (error) {
      this.#complain(error);
    }
  }

  /** @param {ServerMessage} message */
  #follow(message) {
    switch (message.type) {
      case 'hello':
        this.modes.begin(message.modes, message.mode);
        this.generation = message.generation;
        this.serverVersion = message.version;
        this.limits = message.limits;
        this.profile = message.profile;
        this.#connection.established();
        this.#sendView();
        this.#requestMode();
        if (this.modes.missingInWords) this.noticed.emit({ code: 'mode_gone', message: this.modes.missingInWords });
        this.#heartbeat.start();
        this.configured.emit();
        break;
      case 'limits':
        this.generation = message.generation;
        this.limits = message.limits;
        this.profile = message.profile || this.profile;
        this.changed.emit();
        this.configured.emit();
        break;
      case 'mode':
        this.#followMode(message);
        break;
      case 'modes':
        this.modes.replaceAll(message.modes);
        this.#requestMode();
        this.configured.emit();
        break;
      case 'dropped':
        if (this.#inFlight.settle(message.frameId)) this.frameDropped.emit(message);
        break;
      case 'clock':
        this.clockSync.add(message, this.#heartbeat.heardAt);
        return;
      case 'error':
        this.noticed.emit(message);
        return;
      case 'unknown':
        return;
    }
    this.slotFreed.emit();
  }

  /** @param {ModeChanged} change */
  #followMode(change) {
    const turn = this.modes.follow(change);
    if (turn === 'refused') this.noticed.emit({ code: 'mode_unavailable', message: change.message });
    if (turn === 'unasked' && change.message) this.noticed.emit({ code: 'mode_gone', message: change.message });
    this.#requestMode();
  }

  /**
   * @param {Result} result
   * @param {number} messageBytes
   */
  #accept(result, messageBytes) {
    const receivedAt = this.#heartbeat.heardAt;
    const decoder = this.#decoder;
    const encodeStartedAt = this.#inFlight.settle(result.frameId)?.encodeStartedAt;
    let decodeStartedAt = receivedAt;
    this.resultArrived.emit(messageBytes);
    this.#undecoded += 1;
    if (result.generation !== this.generation) {
      this.generation = result.generation;
      this.changed.emit();
    }
    const mode = this.modes.at(result.modeIndex);
    decoder
      .decode(result, mode ? mode.labels.length : 0, () => (decodeStartedAt = this.#clock.micros()))
      .then((mask) => {
        if (!mode || decoder !== this.#decoder) return;
        const times = { capturedAt: Number(result.capturedAt), encodeStartedAt, receivedAt, decodeStartedAt, decodedAt: this.#clock.micros() };
        this.resultDecoded.emit({ result, mask, mode, ...times });
      })
      .catch((error) => {
        if (decoder !== this.#decoder) return;
        this.frameDropped.emit({ type: 'dropped', frameId: result.frameId, reason: 'undecoded', message: String(error.message) });
        this.#complain(error);
      })
      .finally(() => {
        if (decoder !== this.#decoder) return;
        this.#undecoded -= 1;
        this.slotFreed.emit();
      });
    this.slotFreed.emit();
  }

  #requestMode() {
    if (!this.isOpen) return;
    const name = this.modes.takeRequest();
    if (name !== null) this.#say({ type: 'mode', mode: name });
    this.changed.emit();
  }

  #sendView() {
    this.#say({ type: 'view', soft_edge: this.#softEdge, picture: null });
  }

  /** @param {number} now */
  #giveUpUnanswered(now) {
    const unanswered = this.#inFlight.expire(now);
    for (const frameId of unanswered) this.frameDropped.emit({ type: 'dropped', frameId, reason: 'unanswered', message: '' });
    if (unanswered.length > 0) this.slotFreed.emit();
  }

  #forgetSocket() {
    this.#heartbeat.stop();
    this.#inFlight.clear();
    this.#decoder = new MaskDecoder();
    this.#undecoded = 0;
    this.clockSync.reset();
  }

  /** @param {unknown} error */
  #complain(error) {
    if (!(error instanceof ProtocolError)) throw error;
    this.noticed.emit({ code: 'protocol', message: error.message });
  }

  /** @param {object} message */
  #say(message) {
    this.#connection.send(JSON.stringify(message));
  }
}
