/** @import { Stage } from './stage.js' */

import { find } from './find.js';

/** The first that the browser can write. */
const TYPES = ['video/webm;codecs=vp9', 'video/webm;codecs=vp8', 'video/webm'];
const PIECE_MILLIS = 1000;

/** Snapshots and recordings of what is shown: the painted picture with the names on it, as a file of the user's. */
export class Takes {
  #stage;
  #labels;
  #nameOf;
  #onFailed;
  #snapshotButton = find('snapshot', HTMLButtonElement);
  #recordButton = find('record', HTMLButtonElement);
  #canvas = document.createElement('canvas');
  #context = this.#canvas.getContext('2d');
  /** @type {{ recorder: MediaRecorder, startedAt: number, name: string, pieces: Blob[] } | null} */
  #take = null;

  /**
   * @param {{ stage: Stage, labels: HTMLCanvasElement, nameOf: () => string, onFailed: (message: string) => void }} parts
   *   `nameOf` says what is shown, for the file's name.
   */
  constructor({ stage, labels, nameOf, onFailed }) {
    this.#stage = stage;
    this.#labels = labels;
    this.#nameOf = nameOf;
    this.#onFailed = onFailed;
    this.#snapshotButton.addEventListener('click', () => void this.snapshot());
    this.#recordButton.addEventListener('click', () => this.toggle());
  }

  /** @param {boolean} isLive Whether there is something to take. */
  setLive(isLive) {
    this.#snapshotButton.disabled = !isLive;
    this.#recordButton.disabled = !isLive;
    if (!isLive) this.#stop();
    this.#render();
  }

  async snapshot() {
    if (this.#snapshotButton.disabled) return;
    this.#stage.repaint();
    this.#compose();
    const blob = await new Promise((/** @type {(blob: Blob | null) => void} */ resolve) => this.#canvas.toBlob(resolve, 'image/png'));
    if (blob) save(blob, `${this.#nameOf()}.png`);
    else this.#onFailed('The picture could not be saved.');
  }

  /** Begins a recording, or ends it and saves it. */
  toggle() {
    if (this.#recordButton.disabled) return;
    if (this.#take) this.#stop();
    else this.#begin();
    this.#render();
  }

  /** To be told after each painting. */
  painted() {
    if (this.#take) this.#compose();
  }

  #begin() {
    const type = 'MediaRecorder' in window ? TYPES.find((one) => MediaRecorder.isTypeSupported(one)) : undefined;
    if (!type) return this.#onFailed('This browser cannot record WebM.');
    this.#compose();
    const recorder = new MediaRecorder(this.#canvas.captureStream(), { mimeType: type });
    const take = { recorder, startedAt: performance.now(), name: this.#nameOf(), pieces: /** @type {Blob[]} */ ([]) };
    recorder.addEventListener('dataavailable', ({ data }) => {
      take.pieces.push(data);
      this.#render();
    });
    recorder.addEventListener('error', () => this.#onFailed('The recording broke off; what there is of it is saved.'));
    recorder.addEventListener('stop', () => {
      if (this.#take === take) this.#take = null;
      this.#render();
      save(new Blob(take.pieces, { type: 'video/webm' }), `${take.name}.webm`);
    });
    recorder.start(PIECE_MILLIS);
    this.#take = take;
  }

  #stop() {
    this.#take?.recorder.stop();
    for (const track of this.#take?.recorder.stream.getTracks() ?? []) track.stop();
    this.#take = null;
  }

  #render() {
    const isRecording = this.#take !== null;
    this.#recordButton.setAttribute('aria-pressed', String(isRecording));
    this.#recordButton.textContent = this.#take ? `Stop ${clockOf(performance.now() - this.#take.startedAt)}` : 'Record';
  }

  #compose() {
    const { canvas } = this.#stage;
    if (this.#canvas.width !== canvas.width || this.#canvas.height !== canvas.height) {
      this.#canvas.width = canvas.width;
      this.#canvas.height = canvas.height;
    } else {
      this.#context?.clearRect(0, 0, canvas.width, canvas.height);
    }
    this.#context?.drawImage(canvas, 0, 0);
    if (!this.#labels.hidden) this.#context?.drawImage(this.#labels, 0, 0, canvas.width, canvas.height);
  }
}

/** @param {number} millis */
function clockOf(millis) {
  const seconds = Math.floor(millis / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

/**
 * @param {Blob} blob
 * @param {string} name
 */
function save(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The browser has read it by then, or asks where to put it and keeps it meanwhile.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
