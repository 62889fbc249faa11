/**
 * The views a user can choose, in the order of the menu. A new one is an object with these members.
 *
 * @import { ClassScheme } from '../../core/class_scheme.js'
 * @import { Mask } from '../../core/mask.js'
 *
 * @typedef {object} View
 * @property {string} name
 * @property {string} label
 * @property {number} strength Opacity to begin with, 0 to 1.
 * @property {(context: CanvasRenderingContext2D, mask: Mask, scheme: ClassScheme, video: HTMLVideoElement) => void} paint
 */

import { blur, dim, solid } from './backdrops.js';
import { CutoutView } from './cutout_view.js';
import { OutlineView } from './outline_view.js';
import { OverlayView } from './overlay_view.js';

/** @returns {View[]} */
export function allViews() {
  return [
    new OverlayView(),
    new OutlineView(),
    new CutoutView({ name: 'dim', label: 'Dim', strength: 0.8, backdrop: dim }),
    new CutoutView({ name: 'blur', label: 'Blur', strength: 1, backdrop: blur }),
    new CutoutView({ name: 'solid', label: 'Solid', strength: 1, backdrop: solid }),
  ];
}
