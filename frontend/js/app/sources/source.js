/**
 * Where frames come from.
 *
 * @import { Picture } from '../../paint/scene.js'
 *
 * @typedef {{ kind: 'camera', deviceId: string } | { kind: 'screen' } | { kind: 'file', file: File }} SourceChoice A camera
 *   without a device id is any camera.
 *
 * @typedef {{ picture: ImageBitmap, capturedAt: number, takenAt: number }} Grabbed Times are microseconds of the page's
 *   clock; the picture began to be copied when it was taken.
 *
 * @typedef {object} Source
 * @property {boolean} isSelfView It looks at the user, who wants to see themselves as in a mirror.
 * @property {string} deviceId Of a camera; or empty.
 * @property {number} leastIntervalMillis From one frame to the next.
 * @property {() => ReadableStream<VideoFrame> | null} readable Its frames, where a worker can read them by itself.
 * @property {() => Picture | null} picture What it shows now.
 * @property {() => Promise<Grabbed>} grab Its next frame, for the encoder.
 * @property {(listener: () => void) => void} onLost Unplugged, taken away, or no longer shared.
 * @property {() => void} close
 */

import { SourceError, sourceErrorOf } from './source_error.js';
import { StillSource } from './still_source.js';
import { VideoSource } from './video_source.js';

const CAMERA = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };

/**
 * @param {SourceChoice} choice
 * @param {HTMLVideoElement} video Plays what moves.
 * @returns {Promise<Source>} Fails with a SourceError.
 */
export function openSource(choice, video) {
  switch (choice.kind) {
    case 'camera':
      return openCamera(choice.deviceId, video);
    case 'screen':
      return openScreen(video);
    case 'file':
      return openFile(choice.file, video);
  }
}

/**
 * @param {string} deviceId
 * @param {HTMLVideoElement} video
 */
async function openCamera(deviceId, video) {
  if (!navigator.mediaDevices?.getUserMedia) throw new SourceError('insecure');
  // Ideal, not exact: a camera that is not there any more is no reason to have none.
  const which = deviceId ? { deviceId: { ideal: deviceId } } : { facingMode: 'user' };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { ...CAMERA, ...which } }).catch((cause) => {
    throw sourceErrorOf(cause);
  });
  const settings = stream.getVideoTracks()[0].getSettings();
  const isSelfView = settings.facingMode !== 'environment';
  return VideoSource.play(video, { stream, isSelfView, deviceId: settings.deviceId ?? '' });
}

/** @param {HTMLVideoElement} video */
async function openScreen(video) {
  if (!navigator.mediaDevices?.getDisplayMedia) throw new SourceError('insecure');
  const stream = await navigator.mediaDevices.getDisplayMedia({ audio: false, video: { frameRate: { ideal: 30 } } }).catch((cause) => {
    throw sourceErrorOf(cause);
  });
  return VideoSource.play(video, { stream, isSelfView: false, isStill: true });
}

/**
 * @param {File} file
 * @param {HTMLVideoElement} video
 */
async function openFile(file, video) {
  if (file.type.startsWith('image/')) return StillSource.read(file);
  return VideoSource.play(video, { url: URL.createObjectURL(file), isSelfView: false });
}
