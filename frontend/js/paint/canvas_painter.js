/**
 * @import { Scene } from './scene.js'
 *
 * @typedef {CanvasRenderingContext2D} Context
 * @typedef {{ widthPx: number, heightPx: number }} Size
 */

import { Signal } from '../core/signal.js';
import { CanvasBlur } from './canvas_blur.js';
import { CanvasLayer } from './canvas_layer.js';
import { blurSizeOf, coverOf, recipeOf } from './recipes.js';
import { fitCanvas } from './scene.js';
import { Scratch } from './scratch.js';

/** How often what is kept is cut out of a small picture: its edges have its colours in them, and have to count little. */
const CUTS = 3;

/** Paints without a graphics card: the same pictures, with what every canvas can do. */
export class CanvasPainter {
  /** @type {'2d'} */
  kind = '2d';
  /** The canvas came back empty and has to be painted again. @type {Signal<void>} */
  restored = new Signal();

  #canvas;
  #context;
  #first = new CanvasLayer();
  #second = new CanvasLayer();
  #scratch = new Scratch();
  #blur = new CanvasBlur();
  #abort = new AbortController();

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    const context = canvas.getContext('2d');
    if (!context) throw new Error('this browser gives no canvas to paint on');
    this.#canvas = canvas;
    this.#context = context;
    canvas.addEventListener('contextrestored', () => this.#restore(), { signal: this.#abort.signal });
  }

  /** @param {Scene} scene */
  paint(scene) {
    const { look, widthPx } = scene;
    const context = this.#context;
    fitCanvas(this.#canvas, scene);
    context.save();
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    drawPicture(context, scene, scene);
    switch (look.view) {
      case 'side-by-side':
        context.translate(widthPx, 0);
        drawPicture(context, scene, scene);
        context.globalAlpha = look.opacity;
        this.#drawLayers(context, scene, scene);
        break;
      case 'filled':
        context.globalAlpha = look.opacity;
        this.#drawLayers(context, scene, scene);
        break;
      case 'contour':
        this.#drawLayers(context, scene, scene);
        break;
      case 'blend':
        this.#drawHues(scene);
        break;
      case 'cut-out':
        context.globalCompositeOperation = 'destination-in';
        this.#drawLayers(context, scene, scene);
        context.globalCompositeOperation = 'destination-over';
        this.#drawBackdrop(scene);
        break;
    }
    context.restore();
  }

  close() {
    this.#abort.abort();
    for (const part of [this.#first, this.#second, this.#scratch]) part.close();
  }

  #restore() {
    this.#first.forget();
    this.#second.forget();
    this.restored.emit();
  }

  /**
   * @param {Context} context
   * @param {Scene} scene
   * @param {Size} size What they are stretched to.
   */
  #drawLayers(context, { layer, other, look }, { widthPx, heightPx }) {
    const recipe = recipeOf(look.view);
    const splitPx = other ? Math.max(0, Math.min(widthPx, Math.ceil(other.split * widthPx - 0.5))) : widthPx;
    /**
     * @param {HTMLCanvasElement} shown
     * @param {number} from
     * @param {number} to
     */
    const draw = (shown, from, to) => {
      context.save();
      context.beginPath();
      context.rect(from, 0, to - from, heightPx);
      context.clip();
      turn(context, look.isMirrored, widthPx);
      context.drawImage(shown, 0, 0, widthPx, heightPx);
      context.restore();
    };
    draw(this.#first.show(layer, recipe), 0, splitPx);
    if (other) draw(this.#second.show(other.layer, recipe), splitPx, widthPx);
  }

  /**
   * A canvas has no blending by HSV: this works pixel by pixel.
   *
   * @param {Scene} scene
   */
  #drawHues(scene) {
    const { widthPx, heightPx } = scene;
    this.#drawLayers(this.#scratch.clear(widthPx, heightPx), scene, scene);
    const hues = this.#scratch.read();
    drawPicture(this.#scratch.clear(widthPx, heightPx), scene, scene);
    const picture = this.#scratch.read();
    mixHues(picture.data, hues.data);
    this.#scratch.write(picture);
    this.#context.drawImage(this.#scratch.canvas, 0, 0);
  }

  /** @param {Scene} scene */
  #drawBackdrop(scene) {
    const { look, widthPx, heightPx } = scene;
    const { backdrop } = look;
    const context = this.#context;
    switch (backdrop.kind) {
      case 'blur':
        context.drawImage(this.#blurred(scene), 0, 0, widthPx, heightPx);
        break;
      case 'colour':
        context.fillStyle = `rgb(${backdrop.colour.join(', ')})`;
        context.fillRect(0, 0, widthPx, heightPx);
        break;
      case 'picture': {
        const { x, y, width, height } = coverOf(backdrop.picture, widthPx, heightPx);
        context.imageSmoothingQuality = 'high';
        context.drawImage(backdrop.picture, x, y, width, height, 0, 0, widthPx, heightPx);
        break;
      }
      case 'transparent':
        break;
    }
  }

  /**
   * The picture without what is kept, blurred.
   *
   * @param {Scene} scene
   */
  #blurred(scene) {
    const size = blurSizeOf(scene.widthPx, scene.heightPx);
    const small = this.#scratch.clear(size.widthPx, size.heightPx);
    small.save();
    small.imageSmoothingQuality = 'high';
    drawPicture(small, scene, size);
    small.globalCompositeOperation = 'destination-out';
    for (let time = 0; time < CUTS; time += 1) this.#drawLayers(small, scene, size);
    small.restore();
    const image = this.#scratch.read();
    this.#blur.blur(image);
    this.#scratch.write(image);
    return this.#scratch.canvas;
  }
}

/**
 * @param {Context} context
 * @param {Scene} scene
 * @param {Size} size
 */
function drawPicture(context, { picture, look }, { widthPx, heightPx }) {
  context.save();
  turn(context, look.isMirrored, widthPx);
  context.drawImage(picture.source, 0, 0, widthPx, heightPx);
  context.restore();
}

/**
 * @param {Context} context
 * @param {boolean} isMirrored
 * @param {number} widthPx
 */
function turn(context, isMirrored, widthPx) {
  if (!isMirrored) return;
  context.translate(widthPx, 0);
  context.scale(-1, 1);
}

/**
 * Gives pixels other hues; their saturation and value of HSV stay.
 *
 * @param {Uint8ClampedArray} pixels
 * @param {Uint8ClampedArray} hues Pure ones, and how much of them as alpha.
 */
function mixHues(pixels, hues) {
  for (let at = 0; at < pixels.length; at += 4) {
    const weight = hues[at + 3] / 255;
    if (weight === 0) continue;
    const value = Math.max(pixels[at], pixels[at + 1], pixels[at + 2]);
    const span = value - Math.min(pixels[at], pixels[at + 1], pixels[at + 2]);
    for (let channel = at; channel < at + 3; channel += 1) {
      const pixel = pixels[channel];
      pixels[channel] = pixel + weight * (value - span * (1 - hues[channel] / 255) - pixel);
    }
  }
}
