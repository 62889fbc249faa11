/**
 * @import { ClassScheme } from '../../core/class_scheme.js'
 * @import { Mask } from '../../core/mask.js'
 */

import { MaskLayer } from '../mask_layer.js';

/** Each class in its colour over the picture. */
export class OverlayView {
  name = 'overlay';
  label = 'Overlay';
  strength = 0.55;
  #layer = new MaskLayer();

  /**
   * @param {CanvasRenderingContext2D} context Clear, of the mask's size.
   * @param {Mask} mask
   * @param {ClassScheme} scheme
   */
  paint(context, mask, scheme) {
    context.drawImage(this.#layer.draw(mask, (id) => (scheme.isDrawn(id) ? scheme.colours[id] : null)), 0, 0);
  }
}
