/**
 * @import { DecodedResult } from '../core/decoded_result.js'
 * @import { Mode } from '../core/messages.js'
 * @import { View } from './views/all_views.js'
 */

import { ClassScheme } from '../core/class_scheme.js';

/** @type {Mode} */
const NO_MODE = { index: -1, name: '', state: 'loading', backend: '', model: '', labels: [], palette: [], message: '', command: '' };

/** The live video with the newest mask over it. Masks are painted when the screen is, so one overtaken by a newer is not. */
export class Stage {
  #root;
  #video;
  #canvas;
  #context;
  #onPainted;
  /** @type {View} */
  #view;
  /** @type {DecodedResult | null} */
  #newest = null;
  /** @type {DecodedResult | null} */
  #painted = null;
  #scheme = new ClassScheme(NO_MODE);
  #animation = 0;

  /**
   * @param {{ root: HTMLElement, video: HTMLVideoElement, canvas: HTMLCanvasElement, view: View }} parts
   * @param {(painted: DecodedResult) => void} onPainted
   */
  constructor({ root, video, canvas, view }, onPainted) {
    this.#root = root;
    this.#video = video;
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d');
    this.#view = view;
    this.#onPainted = onPainted;
    video.addEventListener('resize', () => this.#shape(video.videoWidth, video.videoHeight));
  }

  /** What the canvas shows. */
  get painted() {
    return this.#painted;
  }

  /** Of the mode that made what the canvas shows. */
  get scheme() {
    return this.#scheme;
  }

  /** @param {MediaStream} stream */
  async play(stream) {
    this.#video.srcObject = stream;
    this.#root.dataset.live = '';
    await this.#video.play();
  }

  stop() {
    this.#video.srcObject = null;
    delete this.#root.dataset.live;
    this.clear();
  }

  /** @param {DecodedResult} decoded */
  show(decoded) {
    this.#newest = decoded;
    if (this.#animation === 0) this.#animation = requestAnimationFrame(() => this.#paintNewest());
  }

  /** Takes the mask away: it belongs to a picture that is gone. */
  clear() {
    cancelAnimationFrame(this.#animation);
    this.#animation = 0;
    this.#newest = null;
    this.#painted = null;
    this.#context?.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  /** @param {View} view */
  setView(view) {
    this.#view = view;
    if (this.#painted) this.#paint(this.#painted);
  }

  /** @param {number} strength 0 to 1. */
  setStrength(strength) {
    this.#canvas.style.opacity = String(strength);
  }

  /** @param {boolean} isMirrored */
  setMirrored(isMirrored) {
    this.#root.toggleAttribute('data-mirrored', isMirrored);
  }

  #paintNewest() {
    this.#animation = 0;
    if (!this.#newest) return;
    this.#paint(this.#newest);
    this.#painted = this.#newest;
    this.#newest = null;
    this.#onPainted(this.#painted);
  }

  /** @param {DecodedResult} decoded */
  #paint({ mask, mode }) {
    if (!this.#context) return;
    if (this.#scheme.mode !== mode) this.#scheme = new ClassScheme(mode);
    const canvas = this.#canvas;
    if (canvas.width !== mask.widthPx || canvas.height !== mask.heightPx) {
      canvas.width = mask.widthPx;
      canvas.height = mask.heightPx;
    } else {
      this.#context.clearRect(0, 0, canvas.width, canvas.height);
    }
    this.#view.paint(this.#context, mask, this.#scheme, this.#video);
  }

  /**
   * @param {number} widthPx
   * @param {number} heightPx
   */
  #shape(widthPx, heightPx) {
    if (widthPx > 0) this.#root.style.setProperty('--aspect', `${widthPx} / ${heightPx}`);
  }
}
