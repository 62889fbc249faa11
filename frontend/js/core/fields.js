/** Fields of the server's JSON, each checked to be what it is taken for. They fail with a ProtocolError. */

import { ProtocolError } from './protocol_error.js';

/**
 * @param {string} text
 * @param {string} name What it is, for the complaint.
 * @returns {Record<string, unknown>}
 */
export function parseObject(text, name) {
  try {
    return object(JSON.parse(text), name);
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause;
    throw new ProtocolError(`${name} is not JSON`, { cause });
  }
}

/**
 * @param {unknown} value
 * @param {string} name
 * @returns {Record<string, unknown>}
 */
export function object(value, name) {
  if (typeof value !== 'object' || value === null) throw new ProtocolError(`${name} is not an object`);
  return /** @type {Record<string, unknown>} */ (value);
}

/**
 * @param {Record<string, unknown>} fields
 * @param {string} key
 * @returns {string}
 */
export function string(fields, key) {
  const value = fields[key];
  if (typeof value !== 'string') throw new ProtocolError(`${key} is not a string`);
  return value;
}

/**
 * @param {Record<string, unknown>} fields
 * @param {string} key
 * @returns {string}
 */
export function optionalString(fields, key) {
  return fields[key] == null ? '' : string(fields, key);
}

/**
 * @param {Record<string, unknown>} fields
 * @param {string} key
 * @returns {number}
 */
export function number(fields, key) {
  const value = fields[key];
  if (typeof value !== 'number') throw new ProtocolError(`${key} is not a number`);
  return value;
}

/**
 * @param {unknown} value
 * @returns {unknown[]}
 */
export function list(value) {
  return Array.isArray(value) ? value : [];
}

/**
 * @param {Record<string, unknown>} fields
 * @param {string} key
 * @returns {number} 0 where there is none.
 */
export function optionalNumber(fields, key) {
  return fields[key] == null ? 0 : number(fields, key);
}
