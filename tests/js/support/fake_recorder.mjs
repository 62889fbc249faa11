import { TraceApi } from '../../../frontend/js/core/trace_api.js';
import { readTrace } from '../../../frontend/js/core/traces.js';
import { FakeClock } from './fake_clock.mjs';

export const EPOCH = 1_760_000_000_000_000;

/** A trace as the server tells it: from capture to paint in 30 ms unless it is told otherwise. */
export function traceJson(changes = {}) {
  const stages = [
    { stage: 'browser.encode', start_micros: 0, duration_micros: 5000 },
    { stage: 'network.up', start_micros: 5000, duration_micros: 3000 },
    { stage: 'plugin.infer', start_micros: 8000, duration_micros: 15_000 },
    { stage: 'browser.paint', start_micros: 23_000, duration_micros: 7000 },
  ];
  const frameId = changes.frame_id ?? 12;
  return {
    trace_id: String(frameId).padStart(32, '0'),
    session: 3,
    frame_id: frameId,
    generation: 7,
    mode: 'fast',
    model: 'selfie-256',
    backend: 'selfie',
    build: 'ab'.repeat(32),
    outcome: 'answered',
    reason: '',
    message: '',
    is_painted: true,
    start_micros: EPOCH + frameId * 33_000,
    total_micros: 30_000,
    clock_error_micros: 350,
    kept: '',
    is_slow: false,
    stages,
    why: { stage: 'plugin.infer', extra_micros: 0, text: 'Nothing out of the ordinary.' },
    frame_len_bytes: 21_000,
    result_len_bytes: 7000,
    frame_width_px: 640,
    frame_height_px: 360,
    mask_width_px: 640,
    mask_height_px: 360,
    jpeg_quality: 50,
    in_flight: 1,
    queue_depth: 0,
    ...changes,
  };
}

/** The same, as the page reads it. */
export function traceOf(changes) {
  return readTrace(traceJson(changes));
}

/** `GET /v1/traces` with these, given newest first. */
export function listJson(traces, changes = {}) {
  return {
    now_micros: EPOCH + 60_000_000,
    generation: 7,
    slow_millis: 200,
    sessions: [{ session: 3, frames: traces.length, is_open: true }],
    matched: traces.length,
    traces,
    marks: [{ at_micros: EPOCH, kind: 'reload', outcome: 'applied', generation: 7, modes: [], text: 'capture.jpeg_quality = 30 (was 50)' }],
    diagnosis: {
      frames: traces.length,
      slow: 1,
      typical_micros: 30_000,
      is_fine: false,
      text: '1 frame was slow.',
      causes: [{ stage: 'plugin.infer', frames: 1, extra_micros: 80_000, text: '1 frame lost 80 ms to plugin.infer.' }],
    },
    ...changes,
  };
}

/** A server's recorder behind `fetch`, and the clock by which it is asked; the test holds both. */
export class FakeRecorder {
  clock = new FakeClock();
  /** The newest first, as JSON. */
  traces = [];
  asked = [];
  answer = null;
  isAway = false;
  api = new TraceApi({ clock: this.clock, fetch: (path, init) => this.#fetch(path, init) });

  add(...traces) {
    this.traces = [...traces, ...this.traces].sort((a, b) => b.start_micros - a.start_micros);
  }

  get queries() {
    return this.asked.map((path) => Object.fromEntries(new URL(path, 'http://segue.test').searchParams));
  }

  async #fetch(path) {
    this.asked.push(path);
    if (this.isAway) throw new TypeError('Failed to fetch');
    const { status = 200, json, text } = this.answer ?? { json: this.#jsonOf(new URL(path, 'http://segue.test')) };
    return { status, text: async () => text ?? JSON.stringify(json) };
  }

  #jsonOf({ pathname, searchParams }) {
    if (pathname !== '/v1/traces') return this.traces.find((trace) => pathname.endsWith(trace.trace_id));
    const since = Number(searchParams.get('since') ?? 0);
    const matched = this.traces.filter((trace) => trace.start_micros >= since);
    if (searchParams.has('slowest')) matched.sort((a, b) => b.total_micros - a.total_micros);
    return listJson(matched.slice(0, Number(searchParams.get('slowest') ?? searchParams.get('limit'))), { matched: matched.length });
  }
}
