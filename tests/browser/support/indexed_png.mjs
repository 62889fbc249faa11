import { inflateSync } from 'node:zlib';

/** Reads the indices of a PNG with a palette (or a grey one), not interlaced: { width, height, ids }. */
export function readIndexedPng(file) {
  const header = { width: file.readUInt32BE(16), height: file.readUInt32BE(20), depth: file[24], colourType: file[25], interlaced: file[28] };
  if (![0, 3].includes(header.colourType) || header.interlaced) throw new Error('not a plain indexed PNG');
  const parts = [];
  for (let at = 8; at < file.length; ) {
    const length = file.readUInt32BE(at);
    if (file.toString('latin1', at + 4, at + 8) === 'IDAT') parts.push(file.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  const { width, height, depth } = header;
  const rowBytes = Math.ceil((width * depth) / 8);
  const raw = inflateSync(Buffer.concat(parts));
  const ids = new Uint8Array(width * height);
  let above = new Uint8Array(rowBytes);
  for (let y = 0; y < height; y += 1) {
    const row = unfilter(raw[y * (rowBytes + 1)], raw.subarray(y * (rowBytes + 1) + 1, (y + 1) * (rowBytes + 1)), above);
    for (let x = 0; x < width; x += 1) {
      const bit = x * depth;
      ids[y * width + x] = (row[bit >> 3] >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
    }
    above = row;
  }
  return { width, height, ids };
}

function unfilter(filter, bytes, above) {
  const row = Uint8Array.from(bytes);
  for (let x = 0; x < row.length; x += 1) {
    const left = x > 0 ? row[x - 1] : 0;
    const up = above[x];
    const corner = x > 0 ? above[x - 1] : 0;
    row[x] += [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
  }
  return row;
}

function paeth(left, up, corner) {
  const guess = left + up - corner;
  const [a, b, c] = [left, up, corner].map((value) => Math.abs(guess - value));
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}
