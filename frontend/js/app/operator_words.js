/**
 * What became of an operator's wishes, in words.
 *
 * @import { Deed, Phase } from '../core/operator.js'
 * @import { OperatorError } from '../core/operator_error.js'
 * @import { Attempt, Change } from '../core/reloads.js'
 */

const LONGEST_VALUE = 200;

/** @type {Record<string, string>} */
const OUTCOME_WORDS = { applied: 'Applied', rejected: 'Rejected', unchanged: 'Unchanged', superseded: 'Superseded' };

/** @type {Record<string, string>} */
const TRIGGER_WORDS = { start: 'at the start', file: 'a file was edited', signal: 'by signal', admin: 'by an operator', swap: 'other files' };

/** @type {Record<Deed, string>} */
const DEED_WORDS = { use: 'Switching the profile …', read: 'Reading the files …' };

/** @param {OperatorError} error */
export function problemInWords({ problem, message }) {
  switch (problem) {
    case 'unreachable':
      return 'The server cannot be reached.';
    case 'unauthorized':
      return 'This is not the server’s admin token.';
    case 'admin_off':
      return message || 'This server has no admin token, so nobody can change it from here. Set security.admin_token.';
    case 'unknown_profile':
      return message || 'There is no such profile.';
    case 'refused':
      return `The server refused: ${message}`;
    case 'unexpected':
      return `The server’s answer makes no sense here: ${message}`;
  }
}

/**
 * @param {Phase} phase
 * @param {OperatorError | null} problem
 */
export function signInInWords(phase, problem) {
  if (!problem) return '';
  const words = problemInWords(problem);
  return phase === 'out' ? words : `${words} Asking again every two seconds.`;
}

/** @param {Deed} deed */
export function deedInWords(deed) {
  return DEED_WORDS[deed];
}

/** @param {Attempt} attempt */
export function outcomeInWords({ outcome, profile, generation, changes, faults, modes }) {
  if (modes.length > 0) return swapInWords(outcome, modes.join(', '), generation);
  if (outcome === 'applied') return `Applied: ${profile}, generation ${generation}, ${counted(changes.length, 'value')} changed.`;
  if (outcome === 'rejected') return `Rejected: ${profile} has ${counted(faults.length, 'fault')}. Generation ${generation} goes on serving.`;
  if (outcome === 'unchanged') return `Unchanged: ${profile} says what it said before.`;
  if (outcome === 'superseded') return `Superseded: a newer edit came before ${profile} was ready.`;
  return `${outcome}: ${profile}, generation ${generation}.`;
}

/**
 * @param {Attempt} standing
 * @param {Date} [now]
 */
export function standingInWords({ profile, generation, at, modes }, now) {
  if (modes.length > 0) return `A new build for ${modes.join(', ')} was refused at ${timeInWords(at, now)}. The old one goes on serving.`;
  return `Profile ${profile} was rejected at ${timeInWords(at, now)}. Generation ${generation} goes on serving.`;
}

/**
 * @param {string} outcome
 * @param {string} modes
 * @param {number} generation
 */
function swapInWords(outcome, modes, generation) {
  if (outcome === 'rejected') return `Refused: the new build for ${modes}. The old one goes on serving.`;
  if (outcome === 'superseded') return `Superseded: a newer build for ${modes} came before this one was ready.`;
  return `Swapped: the build behind ${modes}, generation ${generation}.`;
}

/** @param {string} outcome */
export function outcomeName(outcome) {
  return OUTCOME_WORDS[outcome] ?? outcome;
}

/** @param {Attempt} attempt */
export function tookInWords({ tookMillis }) {
  if (tookMillis >= 1000) return `in ${(tookMillis / 1000).toFixed(1)} s`;
  return `in ${tookMillis.toFixed(tookMillis < 10 ? 1 : 0)} ms`;
}

/** @param {Attempt} attempt */
export function attemptInWords({ profile, generation, trigger, modes }) {
  return `${modes.length > 0 ? `build of ${modes.join(', ')}` : profile} · generation ${generation} · ${TRIGGER_WORDS[trigger] ?? trigger}`;
}

/** @param {Change} change */
export function changeInWords({ from, to }) {
  if (from === null) return `new: ${valueInWords(to)}`;
  if (to === null) return `gone, was ${valueInWords(from)}`;
  return `${valueInWords(from)} → ${valueInWords(to)}`;
}

/**
 * The viewer's own time; the day only when it is not today.
 *
 * @param {string} at ISO 8601.
 * @param {Date} [now]
 */
export function timeInWords(at, now = new Date()) {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return at;
  const isToday = time.toDateString() === now.toDateString();
  return isToday ? time.toLocaleTimeString() : time.toLocaleString();
}

/** @param {unknown} value */
function valueInWords(value) {
  const text = JSON.stringify(value);
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)} …` : text;
}

/**
 * @param {number} count
 * @param {string} noun
 */
function counted(count, noun) {
  return count === 1 ? `1 ${noun}` : `${count} ${noun}s`;
}
