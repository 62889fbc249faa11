/**
 * The axis of time under a chart.
 *
 * @import { Palette } from './palette.js'
 * @import { TimeWindow } from './time_window.js'
 *
 * @typedef {{ left: number, top: number, width: number, height: number }} Plot Where a chart's content stands on its canvas.
 */

import { clockLabel, ticksOf } from './ticks.js';
import { duration } from './words.js';

export const FONT = '12px system-ui, sans-serif';
const PX_PER_TICK = 96;

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Plot} plot
 * @param {TimeWindow} window
 * @param {Palette} palette
 * @param {boolean} isClock Whether moments are told by the clock, or as durations since zero.
 */
export function paintTimeAxis(context, plot, window, palette, isClock) {
  const { step, ticks } = ticksOf(window, plot.width / PX_PER_TICK);
  const bottom = plot.top + plot.height;
  context.font = FONT;
  context.textAlign = 'left';
  context.textBaseline = 'top';
  context.lineWidth = 1;
  for (const tick of ticks) {
    const x = Math.round(plot.left + window.xOf(tick, plot.width)) + 0.5;
    context.fillStyle = palette.grid;
    context.fillRect(x - 0.5, plot.top, 1, plot.height + 5);
    const label = isClock ? clockLabel(tick, step) : duration(tick);
    const room = plot.left + plot.width - x;
    context.fillStyle = palette.inkSoft;
    if (room > context.measureText(label).width + 4) context.fillText(label, x + 3, bottom + 4);
  }
}
