import { ProtocolError } from './protocol_error.js';

/**
 * Inflates a raw DEFLATE stream, and stops where it grows beyond what its header allows.
 *
 * @param {Uint8Array<ArrayBuffer>} compressed
 * @param {number} maxBytes
 * @returns {Promise<Uint8Array>}
 */
export async function inflate(compressed, maxBytes) {
  const stream = new DecompressionStream('deflate-raw');
  const writer = stream.writable.getWriter();
  const fed = writer.write(compressed).then(() => writer.close());
  fed.catch(() => {}); // The reader meets the same error.
  try {
    return await readUpTo(stream.readable.getReader(), maxBytes, 'the compressed mask');
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause;
    throw new ProtocolError('the compressed mask is damaged', { cause });
  }
}

/**
 * @param {ReadableStreamDefaultReader<Uint8Array>} reader
 * @param {number} maxBytes
 * @param {string} name What it is, for the complaint.
 */
export async function readUpTo(reader, maxBytes, name) {
  const chunks = [];
  let total = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    total += part.value.byteLength;
    if (total > maxBytes) {
      reader.cancel().catch(() => {});
      throw new ProtocolError(`${name} holds more than ${maxBytes} bytes`);
    }
    chunks.push(part.value);
  }
  if (chunks.length === 1) return chunks[0];
  const whole = new Uint8Array(total);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}
