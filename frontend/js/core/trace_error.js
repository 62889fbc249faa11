/**
 * @typedef {'unreachable' | 'too_old' | 'unknown_trace' | 'refused' | 'unexpected' | 'no_capsule'} TraceProblem
 *   `too_old` is a server that keeps no traces; `refused` is for a reason of the server's own; `unexpected` is an answer that
 *   says nothing; `no_capsule` is a file that is not one.
 */

/** Traces that could not be had, for a reason that has words. */
export class TraceError extends Error {
  name = 'TraceError';

  /**
   * @param {TraceProblem} problem
   * @param {string} message What the server says of it, or what was wrong with the answer or the file.
   * @param {ErrorOptions} [options]
   */
  constructor(problem, message = '', options) {
    super(message, options);
    this.problem = problem;
  }
}
