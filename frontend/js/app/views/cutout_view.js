/**
 * @import { ClassScheme } from '../../core/class_scheme.js'
 * @import { Mask } from '../../core/mask.js'
 *
 * @typedef {(context: CanvasRenderingContext2D, video: HTMLVideoElement) => void} Backdrop Covers the whole canvas.
 */

import { MaskLayer } from '../mask_layer.js';

const ANY_COLOUR = [0, 0, 0];

/** The subject as it is, everything else behind a backdrop. */
export class CutoutView {
  #layer = new MaskLayer();
  #backdrop;

  /** @param {{ name: string, label: string, strength: number, backdrop: Backdrop }} look */
  constructor({ name, label, strength, backdrop }) {
    this.name = name;
    this.label = label;
    this.strength = strength;
    this.#backdrop = backdrop;
  }

  /**
   * @param {CanvasRenderingContext2D} context Clear, of the mask's size.
   * @param {Mask} mask
   * @param {ClassScheme} scheme
   * @param {HTMLVideoElement} video
   */
  paint(context, mask, scheme, video) {
    this.#backdrop(context, video);
    context.globalCompositeOperation = 'destination-out';
    context.drawImage(this.#layer.draw(mask, (id) => (scheme.isKept(id) ? ANY_COLOUR : null)), 0, 0);
    context.globalCompositeOperation = 'source-over';
  }
}
