/** @import { CameraProblem } from './camera.js' */

/** The camera cannot be used, for a reason that has words. */
export class CameraError extends Error {
  name = 'CameraError';

  /**
   * @param {CameraProblem} problem
   * @param {ErrorOptions} [options]
   */
  constructor(problem, options) {
    super(`the camera is ${problem}`, options);
    this.problem = problem;
  }
}
