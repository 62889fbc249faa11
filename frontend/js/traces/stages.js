/**
 * The stages of a frame's way from camera to paint, and the side that each runs on.
 *
 * @typedef {'browser' | 'network' | 'server' | 'plugin'} Side
 */

/** @type {readonly Side[]} */
export const SIDES = ['browser', 'network', 'server', 'plugin'];

/** @type {Record<Side, string>} */
export const SIDE_NAMES = { browser: 'Browser', network: 'Network', server: 'Server', plugin: 'Plugin' };

/** Every stage in the order a frame meets them, with what is done in it. */
const STAGES = new Map([
  ['browser.capture', 'The camera’s picture waits for the encoder.'],
  ['browser.encode', 'The picture is scaled and becomes a JPEG.'],
  ['browser.send', 'The JPEG waits to be handed to the socket.'],
  ['network.up', 'The frame is on its way to the server.'],
  ['server.receive', 'The server reads the frame off the socket.'],
  ['server.queue', 'The frame waits for its model.'],
  ['server.decode', 'The JPEG becomes pixels.'],
  ['plugin.preprocess', 'The backend scales and normalises the pixels.'],
  ['plugin.infer', 'The backend’s network runs.'],
  ['plugin.postprocess', 'Scores become a mask of the frame’s size.'],
  ['plugin.other', 'The rest of the backend’s time, such as the way to its worker.'],
  ['server.encode', 'The mask is compressed.'],
  ['server.send', 'The result waits to be handed to the socket.'],
  ['network.down', 'The result is on its way to the browser.'],
  ['browser.receive', 'The result waits for those before it.'],
  ['browser.decode', 'The result becomes a mask.'],
  ['browser.paint', 'The mask waits for the screen and is drawn.'],
]);

export const STAGE_ORDER = [...STAGES.keys()];

/**
 * @param {string} stage
 * @returns {Side} A stage of a newer server counts as the server's.
 */
export function sideOf(stage) {
  const side = /** @type {Side} */ (stage.slice(0, stage.indexOf('.')));
  return SIDES.includes(side) ? side : 'server';
}

/**
 * Without the side, where that is told by a colour or a column.
 *
 * @param {string} stage
 */
export function shortName(stage) {
  return stage.slice(stage.indexOf('.') + 1);
}

/** @param {string} stage */
export function purposeOf(stage) {
  return STAGES.get(stage) ?? '';
}
