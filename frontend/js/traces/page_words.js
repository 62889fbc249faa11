/**
 * Every state of the page in words: what is so, and what can be done about it.
 *
 * @import { TraceError } from '../core/trace_error.js'
 * @import { TraceList } from '../core/traces.js'
 *
 * @typedef {object} Situation
 * @property {boolean} isLive Traces come from a server, not from a capsule.
 * @property {boolean} isFollowing
 * @property {boolean} isFiltered
 * @property {boolean} isLoading
 * @property {number} shown How many frames are here.
 * @property {TraceError | null} problem
 * @property {TraceList | null} summary
 *
 * @typedef {object} Words
 * @property {'calm' | 'good' | 'busy' | 'bad'} tone
 * @property {string} status
 * @property {{ title: string, text: string, hasCamera: boolean } | null} empty In the place of charts.
 */

/** @param {TraceError} error */
export function problemInWords({ problem, message }) {
  switch (problem) {
    case 'unreachable':
      return 'The server cannot be reached. What is shown is what it told before; the page keeps asking.';
    case 'too_old':
      return 'This server keeps no traces: GET /v1/traces is not there. It is older than this page.';
    case 'unknown_trace':
      return message || 'The recorder does not hold this trace.';
    case 'refused':
      return `The server refused: ${message}`;
    case 'unexpected':
      return `The server’s answer makes no sense here: ${message}`;
    case 'no_capsule':
      return `This file cannot be opened: ${message}.`;
  }
}

/**
 * @param {Situation} now
 * @returns {Words}
 */
export function describe(now) {
  return { ...statusOf(now), empty: now.shown > 0 ? null : emptyOf(now) };
}

/**
 * @param {Situation} now
 * @returns {{ tone: Words['tone'], status: string }}
 */
function statusOf({ isLive, isFollowing, isLoading, problem, summary }) {
  if (problem?.problem === 'unreachable') return { tone: 'bad', status: 'The server cannot be reached' };
  if (problem) return { tone: 'bad', status: 'No traces' };
  if (!isLive) return { tone: 'calm', status: 'A capsule' };
  if (!summary || isLoading) return { tone: 'busy', status: 'Loading' };
  return isFollowing ? { tone: 'good', status: 'Following' } : { tone: 'calm', status: 'Standing still' };
}

/** @param {Situation} now */
function emptyOf({ isLive, isFiltered, problem, summary }) {
  if (problem?.problem === 'unreachable') {
    return { title: 'The server cannot be reached', text: 'Is it running, and is this the right address? The page keeps asking.', hasCamera: false };
  }
  if (problem?.problem === 'too_old') {
    const text = 'It does not answer GET /v1/traces. Start a newer segue; a capsule from another server can be opened here all the same.';
    return { title: 'This server keeps no traces', text, hasCamera: false };
  }
  if (problem) return { title: 'Traces could not be read', text: problemInWords(problem), hasCamera: false };
  if (!summary) return { title: 'Asking the flight recorder', text: 'One moment.', hasCamera: false };
  if (isFiltered) return { title: 'No frame matches', text: 'The recorder holds none that fits these filters. “Show all” takes them away.', hasCamera: false };
  if (!isLive) return { title: 'This capsule is empty', text: 'No frame was recorded when it was made.', hasCamera: false };
  const text = 'The flight recorder keeps the newest frames of every session. Open the camera page, press Start, and each frame shows up here from capture to paint.';
  return { title: 'No frames yet', text, hasCamera: true };
}

/**
 * What stands where a frame would.
 *
 * @param {TraceError | null} problem
 * @param {string} traceId Asked for.
 * @param {boolean} isLive
 */
export function noFrameInWords(problem, traceId, isLive) {
  if (!traceId) return 'Choose a frame: click a bar in the lanes or a row of the slowest frames. J and K go to the frames before and after.';
  if (!problem) return 'Asking for the trace.';
  if (problem.problem !== 'unknown_trace') return problemInWords(problem);
  if (!isLive) return `${problem.message} Close the capsule to ask the server for it.`;
  return `Trace ${traceId} is not in the recorder. It keeps the newest frames only, and this one has made way for newer ones; if it was exported, look for this id where your traces are collected.`;
}
