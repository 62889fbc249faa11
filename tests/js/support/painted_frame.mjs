const BEGAN_AT = 1_760_000_000_000_000;
const SERVER_AHEAD_MICROS = 3_000_000;

/** A painted frame whose parts took these milliseconds; by default 50 ms in all. */
export function paintedFrame(millis = {}, { clockOffsetMicros = SERVER_AHEAD_MICROS } = {}) {
  const { capture, up, queue, decode, model, encode, down, paint } = {
    ...{ capture: 6, up: 5, queue: 1, decode: 2, model: 20, encode: 1, down: 5, paint: 10 },
    ...millis,
  };
  const server = queue + decode + model + encode;
  const [sent, answered, received] = [capture, capture + up + server, capture + up + server + down];
  /** @param {number} at */
  const clock = (at) => BEGAN_AT + 1000 * at;
  const stageMicros = { queue, decode, preprocess: model / 4, infer: model / 2, postprocess: model / 4, encode, total: server };
  for (const stage of Object.keys(stageMicros)) stageMicros[stage] *= 1000;
  return {
    sentAt: clock(sent),
    paintedAt: clock(received + paint),
    decoded: {
      capturedAt: BEGAN_AT,
      receivedAt: clock(received),
      result: { stageMicros, serverSentAt: BigInt(Math.round(clock(answered) + SERVER_AHEAD_MICROS)) },
    },
    clockOffsetMicros,
  };
}
