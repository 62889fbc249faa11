/** @import { Tokens } from '../core/operator.js' */

const KEY = 'segue.admin-token';

/**
 * Remembers the admin token until the tab is closed, and where the browser keeps nothing, until the page is left.
 *
 * @implements {Tokens}
 */
export class TokenStore {
  #storage = openStorage();
  /** @type {string | null} */
  #unstored = null;

  read() {
    return this.#storage?.getItem(KEY) ?? this.#unstored;
  }

  /** @param {string} token */
  keep(token) {
    if (this.#storage) this.#storage.setItem(KEY, token);
    else this.#unstored = token;
  }

  forget() {
    this.#storage?.removeItem(KEY);
    this.#unstored = null;
  }
}

/** A browser may refuse it, by throwing. */
function openStorage() {
  try {
    return window.sessionStorage;
  } catch {
    return null;
  }
}
