/** This machine's WebGL can't run the painter. */
export class GlError extends Error {
  name = 'GlError';
}
