import { part } from '../app/part.js';
import { shortName } from './stages.js';

/**
 * A stage's name with its side set back: `decode` is done on both sides.
 *
 * @param {string} stage
 */
export function stageName(stage) {
  const short = shortName(stage);
  return [part('span', 'stage-side', stage.slice(0, stage.length - short.length)), part('span', '', short)];
}
