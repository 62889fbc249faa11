/**
 * Reloads, swaps and crashes as lines through a chart of time: each kind has a letter besides its colour.
 *
 * @import { Mark } from '../core/traces.js'
 * @import { Plot } from './axis_painter.js'
 * @import { Palette } from './palette.js'
 * @import { TimeWindow } from './time_window.js'
 */

const FLAG_PX = 15;

/** @type {Record<string, string>} */
const KIND_NAMES = { reload: 'Reload', swap: 'Swap', crash: 'Crash' };

/** @param {Mark} mark */
export function markName({ kind }) {
  return KIND_NAMES[kind] ?? kind;
}

/** @param {Mark} mark */
export function markInWords(mark) {
  const { outcome, generation, modes, text } = mark;
  const what = mark.kind === outcome || outcome === 'crashed' ? '' : ` ${outcome}`;
  const where = modes.length > 0 ? ` (${modes.join(', ')})` : '';
  return `${markName(mark)}${what}${where}, generation ${generation}. ${text}`.trim();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Plot} plot
 * @param {TimeWindow} window
 * @param {Palette} palette
 * @param {Mark[]} marks
 */
export function paintMarks(context, plot, window, palette, marks) {
  context.font = '700 10px system-ui, sans-serif';
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.lineWidth = 1.5;
  for (const mark of marks) {
    if (mark.atMicros < window.from || mark.atMicros > window.to) continue;
    const x = plot.left + window.xOf(mark.atMicros, plot.width);
    const isBad = mark.kind === 'crash' || mark.outcome === 'rejected';
    context.strokeStyle = context.fillStyle = isBad ? palette.bad : palette.ink;
    context.setLineDash(isBad ? [] : [4, 3]);
    context.beginPath();
    context.moveTo(x, plot.top);
    context.lineTo(x, plot.top + plot.height);
    context.stroke();
    context.setLineDash([]);
    context.beginPath();
    context.roundRect(x - FLAG_PX / 2, plot.top, FLAG_PX, FLAG_PX, 4);
    context.fill();
    context.fillStyle = palette.surface;
    context.fillText(markName(mark)[0], x, plot.top + FLAG_PX / 2 + 0.5);
  }
}

/**
 * @param {Mark[]} marks
 * @param {TimeWindow} window
 * @param {number} x From the plot's left.
 * @param {number} widthPx
 * @param {number} reachPx
 */
export function markAt(marks, window, x, widthPx, reachPx) {
  const gap = (/** @type {Mark} */ mark) => Math.abs(window.xOf(mark.atMicros, widthPx) - x);
  const [nearest] = [...marks].sort((a, b) => gap(a) - gap(b));
  return nearest && gap(nearest) <= reachPx ? nearest : null;
}
