/**
 * What the server tells of its profile and of the attempts to change it, read and checked field by field.
 *
 * @typedef {object} Change
 * @property {string} key
 * @property {unknown} from Null where the key is new.
 * @property {unknown} to Null where the key is gone.
 * @property {string} origin Where the new value is written.
 *
 * @typedef {object} Attempt One reading of the profile's files, or of the build behind a mode, and what became of it.
 * @property {number} number Counted since the server started.
 * @property {string} at ISO 8601.
 * @property {string} trigger `start`, `file`, `signal`, `admin` or `swap`.
 * @property {string[]} modes Those whose build was to be swapped; none when it was the profile's.
 * @property {string} profile
 * @property {string} outcome `applied`, `rejected`, `unchanged` or `superseded`.
 * @property {number} generation In force after it.
 * @property {Change[]} changes
 * @property {string[]} faults Each with file, line, key and the mend.
 * @property {number} tookMillis
 *
 * @typedef {object} Reloads
 * @property {number} generation In force now.
 * @property {Attempt | null} standing The rejected edit that nobody has mended yet.
 * @property {Attempt[]} refused Builds that were refused and still lie there.
 * @property {Attempt[]} attempts The newest first.
 *
 * @typedef {object} Admission What a holder of the admin token is told first.
 * @property {string} profile In force now.
 * @property {string[]} profiles
 */

import { list, number, object, optionalString, string } from './fields.js';

/**
 * @param {Record<string, unknown>} fields
 * @returns {Reloads}
 */
export function readReloads(fields) {
  return {
    generation: number(fields, 'generation'),
    standing: fields.standing == null ? null : readAttempt(fields.standing),
    refused: list(fields.refused).map(readAttempt),
    attempts: list(fields.reloads).map(readAttempt),
  };
}

/**
 * @param {Record<string, unknown>} fields
 * @returns {Admission}
 */
export function readAdmission(fields) {
  return { profile: string(fields, 'profile'), profiles: list(fields.profiles).map(String) };
}

/**
 * @param {unknown} value
 * @returns {Attempt}
 */
export function readAttempt(value) {
  const fields = object(value, 'an attempt');
  return {
    number: number(fields, 'number'),
    at: string(fields, 'at'),
    trigger: optionalString(fields, 'trigger'),
    modes: list(fields.modes).map(String),
    profile: string(fields, 'profile'),
    outcome: string(fields, 'outcome'),
    generation: number(fields, 'generation'),
    changes: list(fields.changes).map(readChange),
    faults: list(fields.faults).map(String),
    tookMillis: fields.took_millis == null ? 0 : number(fields, 'took_millis'),
  };
}

/**
 * @param {unknown} value
 * @returns {Change}
 */
function readChange(value) {
  const fields = object(value, 'a change');
  return {
    key: string(fields, 'key'),
    from: fields.from ?? null,
    to: fields.to ?? null,
    origin: optionalString(fields, 'origin'),
  };
}
