/** @import { Storage } from '../core/settings.js' */

const KEY = 'segue.settings';

/**
 * Where the browser keeps what the user chose. Where it keeps nothing, each page begins anew.
 *
 * @returns {Storage}
 */
export function settingsStorage() {
  return {
    read: () => attempt(() => window.localStorage.getItem(KEY)) ?? null,
    write: (text) => void attempt(() => window.localStorage.setItem(KEY, text)),
  };
}

/**
 * A browser may refuse by throwing: storage is off, or full.
 *
 * @template T
 * @param {() => T} action
 */
function attempt(action) {
  try {
    return action();
  } catch {
    return undefined;
  }
}
