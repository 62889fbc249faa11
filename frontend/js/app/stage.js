/**
 * @import { ClassFilter } from '../core/class_filter.js'
 * @import { Look, Picture } from '../paint/scene.js'
 * @import { NamedLayer } from './label_layer.js'
 * @import { Source } from './sources/source.js'
 * @import { ShownFrame, ShownLayer } from './stream.js'
 *
 * @typedef {object} StageLook
 * @property {Look} look
 * @property {'frame' | 'live'} over
 * @property {number} split Where the compared modes meet, 0 to 1 across the stage.
 * @property {ClassFilter} filter
 */

import { ClassScheme } from '../core/class_scheme.js';
import { createPainter } from '../paint/painter.js';
import { SchemeShelf } from './scheme_shelf.js';

/** Larger pictures are painted smaller: the screen shows no more, and painting takes its time. */
const MOST_PIXELS_A_SIDE = 1280;

/**
 * The canvas: the source's picture with the newest mask, painted when the screen is, so that what was overtaken by a newer
 * one is not.
 */
export class Stage {
  #root;
  #canvas;
  #painter;
  #onPainted;
  #schemes = new SchemeShelf();
  /** @type {StageLook} */
  #look;
  /** @type {Source | null} */
  #source = null;
  /** @type {ShownFrame | null} */
  #newest = null;
  /** @type {ShownFrame | null} */
  #painted = null;
  #animation = 0;
  #isStale = true;
  #paintedVersion = -1;
  #version = 0;
  #aspect = '';

  /**
   * @param {{ root: HTMLElement, canvas: HTMLCanvasElement, look: StageLook }} parts
   * @param {(painted: ShownFrame | null, isNew: boolean) => void} onPainted Told after each painting.
   */
  constructor({ root, canvas, look }, onPainted) {
    this.#root = root;
    this.#canvas = canvas;
    this.#painter = createPainter(canvas);
    this.#painter.restored.subscribe(() => (this.#isStale = true));
    this.#look = look;
    this.#onPainted = onPainted;
  }

  /** The frame whose mask the canvas shows. */
  get painted() {
    return this.#painted;
  }

  get canvas() {
    return this.#canvas;
  }

  get painterKind() {
    return this.#painter.kind;
  }

  /** Whether the picture under the mask is the mask's own. */
  get showsOwnFrame() {
    return this.#look.over === 'frame' && this.#painted?.picture != null;
  }

  /** Of the mask that the canvas shows. */
  get scheme() {
    return this.#painted ? this.#schemes.of(this.#painted.mode, this.#look.filter) : null;
  }

  /** The masks that the canvas shows, and between where and where. @returns {NamedLayer[]} */
  get layers() {
    if (!this.#painted) return [];
    const { mask, mode, other } = this.#painted;
    const { split, filter } = this.#look;
    const first = { mask, scheme: this.#schemes.of(mode, filter), from: 0, to: other ? split : 1 };
    return other ? [first, { mask: other.mask, scheme: this.#schemes.of(other.mode, filter), from: split, to: 1 }] : [first];
  }

  /** @param {Source} source */
  play(source) {
    this.#source = source;
    this.#root.dataset.live = '';
    this.#isStale = true;
    if (this.#animation === 0) this.#animate();
  }

  stop() {
    cancelAnimationFrame(this.#animation);
    this.#animation = 0;
    this.#source = null;
    delete this.#root.dataset.live;
    this.clear();
  }

  /** @param {ShownFrame} frame Its picture is closed here. */
  show(frame) {
    this.#newest?.picture?.close();
    this.#newest = frame;
  }

  /** Takes the mask away: it belongs to a picture that is gone. */
  clear() {
    if (!this.#newest && !this.#painted) return;
    this.#newest?.picture?.close();
    this.#painted?.picture?.close();
    this.#newest = null;
    this.#painted = null;
    this.#isStale = true;
  }

  /** @param {Partial<StageLook>} look What changes. */
  setLook(look) {
    this.#look = { ...this.#look, ...look };
    this.#isStale = true;
    const { view, backdrop } = this.#look.look;
    this.#root.toggleAttribute('data-beside', view === 'side-by-side');
    this.#root.toggleAttribute('data-transparent', view === 'cut-out' && backdrop.kind === 'transparent');
  }

  /** Paints at once what the canvas is to show, so that it can be read before the browser has taken it. */
  repaint() {
    this.#isStale = true;
    this.#paint();
  }

  #animate() {
    this.#animation = requestAnimationFrame(() => {
      this.#animate();
      this.#paint();
    });
  }

  #paint() {
    const isNew = this.#takeNewest();
    const picture = this.#picture();
    if (!picture) return;
    const isOlder = !isNew && !this.#isStale && picture.version === this.#paintedVersion;
    if (isOlder) return;
    this.#isStale = false;
    this.#paintedVersion = picture.version;
    const { widthPx, heightPx } = fit(picture);
    this.#shape(aspectOf(widthPx, heightPx, this.#look.look.view));
    const other = this.#painted?.other;
    this.#painter.paint({
      picture,
      layer: this.#layerOf(this.#painted),
      other: other ? { layer: this.#layerOf(other), split: this.#look.split } : null,
      look: this.#look.look,
      widthPx,
      heightPx,
    });
    this.#onPainted(this.#painted, isNew);
  }

  /** @param {string} aspect */
  #shape(aspect) {
    if (aspect === this.#aspect) return;
    this.#aspect = aspect;
    this.#root.style.setProperty('--aspect', aspect);
  }

  #takeNewest() {
    if (!this.#newest) return false;
    this.#painted?.picture?.close();
    this.#painted = this.#newest;
    this.#newest = null;
    this.#version += 1;
    return true;
  }

  /** @returns {Picture | null} */
  #picture() {
    const own = this.showsOwnFrame ? this.#painted?.picture : null;
    // A version of its own: negative, so that it is never taken for one of the source's.
    if (own) return { source: own, widthPx: own.width, heightPx: own.height, version: -1 - this.#version };
    return this.#source?.picture() ?? null;
  }

  /** @param {ShownFrame | ShownLayer | null} shown */
  #layerOf(shown) {
    if (!shown) return { mask: null, scheme: NOTHING };
    return { mask: shown.mask, scheme: this.#schemes.of(shown.mode, this.#look.filter) };
  }
}

const NOTHING = new ClassScheme({ index: -1, name: '', state: 'loading', backend: '', model: '', labels: [], palette: [], message: '', command: '' });

/** @param {Picture} picture */
function fit({ widthPx, heightPx }) {
  const scale = Math.min(1, MOST_PIXELS_A_SIDE / Math.max(widthPx, heightPx));
  return { widthPx: Math.max(1, Math.round(widthPx * scale)), heightPx: Math.max(1, Math.round(heightPx * scale)) };
}

/**
 * @param {number} widthPx
 * @param {number} heightPx
 * @param {string} view
 */
function aspectOf(widthPx, heightPx, view) {
  return `${view === 'side-by-side' ? 2 * widthPx : widthPx} / ${heightPx}`;
}
