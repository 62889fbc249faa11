/** @typedef {'insecure' | 'missing' | 'denied' | 'busy' | 'lost' | 'ended' | 'unreadable' | 'failed'} SourceProblem */

/** A source of pictures cannot be used, for a reason that has words. */
export class SourceError extends Error {
  name = 'SourceError';

  /**
   * @param {SourceProblem} problem
   * @param {ErrorOptions} [options]
   */
  constructor(problem, options) {
    super(`the source is ${problem}`, options);
    this.problem = problem;
  }
}

/** @type {Record<string, SourceProblem>} */
const PROBLEM_BY_ERROR = {
  NotFoundError: 'missing',
  OverconstrainedError: 'missing',
  NotAllowedError: 'denied',
  SecurityError: 'denied',
  NotReadableError: 'busy',
  AbortError: 'busy',
};

/**
 * What the browser said when it was asked for a camera or the screen.
 *
 * @param {unknown} cause
 */
export function sourceErrorOf(cause) {
  if (cause instanceof SourceError) return cause;
  const name = cause instanceof Error || cause instanceof DOMException ? cause.name : '';
  return new SourceError(PROBLEM_BY_ERROR[name] ?? 'failed', { cause });
}
