/**
 * Runs of (length as LEB128 u32, class id), the inside of a mask payload. Every run is checked before a pixel is written.
 */

import { ProtocolError } from './protocol_error.js';

/** No honest run takes more: five bytes of length, one of id. */
export const MAX_RUN_BYTES = 6;

/**
 * @param {Uint8Array} bytes
 * @param {number} pixelCount
 * @returns {Uint8Array}
 */
export function expandRuns(bytes, pixelCount) {
  const ids = new Uint8Array(pixelCount);
  let pixel = 0;
  let at = 0;
  while (at < bytes.length) {
    let length = 0;
    let place = 1;
    let byte;
    do {
      if (at >= bytes.length) throw new ProtocolError('the mask ends inside a run');
      if (place > 2 ** 28) throw new ProtocolError('a run length of the mask does not fit 32 bits');
      byte = bytes[at++];
      length += (byte & 0x7f) * place;
      place *= 128;
    } while (byte & 0x80);
    if (at >= bytes.length) throw new ProtocolError('the mask ends inside a run');
    if (length === 0) throw new ProtocolError('the mask has an empty run');
    if (length > pixelCount - pixel) throw new ProtocolError(`the mask's runs go beyond its ${pixelCount} pixels`);
    ids.fill(bytes[at++], pixel, pixel + length);
    pixel += length;
  }
  if (pixel < pixelCount) throw new ProtocolError(`the mask's runs cover ${pixel} of its ${pixelCount} pixels`);
  return ids;
}
