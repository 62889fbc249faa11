/**
 * @import { ViewName } from '../paint/scene.js'
 *
 * @typedef {'blur' | 'colour' | 'picture' | 'transparent'} BackdropName
 *
 * @typedef {object} Choices What the user can choose.
 * @property {string} server As typed; empty is the server that the page came from.
 * @property {string} mode Empty: the server's default.
 * @property {string} compare The mode to compare with; or empty.
 * @property {ViewName} view
 * @property {number} opacity 0 to 1.
 * @property {BackdropName} backdrop Behind a cut-out.
 * @property {string} colour The backdrop's, as `#rrggbb`.
 * @property {'frame' | 'live'} over Masks are drawn over their own frames, or over the live picture.
 * @property {boolean} softEdge
 * @property {boolean | null} mirror Null: as the source wants it.
 * @property {boolean} labels Names on the largest regions.
 * @property {string[]} hidden Labels of the classes that are not drawn.
 * @property {string} only The label of the class that is drawn alone; or empty.
 * @property {number} quality JPEG quality by hand; 0 is automatic.
 * @property {number} size The longer side by hand; 0 is automatic.
 * @property {string} camera Its device id: means something in this browser only.
 *
 * @typedef {{ read: () => string | null, write: (text: string) => void }} Storage
 */

import { Signal } from './signal.js';

/** @type {Choices} */
const DEFAULTS = {
  server: '',
  mode: '',
  compare: '',
  view: 'filled',
  opacity: 0.6,
  backdrop: 'blur',
  colour: '#1f6f6b',
  over: 'frame',
  softEdge: true,
  mirror: null,
  labels: false,
  hidden: [],
  only: '',
  quality: 0,
  size: 0,
  camera: '',
};

/** @type {Record<string, readonly string[]>} */
const ONE_OF = {
  view: ['filled', 'contour', 'side-by-side', 'blend', 'cut-out'],
  backdrop: ['blur', 'colour', 'picture', 'transparent'],
  over: ['frame', 'live'],
};

/** @type {Record<string, [number, number]>} */
const BETWEEN = { opacity: [0, 1], quality: [0, 100], size: [0, 4096] };

const LONGEST_TEXT = 200;
const MOST_HIDDEN = 256;

/** What the user chose: it survives a reload, and travels in a link. What a link says counts over what was remembered. */
export class Settings {
  /** @type {Signal<keyof Choices>} */
  changed = new Signal();

  /** A server that a link names and the user has not chosen: their pictures would go there, so they are asked first. */
  proposedServer = '';

  /** @type {Choices} */
  #choices;
  #storage;

  /**
   * @param {Storage} storage
   * @param {string} link The part of the page's address after `#`.
   */
  constructor(storage, link = '') {
    this.#storage = storage;
    const stored = { ...DEFAULTS, ...readStored(storage.read()) };
    const linked = readLink(link);
    if (linked.server && linked.server !== stored.server) this.proposedServer = linked.server;
    this.#choices = { ...stored, ...linked, server: stored.server };
  }

  get now() {
    return this.#choices;
  }

  /**
   * @template {keyof Choices} K
   * @param {K} key
   * @param {Choices[K]} value
   */
  set(key, value) {
    if (same(this.#choices[key], value)) return;
    this.#choices = { ...this.#choices, [key]: value };
    // Only this one: another tab may have chosen the rest, or a link that was only looked at.
    this.#storage.write(JSON.stringify({ ...readStored(this.#storage.read()), [key]: value }));
    this.changed.emit(key);
  }

  /** All that differs from the defaults, to stand after `#`. */
  get link() {
    const fields = new URLSearchParams();
    for (const [key, value] of Object.entries(this.#choices)) {
      const usual = DEFAULTS[/** @type {keyof Choices} */ (key)];
      if (key === 'camera' || same(usual, value)) continue;
      if (Array.isArray(value)) for (const one of value) fields.append(key, one);
      else fields.append(key, typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value));
    }
    return fields.toString();
  }
}

/**
 * @param {string | null} text
 * @returns {Partial<Choices>}
 */
function readStored(text) {
  try {
    const stored = JSON.parse(text ?? '{}');
    const fields = stored && typeof stored === 'object' ? Object.entries(stored) : [];
    return Object.fromEntries(fields.filter(([key, value]) => isValid(key, value)));
  } catch {
    return {}; // Somebody else's, or of another version.
  }
}

/**
 * @param {string} link
 * @returns {Partial<Choices>}
 */
function readLink(link) {
  const fields = new URLSearchParams(link.replace(/^#/, ''));
  /** @type {Record<string, unknown>} */
  const choices = {};
  for (const [key, usual] of Object.entries(DEFAULTS)) {
    if (key === 'camera' || !fields.has(key)) continue;
    const text = fields.get(key) ?? '';
    if (Array.isArray(usual)) choices[key] = fields.getAll(key);
    else if (typeof usual === 'boolean' || key === 'mirror') choices[key] = text === 'on' ? true : text === 'off' ? false : undefined;
    else choices[key] = typeof usual === 'number' ? (text === '' ? NaN : Number(text)) : text;
  }
  return Object.fromEntries(Object.entries(choices).filter(([key, value]) => isValid(key, value)));
}

/**
 * @param {string} key
 * @param {unknown} value
 */
function isValid(key, value) {
  const usual = /** @type {Record<string, unknown>} */ (DEFAULTS)[key];
  if (usual === undefined) return false;
  if (ONE_OF[key]) return ONE_OF[key].includes(String(value));
  if (key === 'mirror') return value === null || typeof value === 'boolean';
  if (key === 'colour') return typeof value === 'string' && /^#[0-9a-f]{6}$/i.test(value);
  if (Array.isArray(usual)) return Array.isArray(value) && value.length <= MOST_HIDDEN && value.every(isShortText);
  if (typeof value === 'number' && BETWEEN[key]) return value >= BETWEEN[key][0] && value <= BETWEEN[key][1];
  return typeof value === typeof usual && (typeof value !== 'string' || isShortText(value));
}

/** @param {unknown} value */
function isShortText(value) {
  return typeof value === 'string' && value.length <= LONGEST_TEXT;
}

/**
 * @param {unknown} one
 * @param {unknown} other
 */
function same(one, other) {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}
