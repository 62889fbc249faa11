import { StageTimes } from '../../../frontend/js/core/stage_times.js';
import { FakeClock } from './fake_clock.mjs';

/** Bytes of a photograph by JPEG quality, against those at quality 50. */
const BYTES_BY_QUALITY = [[1, 0.2], [10, 0.36], [20, 0.56], [30, 0.73], [40, 0.87], [50, 1], [60, 1.13], [70, 1.34], [80, 1.67], [85, 1.94], [90, 2.41], [95, 3.37], [100, 6]];
const BYTES_AT_640_AND_50 = 26_000;
const PAINT_EVERY_MICROS = 16_667;
const SERVER_AHEAD_MICROS = 5_000_000;

export const LAN = { bytesPerSecond: 12_000_000, roundTripMillis: 2, jitter: 0 };

export const LIMITS = {
  jpegQuality: 70,
  maxDimensionPx: 960,
  maxInFlight: 2,
  minFrameIntervalMillis: 33,
  adaptive: { minJpegQuality: 30, minDimensionPx: 320, targetLatencyMillis: 200 },
};

/**
 * A camera, a link with a queue and a server with one model, in simulated time: every frame goes the way that it goes in
 * the page, and what is painted is told to the quality under test.
 */
export class SimulatedStream {
  clock = new FakeClock();
  /** Each painted frame: `{ at, latencyMillis, settings }`, the time in seconds. */
  frames = [];
  /** Each change of settings, likewise. */
  changes = [];
  reasons = [];
  /** Frames that were dropped. */
  lost = 0;
  link;
  server;
  /** Milliseconds of encoding at 640 pixels. */
  encodeMillis = 6;

  #quality;
  #limits;
  #times = new StageTimes();
  #random;
  #inFlight = 0;
  #isEncoding = false;
  #dueAt = 0;
  #linkFreeAt = { up: 0, down: 0 };
  #arrivedAt = { up: 0, down: 0 };
  #modelFreeAt = 0;
  #beganAt = this.clock.micros();
  #settings = '';

  constructor({ link = LAN, server = {}, limits = LIMITS, makeQuality, seed = 1 }) {
    this.link = { ...LAN, ...link };
    this.server = { modelMillis: 20, jitter: 0, deadlineMillis: Infinity, ...server };
    this.#random = randomFrom(seed);
    this.#quality = makeQuality(this.clock);
    this.#quality.changed.subscribe(() => this.#note());
    this.setLimits(limits);
    this.#advance();
  }

  /** Nothing goes through for so long. */
  stall(millis) {
    for (const way of ['up', 'down']) this.#linkFreeAt[way] = Math.max(this.clock.micros(), this.#linkFreeAt[way]) + 1000 * millis;
  }

  get quality() {
    return this.#quality;
  }

  get seconds() {
    return (this.clock.micros() - this.#beganAt) / 1e6;
  }

  setLimits(limits) {
    this.#limits = limits;
    this.#quality.setLimits(limits);
  }

  run(seconds) {
    this.clock.advance(seconds * 1000);
  }

  /** A quantile of the latency of what was painted in these seconds. */
  latency(share, from, to = Infinity) {
    const millis = this.frames.filter(({ at }) => at >= from && at < to).map(({ latencyMillis }) => latencyMillis).sort((a, b) => a - b);
    return millis[Math.min(millis.length - 1, Math.floor(share * millis.length))];
  }

  changesBetween(from, to = Infinity) {
    return this.changes.filter(({ at }) => at >= from && at < to).length;
  }

  #note() {
    const { reason } = this.#quality.state;
    if (this.reasons.at(-1) !== reason) this.reasons.push(reason);
    const settings = JSON.stringify(this.#quality.settings);
    if (settings === this.#settings) return;
    this.#settings = settings;
    this.changes.push({ at: this.seconds, settings: this.#quality.settings });
  }

  #advance() {
    const now = this.clock.micros();
    if (this.#isEncoding || this.#inFlight >= this.#limits.maxInFlight) return;
    if (now < this.#dueAt) return void this.clock.after((this.#dueAt - now) / 1000, () => this.#advance());
    this.#isEncoding = true;
    const settings = this.#quality.settings;
    const capturedAt = now;
    const encodeMillis = (this.encodeMillis * settings.maxDimensionPx ** 2) / 640 ** 2;
    this.clock.after(encodeMillis, () => this.#send({ capturedAt, settings, sentAt: this.clock.micros() }));
  }

  #send(frame) {
    this.#isEncoding = false;
    this.#inFlight += 1;
    this.#dueAt = frame.sentAt + 1000 * (this.#limits.minFrameIntervalMillis - this.encodeMillis);
    const bytes = bytesOf(frame.settings) * this.#varied(0.1);
    const arrivedAt = this.#carry('up', bytes);
    this.clock.after((arrivedAt - this.clock.micros()) / 1000, () => this.#serve({ ...frame, arrivedAt }));
    this.#advance();
  }

  #serve(frame) {
    const { arrivedAt } = frame;
    const startedAt = Math.max(arrivedAt, this.#modelFreeAt);
    if (startedAt - arrivedAt > 1000 * this.server.deadlineMillis) return void this.clock.after((startedAt - arrivedAt) / 1000, () => this.#lose('expired'));
    const [decode, infer, encode] = [2000, 1000 * this.server.modelMillis * this.#varied(this.server.jitter), 1000];
    const doneAt = startedAt + decode + infer + encode;
    this.#modelFreeAt = doneAt;
    const queue = startedAt - arrivedAt;
    const stageMicros = { queue, decode, preprocess: 0, infer, postprocess: 0, encode, total: doneAt - arrivedAt };
    this.clock.after((doneAt - arrivedAt) / 1000, () => this.#reply({ ...frame, doneAt, stageMicros }));
  }

  #lose(reason) {
    this.#inFlight -= 1;
    this.lost += 1;
    this.#quality.dropped(reason);
    this.#advance();
  }

  #reply(frame) {
    const receivedAt = this.#carry('down', bytesOf(frame.settings) / 4);
    this.clock.after((receivedAt - this.clock.micros()) / 1000, () => {
      this.#inFlight -= 1;
      const paintedAt = Math.ceil((receivedAt + 3000) / PAINT_EVERY_MICROS) * PAINT_EVERY_MICROS;
      this.clock.after((paintedAt - receivedAt) / 1000, () => this.#paint({ ...frame, receivedAt, paintedAt }));
      this.#advance();
    });
  }

  #paint({ capturedAt, sentAt, receivedAt, paintedAt, doneAt, stageMicros, settings }) {
    const result = { stageMicros, serverSentAt: BigInt(Math.round(doneAt + SERVER_AHEAD_MICROS)) };
    const decoded = { capturedAt, receivedAt, result };
    const partMicros = this.#times.add({ sentAt, paintedAt, decoded, clockOffsetMicros: SERVER_AHEAD_MICROS });
    this.frames.push({ at: this.seconds, latencyMillis: (paintedAt - capturedAt) / 1000, settings });
    this.#quality.painted({ capturedAt, paintedAt, partMicros, roundTripMicros: 1000 * this.link.roundTripMillis });
  }

  /** Microseconds at which it has come; nothing overtakes what was sent before it. */
  #carry(way, bytes) {
    const leaves = Math.max(this.clock.micros(), this.#linkFreeAt[way]) + (1e6 * bytes) / this.link.bytesPerSecond;
    this.#linkFreeAt[way] = leaves;
    const arrives = leaves + 500 * this.link.roundTripMillis * this.#varied(this.link.jitter);
    this.#arrivedAt[way] = Math.max(arrives, this.#arrivedAt[way]);
    return this.#arrivedAt[way];
  }

  #varied(part) {
    return 1 + part * (2 * this.#random() - 1);
  }
}

/** The bytes of a frame; larger pictures have less in each pixel. */
export function bytesOf({ jpegQuality, maxDimensionPx }) {
  const above = BYTES_BY_QUALITY.findIndex(([quality]) => quality >= jpegQuality);
  const [highQuality, high] = BYTES_BY_QUALITY[above];
  const [lowQuality, low] = BYTES_BY_QUALITY[Math.max(0, above - 1)];
  const way = highQuality === lowQuality ? 1 : (jpegQuality - lowQuality) / (highQuality - lowQuality);
  return BYTES_AT_640_AND_50 * (low + way * (high - low)) * (maxDimensionPx / 640) ** 1.5;
}

/** The same numbers for the same seed, 0 to 1. */
function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
