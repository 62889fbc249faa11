/**
 * Every state of the page in words: what is so, and what the user can do about it.
 *
 * @import { Mode } from '../core/messages.js'
 * @import { Phase } from '../core/connection.js'
 * @import { SourceProblem } from './sources/source_error.js'
 *
 * @typedef {object} Situation
 * @property {boolean} isWanted The user pressed Start.
 * @property {'camera' | 'screen' | 'file'} source
 * @property {boolean} isSourceOn
 * @property {SourceProblem | 'encoder' | null} problem
 * @property {Phase} phase
 * @property {boolean} hasServed The server has answered before.
 * @property {boolean} isHidden
 * @property {boolean} hasMask A mask is on the screen.
 * @property {Mode | undefined} mode
 * @property {Mode | undefined} pendingMode
 * @property {string | null} failure What the backend says of its failing.
 *
 * @typedef {object} Words
 * @property {'calm' | 'good' | 'busy' | 'bad'} tone
 * @property {string} title
 * @property {string} text
 * @property {boolean} [canRetry] Trying to connect at once makes sense.
 */

/** @type {Record<SourceProblem | 'encoder', { title: string, text: string }>} */
const PROBLEM_WORDS = {
  insecure: {
    title: 'This address may not use the camera',
    text: 'Browsers allow the camera on https pages and on localhost only. Open Segue by https, or on the machine it runs on.',
  },
  missing: { title: 'No camera found', text: 'Connect a camera, then press Start again.' },
  denied: {
    title: 'The camera is not allowed',
    text: 'Allow the camera for this page in the browser’s address bar, then press Start again.',
  },
  busy: { title: 'The camera is in use', text: 'Another program or tab holds it. Close that one, then press Start again.' },
  lost: { title: 'The camera is gone', text: 'It was unplugged or taken away. It goes on when it is back; Start tries another.' },
  ended: { title: 'Sharing has ended', text: 'Press Start to share again, or choose another source.' },
  unreadable: { title: 'The file cannot be shown', text: 'This browser reads neither a video nor a picture in it. Choose another file.' },
  failed: { title: 'The camera did not start', text: 'Press Start to try again. Another camera or browser may help.' },
  encoder: { title: 'Frames cannot be encoded', text: 'This browser could not turn the picture into JPEG. Press Start to try again.' },
};

/** A screen has the words of a camera, but for these. @type {Partial<typeof PROBLEM_WORDS>} */
const SCREEN_WORDS = {
  insecure: { title: 'The screen cannot be shared here', text: 'Browsers allow it on https pages and on localhost only, and on phones not at all.' },
  denied: { title: 'The screen is not shared', text: 'Press Start to choose a screen or window, or choose another source.' },
  failed: { title: 'The screen could not be shared', text: 'Press Start to try again, or choose another source.' },
};

/** What Start does, by source. */
const START_WORDS = {
  camera: 'Press Start to turn on your camera.',
  screen: 'Press Start to choose what to share.',
  file: 'Press Start to play the file.',
};

/**
 * @param {Situation} now
 * @returns {Words}
 */
export function describe(now) {
  return problemOf(now) ?? progressOf(now);
}

/**
 * @param {Situation} now
 * @returns {Words | null}
 */
function problemOf(now) {
  if (now.problem) return { tone: 'bad', ...((now.source === 'screen' && SCREEN_WORDS[now.problem]) || PROBLEM_WORDS[now.problem]) };
  if (now.phase === 'waiting') {
    if (!now.hasServed) {
      const text = 'Is it running, and is this the right address? The page keeps trying; the camera stays off.';
      return { tone: 'bad', title: 'The server cannot be reached', text, canRetry: true };
    }
    const text = now.isWanted ? 'Mode and view are kept; the stream resumes by itself.' : 'The page connects again by itself.';
    return { tone: 'bad', title: 'The server is gone', text, canRetry: true };
  }
  if (now.phase !== 'open') return null;
  if (now.isWanted && now.failure !== null) {
    return { tone: 'bad', title: 'The model is failing', text: now.failure || 'Its backend answers with errors. Another mode may work.' };
  }
  if (now.mode?.state === 'unavailable') {
    return { tone: 'bad', title: `${now.mode.name} is unavailable`, text: now.mode.message || 'Choose another mode.' };
  }
  return null;
}

/**
 * @param {Situation} now
 * @returns {Words}
 */
function progressOf(now) {
  if (now.isWanted && now.isHidden) {
    return { tone: 'calm', title: 'Paused', text: 'The page is out of sight; frames are sent again when it comes back.' };
  }
  if (now.phase === 'closed' && now.hasServed) return { tone: 'calm', title: 'Disconnected', text: 'Start and Connect both connect again.' };
  if (now.phase !== 'open') return { tone: 'busy', title: 'Connecting', text: 'Waiting for the server.' };
  if (!now.isWanted) return { tone: 'calm', title: 'Ready', text: START_WORDS[now.source] };
  if (!now.isSourceOn) return { tone: 'busy', title: now.source === 'camera' ? 'Starting the camera' : 'Starting', text: 'The browser may ask for your permission.' };
  if (now.pendingMode) {
    return { tone: 'busy', title: `Loading ${now.pendingMode.name}`, text: `Masks come from ${now.mode?.name ?? 'the mode before'} until it is ready.` };
  }
  if (now.mode?.state === 'loading') return { tone: 'busy', title: `Loading ${now.mode.name}`, text: 'The first masks come when it is ready.' };
  if (!now.hasMask) return { tone: 'busy', title: 'Waiting for the first mask', text: 'Frames are on their way.' };
  return { tone: 'good', title: 'Live', text: '' };
}
