/**
 * @import { Clock } from '../core/clock.js'
 * @import { Parts } from './capture.js'
 * @import { Source, SourceChoice } from './sources/source.js'
 * @import { SourceProblem } from './sources/source_error.js'
 *
 * @typedef {object} Surroundings
 * @property {Clock} clock
 * @property {Parts} parts
 * @property {() => SourceChoice} choice What the user chose.
 * @property {(source: Source, choice: SourceChoice) => void} onOpened
 * @property {() => void} onChanged
 */

import { Capture } from './capture.js';
import { SourceError } from './sources/source_error.js';

/** A server that is away for longer does not keep a camera on. */
const KEPT_MICROS = 30_000_000;

/** Turns the source on and off, as the user and the server want it. */
export class SourceKeeper {
  #clock;
  #parts;
  #choice;
  #onOpened;
  #onChanged;
  #isWanted = false;
  #isStarting = false;
  /** @type {Capture | null} */
  #capture = null;
  /** @type {SourceProblem | 'encoder' | null} */
  #problem = null;
  #keptUntil = 0;

  /** @param {Surroundings} surroundings */
  constructor({ clock, parts, choice, onOpened, onChanged }) {
    this.#clock = clock;
    this.#parts = parts;
    this.#choice = choice;
    this.#onOpened = onOpened;
    this.#onChanged = onChanged;
    if (!navigator.mediaDevices?.getUserMedia) this.#problem = 'insecure';
    parts.stream.failed.subscribe(() => this.#giveUp('encoder'));
  }

  /** The user wants it on. */
  get isWanted() {
    return this.#isWanted;
  }

  get isOn() {
    return this.#capture !== null;
  }

  /** Why it is off, though it is wanted, or was. */
  get problem() {
    return this.#problem;
  }

  toggle() {
    this.#isWanted = !this.#isWanted;
    if (this.#isWanted) this.#problem = null;
    this.settle();
  }

  /** Another source was chosen. */
  change() {
    this.#problem = null;
    this.#stop();
    // Whoever chose a file or a screen wants to see it.
    if (this.#choice().kind !== 'camera') this.#isWanted = true;
    this.settle();
  }

  /** A camera came or went: one that was lost may be back. */
  devicesChanged() {
    if (this.#problem !== 'lost' || document.hidden) return;
    this.#problem = null;
    this.#isWanted = true;
    this.settle();
  }

  /** The page is left: it is on again when the page is back, if it is wanted then. */
  rest() {
    this.#stop();
  }

  /** Brings the source to what is wanted now. */
  settle() {
    const now = this.#clock.micros();
    const { isOpen, state } = this.#parts.stream;
    if (isOpen) this.#keptUntil = now + KEPT_MICROS;
    else if (state.phase === 'closed') this.#keptUntil = 0;
    const isToBeOn = this.#isWanted && (isOpen || (this.isOn && now < this.#keptUntil));
    if (isToBeOn && !this.isOn && !this.#isStarting) void this.#start();
    if (!isToBeOn) this.#stop();
    this.#onChanged();
  }

  async #start() {
    this.#isStarting = true;
    const choice = this.#choice();
    try {
      const capture = await Capture.open(choice, this.#parts);
      if (choice !== this.#choice()) return capture.close();
      this.#capture = capture;
      capture.source.onLost(() => capture === this.#capture && this.#giveUp(choice.kind === 'camera' ? 'lost' : 'ended'));
      this.#onOpened(capture.source, choice);
    } catch (error) {
      // Of a source that nobody wants any more.
      if (choice !== this.#choice()) return;
      this.#giveUp(error instanceof SourceError ? error.problem : 'failed');
    } finally {
      this.#isStarting = false;
      this.settle();
    }
  }

  #stop() {
    this.#capture?.close();
    this.#capture = null;
  }

  /** @param {SourceProblem | 'encoder'} problem */
  #giveUp(problem) {
    this.#problem = problem;
    this.#isWanted = false;
    this.settle();
  }
}
