/** @import { DecodedResult } from './decoded_result.js' */

/**
 * The share of pixels that two modes give the same name. What only one of them can name counts as disagreement.
 *
 * @param {DecodedResult} first
 * @param {DecodedResult} second
 * @returns {number | null} 0 to 1; null where the masks differ in size.
 */
export function agreement(first, second) {
  const [one, other] = [first.mask, second.mask];
  if (one.widthPx !== other.widthPx || one.heightPx !== other.heightPx) return null;
  const labels = first.mode.labels.map((label) => label);
  const sameName = second.mode.labels.map((label) => labels.indexOf(label));
  let agreed = 0;
  for (let pixel = 0; pixel < one.classIds.length; pixel += 1) {
    if (sameName[other.classIds[pixel]] === one.classIds[pixel]) agreed += 1;
  }
  return agreed / one.classIds.length;
}
