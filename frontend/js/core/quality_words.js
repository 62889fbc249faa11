/**
 * What the page says of the quality that was chosen.
 *
 * @import { Mood } from './quality_control.js'
 * @import { Summary } from './quality_samples.js'
 */

/**
 * @param {Exclude<Mood, 'measuring'>} mood
 * @param {Summary} seen
 * @param {number} targetMillis
 * @returns {string} One short sentence.
 */
export function reasonOf(mood, seen, targetMillis) {
  switch (mood) {
    case 'full':
      return `Full quality: masks come within ${targetMillis} ms.`;
    case 'lowered':
      return `Lowered so that masks come within ${targetMillis} ms.`;
    case 'rising':
      return `Raised: ${targetMillis} ms leave room for better frames.`;
    case 'floor':
      return `As low as allowed, and frames still take ${rounded(seen.high)}: ${restOf(seen, seen.elastic)}.`;
    case 'helpless':
      return `Smaller frames would not help: ${restOf(seen, 0)}.`;
    case 'futile':
      return `Smaller frames did not help: ${restOf(seen, seen.elastic)}.`;
  }
}

/**
 * What takes longest.
 *
 * @param {Summary} seen
 * @param {number} sendingMillis
 */
function restOf({ model, queue, distance, page }, sendingMillis) {
  const wait = queue > model / 2 ? `, and they wait ${rounded(queue)} for it` : '';
  const causes = [
    { millis: model + queue, text: `the model takes ${rounded(model)}${wait}` },
    { millis: distance, text: `the way to the server and back takes ${rounded(distance)}` },
    { millis: page, text: `this page takes ${rounded(page)} to show a mask` },
    { millis: sendingMillis, text: `sending them takes ${rounded(sendingMillis)}` },
  ];
  return causes.reduce((worst, cause) => (cause.millis > worst.millis ? cause : worst)).text;
}

/** @param {number} millis */
function rounded(millis) {
  return `${millis < 100 ? Math.round(millis) : 10 * Math.round(millis / 10)} ms`;
}
