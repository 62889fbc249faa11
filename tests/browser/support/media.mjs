import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cameraSource } from './clip.mjs';

/** A folder that goes with the test `t`. */
export function folderFor(t) {
  const folder = mkdtempSync(join(tmpdir(), 'segue-media-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function run(program, args) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr || error}`);
  return stdout;
}

/** The first two seconds of what the camera shows, as a file that users have. */
export function videoFile(t) {
  const file = join(folderFor(t), 'clip.webm');
  run('ffmpeg', ['-v', 'error', ...cameraSource, '-t', '2', '-c:v', 'libvpx', '-deadline', 'realtime', '-b:v', '2M', file]);
  return file;
}

/** One picture of it. */
export function pictureFile(t) {
  const file = join(folderFor(t), 'picture.png');
  run('ffmpeg', ['-v', 'error', ...cameraSource, '-frames:v', '1', file]);
  return file;
}

/** What is in a video file: its codec, size, how many pictures there are and for how long. */
export function probe(file) {
  const entries = 'stream=codec_type,codec_name,width,height:packet=pts_time';
  const { streams, packets } = JSON.parse(run('ffprobe', ['-v', 'error', '-show_entries', entries, '-of', 'json', file]));
  const times = packets.map(({ pts_time: time }) => Number(time));
  return { streams, pictures: packets.length, seconds: Math.max(...times) - Math.min(...times) };
}
