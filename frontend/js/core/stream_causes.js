/**
 * What holds a stream up, told from its numbers at one moment.
 *
 * @import { PartName } from './stage_times.js'
 * @import { Facts, Finding } from './stream_diagnosis.js'
 */

import { LATELY_MICROS } from './frame_stats.js';

/** Without a target of the profile's own: from camera to screen, the most that still feels live. */
const LIVE_MILLIS = 500;
const TOO_SLOW = 1.1;
/** Of the frames that could be painted. */
const FEWER = 0.75;
/** Of the slots that the server gives. */
const FULL = 0.7;
/** A model whose slowest runs take so many times its usual ones. */
const UNSTEADY = 2;
const UNSTEADY_MILLIS = 20;
const REFUSED_SHARE = 0.2;
const SERVER_REFUSES = ['overloaded', 'rate_limited', 'expired'];
const LEAST_REFUSED = 5;
/** Frames that leave so late are held up in the page. */
const LATE_TO_LEAVE_MILLIS = 25;
/** What is expected of a camera, even where more would be welcome. */
const CAMERA_FPS = 30;

/** @type {Finding} */
const FINE = { kind: 'fine', cause: 'fine', text: 'All is well.', figure: 0 };

/** @type {Finding} */
const SILENT = { kind: 'backend', cause: 'silent', text: 'No mask has come back for seconds: the model or the network is stuck.', figure: 0 };

/**
 * @param {Facts} facts
 * @returns {Finding | null} Null where there is nothing to go by.
 */
export function findCause(facts) {
  const { fps, slowMillis, inFlight, limits } = facts;
  const refused = refusedShare(facts);
  if (refused > REFUSED_SHARE) {
    const text = `The server drops ${(100 * refused).toFixed(0)} % of the frames: it has more to do than it can. Choose a faster mode.`;
    return { kind: 'backend', cause: 'refused', text, figure: refused };
  }
  if (slowMillis === null) return inFlight > 0 ? SILENT : null;
  const wanted = 1000 / Math.max(1, limits.minFrameIntervalMillis);
  const possible = Math.min(wanted, facts.cameraFps ?? wanted);
  const isSlow = slowMillis > TOO_SLOW * (limits.adaptive?.targetLatencyMillis ?? LIVE_MILLIS);
  // A source that is asked for each frame may be a still picture: few frames of it are no fault.
  const isFew = fps < FEWER * possible && (facts.cameraFps !== null || occupancy(facts) > FULL);
  if (isSlow || isFew) return slowest(facts, isFew);
  const expected = Math.min(wanted, CAMERA_FPS);
  if (facts.cameraFps !== null && facts.cameraFps < FEWER * expected) return slowCamera(facts.cameraFps, expected);
  return FINE;
}

/**
 * @param {Facts} facts
 * @param {boolean} isFew
 * @returns {Finding}
 */
function slowest(facts, isFew) {
  const millis = millisOf(facts);
  const network = millis.up + millis.down;
  const backend = millis.queue + millis.decode + millis.model + millis.encode;
  const page = millis.capture + (facts.isComparing ? 0 : millis.paint);
  // Slots are free and the camera has frames: they are held up before they leave.
  const isHeldUp = isFew && occupancy(facts) <= FULL && millis.capture > LATE_TO_LEAVE_MILLIS;
  if (isHeldUp || page > Math.max(network, backend)) return busyPage(millis);
  return network > backend ? slowNetwork(facts, network) : slowBackend(facts, millis);
}

/**
 * @param {Facts} facts
 * @param {number} networkMillis
 * @returns {Finding}
 */
function slowNetwork({ roundTripMicros, quality }, networkMillis) {
  const distance = (roundTripMicros ?? 0) / 1000;
  if (distance > networkMillis / 2) {
    const text = `The network is the bottleneck: the way to the server and back takes ${whole(distance)} ms. A server nearer by would help, smaller frames would not.`;
    return { kind: 'network', cause: 'distance', text, figure: distance };
  }
  const advice = quality.kind === 'adapting' ? 'Quality and size follow it by themselves.' : 'Lower quality or size.';
  const text = `The network is the bottleneck: frames and masks are on their way for ${whole(networkMillis)} ms. ${advice}`;
  return { kind: 'network', cause: `bandwidth-${quality.kind}`, text, figure: networkMillis };
}

/**
 * @param {Facts} facts
 * @param {Record<PartName, number>} millis
 * @returns {Finding}
 */
function slowBackend({ stages }, { queue, model }) {
  const { medianMillis, p95Millis } = stages.spreadOf('model') ?? { medianMillis: model, p95Millis: model };
  if (p95Millis > UNSTEADY * medianMillis && p95Millis - medianMillis > UNSTEADY_MILLIS) {
    const text = `The model takes ${whole(medianMillis)} ms, and often ${whole(p95Millis)} ms: its accelerator throttles or is shared.`;
    return { kind: 'backend', cause: 'unsteady', text, figure: p95Millis };
  }
  // Of one's own frames only one is ahead.
  if (queue > 1.5 * model) {
    const text = `The model is busy with others: frames wait ${whole(queue)} ms for their turn. Choose another mode.`;
    return { kind: 'backend', cause: 'queue', text, figure: queue };
  }
  const text = `The model is the bottleneck: it takes ${whole(model)} ms for a frame. Choose a faster mode.`;
  return { kind: 'backend', cause: 'model', text, figure: model };
}

/**
 * @param {Record<PartName, number>} millis
 * @returns {Finding}
 */
function busyPage({ capture, paint }) {
  if (paint > capture) {
    const text = `This page is busy: it takes ${whole(paint)} ms to paint a mask. Close what else runs, or choose another view.`;
    return { kind: 'page', cause: 'paint', text, figure: paint };
  }
  const text = `This page is busy: it takes ${whole(capture)} ms to encode a frame. Close what else runs, or lower the size.`;
  return { kind: 'page', cause: 'capture', text, figure: capture };
}

/**
 * @param {number} cameraFps
 * @param {number} expected
 * @returns {Finding}
 */
function slowCamera(cameraFps, expected) {
  const text = `The camera gives ${whole(cameraFps)} frames a second where ${whole(expected)} are welcome. More light often helps.`;
  return { kind: 'camera', cause: 'camera', text, figure: cameraFps };
}

/**
 * How much of the slots is in use: by Little's law, frames a second times the time that each is away.
 *
 * @param {Facts} facts
 */
function occupancy(facts) {
  const { capture, paint, ...away } = millisOf(facts);
  const awayMillis = Object.values(away).reduce((sum, part) => sum + part, 0);
  return (facts.fps * awayMillis) / 1000 / facts.limits.maxInFlight;
}

/** @param {Facts} facts */
function refusedShare({ snapshot }) {
  const refused = SERVER_REFUSES.reduce((sum, reason) => sum + (snapshot.droppedLately[reason] ?? 0), 0);
  const painted = (snapshot.fps * LATELY_MICROS) / 1e6;
  return refused < LEAST_REFUSED ? 0 : refused / (refused + painted);
}

/**
 * @param {Facts} facts
 * @returns {Record<PartName, number>}
 */
function millisOf({ stages }) {
  const none = { capture: 0, up: 0, queue: 0, decode: 0, model: 0, encode: 0, down: 0, paint: 0 };
  return Object.assign(none, Object.fromEntries(stages.shares.map(({ name, millis }) => [name, millis])));
}

/** @param {number} value */
function whole(value) {
  return value.toFixed(0);
}
