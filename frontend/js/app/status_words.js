/**
 * Every state of the page in words: what is so, and what the user can do about it.
 *
 * @import { Mode } from '../core/messages.js'
 * @import { Phase } from '../core/connection.js'
 * @import { CameraProblem } from './camera.js'
 *
 * @typedef {object} Situation
 * @property {boolean} isWanted The user pressed Start.
 * @property {boolean} isCameraOn
 * @property {CameraProblem | 'encoder' | null} cameraProblem
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

/** @type {Record<CameraProblem | 'encoder', { title: string, text: string }>} */
const CAMERA_WORDS = {
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
  lost: { title: 'The camera is gone', text: 'It was unplugged or taken away. Press Start to turn it on again.' },
  failed: { title: 'The camera did not start', text: 'Press Start to try again. Another camera or browser may help.' },
  encoder: { title: 'Frames cannot be encoded', text: 'This browser could not turn the camera’s picture into JPEG. Press Start to try again.' },
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
  if (now.cameraProblem) return { tone: 'bad', ...CAMERA_WORDS[now.cameraProblem] };
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
  if (now.phase !== 'open') return { tone: 'busy', title: 'Connecting', text: 'Waiting for the server.' };
  if (!now.isWanted) return { tone: 'calm', title: 'Ready', text: 'Press Start to turn on your camera.' };
  if (!now.isCameraOn) return { tone: 'busy', title: 'Starting the camera', text: 'The browser may ask for your permission.' };
  if (now.pendingMode) {
    return { tone: 'busy', title: `Loading ${now.pendingMode.name}`, text: `Masks come from ${now.mode?.name ?? 'the mode before'} until it is ready.` };
  }
  if (now.mode?.state === 'loading') return { tone: 'busy', title: `Loading ${now.mode.name}`, text: 'The first masks come when it is ready.' };
  if (!now.hasMask) return { tone: 'busy', title: 'Waiting for the first mask', text: 'Frames are on their way.' };
  return { tone: 'good', title: 'Live', text: '' };
}
