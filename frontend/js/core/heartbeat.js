/** @import { Clock } from './clock.js' */

const TICK_MILLIS = 1000;
const TICKS_PER_QUESTION = 4;
const SILENT_AFTER_MICROS = 10_000_000;
/** A tick that comes so late was slept through, and the connection with it perhaps. */
const SLEPT_MICROS = 5_000_000;
const SILENT_AFTER_SLEEP_MICROS = 2_500_000;

/** Asks the server now and then whether it is there, and notices when it is not. */
export class Heartbeat {
  #clock;
  #listeners;
  #heardAt = 0;
  #askedAt = 0;
  #tickedAt = 0;
  #ticks = 0;
  #isJustAwake = false;
  #cancelTick = () => {};

  /**
   * @param {Clock} clock
   * @param {{ ask: () => void, onSilent: () => void, onTick: (now: number) => void, onAwake: () => void }} listeners
   */
  constructor(clock, listeners) {
    this.#clock = clock;
    this.#listeners = listeners;
  }

  /** When the server said something last, microseconds. */
  get heardAt() {
    return this.#heardAt;
  }

  heard() {
    this.#heardAt = this.#clock.micros();
    this.#isJustAwake = false;
  }

  start() {
    this.#tickedAt = this.#clock.micros();
    this.#ask();
    this.#cancelTick = this.#clock.after(TICK_MILLIS, () => this.#tick());
  }

  stop() {
    this.#cancelTick();
  }

  #ask() {
    if (this.#heardAt >= this.#askedAt) this.#askedAt = this.#clock.micros();
    this.#listeners.ask();
  }

  #tick() {
    const now = this.#clock.micros();
    if (now - this.#tickedAt > SLEPT_MICROS) this.#wakeUp(now);
    this.#tickedAt = now;
    const patienceMicros = this.#isJustAwake ? SILENT_AFTER_SLEEP_MICROS : SILENT_AFTER_MICROS;
    if (this.#heardAt < this.#askedAt && now - this.#askedAt > patienceMicros) return this.#listeners.onSilent();
    this.#cancelTick = this.#clock.after(TICK_MILLIS, () => this.#tick());
    this.#ticks += 1;
    if (this.#ticks % TICKS_PER_QUESTION === 0) this.#ask();
    this.#listeners.onTick(now);
  }

  /**
   * The machine slept: the server has little time to say that it is still there.
   *
   * @param {number} now
   */
  #wakeUp(now) {
    this.#isJustAwake = true;
    this.#askedAt = now;
    this.#listeners.onAwake();
    this.#listeners.ask();
  }
}
