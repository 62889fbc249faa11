/** The server sent bytes or text that `segue.v2` does not allow. One such message costs one frame, never the session. */
export class ProtocolError extends Error {
  name = 'ProtocolError';
}
