/**
 * @typedef {'unreachable' | 'unauthorized' | 'admin_off' | 'unknown_profile' | 'refused' | 'unexpected'} OperatorProblem
 *   `refused` is for a reason of the server's own; `unexpected` is an answer that says nothing.
 */

/** The server did not do what the operator asked, for a reason that has words. */
export class OperatorError extends Error {
  name = 'OperatorError';

  /**
   * @param {OperatorProblem} problem
   * @param {string} message What the server says of it, or what was wrong with its answer.
   * @param {ErrorOptions} [options]
   */
  constructor(problem, message = '', options) {
    super(message, options);
    this.problem = problem;
  }
}
