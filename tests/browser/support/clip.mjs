import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const walk = process.env.SEGUE_TEST_DATA && join(process.env.SEGUE_TEST_DATA, 'media/webcam/walk.mkv');

/** Whether the camera shows a person; without the test data it shows a test card, and what is said of persons is skipped. */
export const showsPerson = Boolean(walk && existsSync(walk));

if (!showsPerson) console.error('SEGUE_TEST_DATA has no media/webcam/walk.mkv: the camera shows a test card, and nothing is said of persons.');

/** What of ffmpeg's the camera shows. */
export const cameraSource = showsPerson ? ['-i', walk] : ['-f', 'lavfi', '-i', 'testsrc=size=640x480:rate=30:duration=4'];

const folder = mkdtempSync(join(tmpdir(), 'segue-camera-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
/** The clip that plays as the camera, as chromium reads it. */
export const clip = join(folder, 'camera.mjpeg');

const made = spawnSync('ffmpeg', ['-v', 'error', ...cameraSource, '-c:v', 'mjpeg', '-q:v', '4', clip], { encoding: 'utf8' });
if (made.status !== 0) throw new Error(`ffmpeg could not make the camera's clip: ${made.stderr ?? made.error}`);
