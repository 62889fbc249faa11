/**
 * Runs in the browser: pictures and masks that are the same each time, painted by a painter, beside what they should have
 * become.
 */

import { ClassScheme } from '/js/core/class_scheme.js';
import { Mask } from '/js/core/mask.js';
import { createPainter } from '/js/paint/painter.js';
import { expectedOf } from '/test/paint_oracle.mjs';

/** Numbers from 0 to 1 that look random and never change. */
function series(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Smooth in one half, wild in the other, with greys, black and white. */
export function makePicture(widthPx, heightPx, seed = 1) {
  const next = series(seed);
  const pixels = new Uint8ClampedArray(4 * widthPx * heightPx);
  for (let y = 0, at = 0; y < heightPx; y += 1) {
    for (let x = 0; x < widthPx; x += 1, at += 4) {
      const smooth = [(255 * x) / widthPx, (255 * y) / heightPx, 128 + 100 * Math.sin((x + y) / 40)];
      const grey = 255 * Math.round(next() * 4) / 4;
      const colour = y % 7 === 0 ? [grey, grey, grey] : x > widthPx / 2 ? [255 * next(), 255 * next(), 255 * next()] : smooth;
      pixels.set([...colour, 255], at);
    }
  }
  return pixels;
}

/** Areas of a few classes, and here and there a pixel of another one. */
export function makeMask(widthPx, heightPx, ids, { seed = 2, isSoft = false } = {}) {
  const next = series(seed);
  const areas = Array.from({ length: 24 }, (_, at) => ({ x: next() * widthPx, y: next() * heightPx, id: ids[at % ids.length] }));
  const classIds = new Uint8Array(widthPx * heightPx);
  for (let y = 0, at = 0; y < heightPx; y += 1) {
    for (let x = 0; x < widthPx; x += 1, at += 1) {
      let nearest = Infinity;
      for (const area of areas) {
        const away = (area.x - x) ** 2 + (area.y - y) ** 2;
        if (away >= nearest) continue;
        nearest = away;
        classIds[at] = area.id;
      }
      if (next() < 0.002) classIds[at] = ids[Math.floor(next() * ids.length)];
    }
  }
  const confidence = isSoft ? Uint8Array.from(classIds, () => 255 * next()) : null;
  return { widthPx, heightPx, ids: classIds, confidence };
}

/** 150 classes as a model of rooms has them, with a grey one. */
export function makeClasses({ zeroth = 'background', hidden = [] } = {}) {
  const next = series(3);
  const labels = Array.from({ length: 150 }, (_, id) => (id === 0 ? zeroth : id === 12 ? 'person' : `thing ${id}`));
  const palette = labels.map((_, id) => (id === 40 ? [90, 90, 90] : [0, 1, 2].map(() => Math.floor(256 * next()))));
  return { labels, palette, hidden };
}

export const IDS = [0, 12, 3, 40, 149, 200];

/** What the painters call a layer. */
export function layerFor({ mask, classes }) {
  const mode = { index: 0, name: 'test', state: 'ready', backend: '', model: '', message: '', command: '', ...classes };
  const scheme = new ClassScheme(mode, new Set(classes.hidden));
  return { mask: mask && new Mask(mask.widthPx, mask.heightPx, mask.ids, mask.confidence), scheme };
}

const toBackdrop = ([red, green, blue, alpha]) => (alpha === 0 ? { kind: 'transparent' } : { kind: 'colour', colour: [red, green, blue] });

/** A canvas and its painter. */
export class Easel {
  canvas = document.createElement('canvas');
  #version = 0;

  constructor(prefer) {
    this.painter = createPainter(this.canvas, { prefer });
  }

  /** Has an oracle's scene painted. Its `source` may be something else than a bitmap of its picture. */
  async paint({ picture, source, layer, other, look, widthPx, heightPx }) {
    source ??= await createImageBitmap(new ImageData(picture, widthPx, heightPx));
    this.#version += 1;
    this.paintScene({
      picture: { source, widthPx, heightPx, version: this.#version },
      layer: layerFor(layer),
      other: other && { layer: layerFor(other.layer), split: other.split },
      look: { ...look, backdrop: Array.isArray(look.backdrop) ? toBackdrop(look.backdrop) : look.backdrop },
      widthPx,
      heightPx,
    });
    return this.pixels();
  }

  paintScene(scene) {
    this.painter.paint(scene);
    const error = this.painter.kind === 'webgl2' ? this.canvas.getContext('webgl2').getError() : 0;
    if (error !== 0) throw new Error(`WebGL error ${error}`);
  }

  /** Premultiplied, the top row first. */
  pixels() {
    const { width, height } = this.canvas;
    if (this.painter.kind === '2d') {
      const { data } = this.canvas.getContext('2d').getImageData(0, 0, width, height);
      return data.map((value, at) => (at % 4 === 3 ? value : (value * data[at - (at % 4) + 3]) / 255));
    }
    const gl = this.canvas.getContext('webgl2');
    const upsideDown = new Uint8ClampedArray(4 * width * height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, upsideDown);
    const pixels = new Uint8ClampedArray(upsideDown.length);
    for (let y = 0; y < height; y += 1) pixels.set(upsideDown.subarray(4 * width * (height - 1 - y), 4 * width * (height - y)), 4 * width * y);
    return pixels;
  }

  /** How far the painted scene is from the right one, in parts of 255, at its worst pixel. */
  async distance(scene) {
    return farthest(await this.paint(scene), expectedOf(scene));
  }
}

/** The largest difference, and where. */
export function farthest(actual, expected) {
  if (actual.length !== expected.length) return { by: Infinity, at: `${actual.length} values for ${expected.length}` };
  let [by, worst] = [0, 0];
  for (let at = 0; at < actual.length; at += 1) {
    const difference = Math.abs(actual[at] - expected[at]);
    if (difference > by) [by, worst] = [difference, at];
  }
  const pixel = worst - (worst % 4);
  return { by, at: `pixel ${pixel / 4}: ${actual.subarray(pixel, pixel + 4)} for ${expected.subarray(pixel, pixel + 4)}` };
}
