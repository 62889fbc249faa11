import { Operator } from '../../../frontend/js/core/operator.js';
import { OperatorApi } from '../../../frontend/js/core/operator_api.js';
import { FakeClock } from './fake_clock.mjs';

export const TOKEN = 'a token that is right';

export const APPLIED = {
  number: 2,
  at: '2026-11-22T17:00:00.123Z',
  trigger: 'file',
  profile: 'lan',
  files: ['profiles/base.toml', 'profiles/lan.toml'],
  outcome: 'applied',
  generation: 8,
  changes: [{ key: 'capture.jpeg_quality', from: 50, to: 40, origin: 'profiles/lan.toml:4' }],
  faults: [],
  took_millis: 23.1,
};

export const REJECTED = {
  ...APPLIED,
  number: 3,
  outcome: 'rejected',
  changes: [],
  faults: ['profiles/lan.toml:8: capture.jpeg_quality: 140 is above 100; write 1 to 100'],
};

/** The server's side of `fetch`: it answers what the test told it to, and remembers what it was asked. */
export class FakeAdmin {
  requests = [];
  isAway = false;
  #answers = new Map([
    ['GET /v1/admin', { status: 200, json: { profile: 'lan', profiles: ['base', 'lan', 'mobile'] } }],
    ['GET /v1/reloads', { status: 200, json: { generation: 8, last_reload_successful: true, standing: null, reloads: [APPLIED] } }],
    ['POST /v1/admin/profile', { status: 200, json: { ...APPLIED, number: 4, profile: 'mobile', trigger: 'admin', generation: 9 } }],
    ['POST /v1/admin/reload', { status: 200, json: { ...APPLIED, number: 4, outcome: 'unchanged', trigger: 'admin', changes: [] } }],
  ]);
  #held = Promise.resolve();

  fetch = async (path, { method, headers, body, signal }) => {
    const request = { method, path, token: headers.authorization?.replace(/^Bearer /, ''), body: body && JSON.parse(body) };
    this.requests.push(request);
    await Promise.race([this.#held, aborted(signal)]);
    if (this.isAway) throw new TypeError('Failed to fetch');
    const answer = this.#answerTo(request);
    return { status: answer.status, text: async () => answer.text ?? JSON.stringify(answer.json) };
  };

  /** From now on this is answered so. */
  answers(question, answer) {
    this.#answers.set(question, { status: 200, ...answer });
  }

  /** Keeps every answer back until what this returns is called. */
  hold() {
    let release;
    this.#held = new Promise((resolve) => (release = resolve));
    return () => {
      this.#held = Promise.resolve();
      release();
    };
  }

  countOf(path) {
    return this.requests.filter((request) => request.path === path).length;
  }

  #answerTo({ method, path, token }) {
    if (path.startsWith('/v1/admin') && token !== TOKEN) return { status: 401, json: { code: 'unauthorized', message: 'wrong token' } };
    return this.#answers.get(`${method} ${path}`) ?? { status: 404, text: 'there is nothing here' };
  }
}

/** As `fetch` does when its signal says so. */
function aborted(signal) {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
}

/** A place for the token that the test can look into. */
export class FakeTokens {
  constructor(token = null) {
    this.token = token;
  }

  read() {
    return this.token;
  }

  keep(token) {
    this.token = token;
  }

  forget() {
    this.token = null;
  }
}

/** An operator whose clock, server and memory the test holds in its hand. */
export function operatorSet({ remembered = null } = {}) {
  const clock = new FakeClock();
  const admin = new FakeAdmin();
  const tokens = new FakeTokens(remembered);
  const api = new OperatorApi({ clock, fetch: admin.fetch });
  const operator = new Operator({ api, tokens, clock });
  return { clock, admin, tokens, api, operator };
}

/** All that can happen without the clock has happened. */
export function settled() {
  return new Promise((resolve) => setImmediate(resolve));
}
