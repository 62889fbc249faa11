/**
 * @import { ClassScheme } from '../../core/class_scheme.js'
 * @import { Mask } from '../../core/mask.js'
 */

const OPAQUE = 0xff << 24;
const CLEAR = 0;

/** A line along each class's edge, in its colour; the picture stays as it is. */
export class OutlineView {
  name = 'outline';
  label = 'Outline';
  strength = 1;
  /** @type {ImageData | null} */
  #image = null;

  /**
   * @param {CanvasRenderingContext2D} context Clear, of the mask's size.
   * @param {Mask} mask
   * @param {ClassScheme} scheme
   */
  paint(context, { widthPx, heightPx, classIds }, scheme) {
    if (this.#image?.width !== widthPx || this.#image.height !== heightPx) this.#image = new ImageData(widthPx, heightPx);
    const pixels = new Int32Array(this.#image.data.buffer).fill(CLEAR);
    const colours = scheme.colours.map(([red, green, blue], id) =>
      scheme.isDrawn(id) ? red | (green << 8) | (blue << 16) | OPAQUE : CLEAR,
    );
    const reach = Math.max(1, Math.round(widthPx / 320));
    for (let y = reach; y < heightPx - reach; y += 1) {
      for (let x = reach; x < widthPx - reach; x += 1) {
        const at = y * widthPx + x;
        const id = classIds[at];
        const isInside =
          classIds[at - reach] === id &&
          classIds[at + reach] === id &&
          classIds[at - reach * widthPx] === id &&
          classIds[at + reach * widthPx] === id;
        if (!isInside) pixels[at] = colours[id];
      }
    }
    context.putImageData(this.#image, 0, 0);
  }
}
