import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const binary = process.env.SEGUE_BIN;
if (!binary) throw new Error('SEGUE_BIN is not set: name the segue binary that the page is tested against');

/** Where the profiles and models lie. */
const root = fileURLToPath(new URL('../../..', import.meta.url));

/** A running server of its own for a test. */
export class SegueServer {
  #process;

  constructor(process, url) {
    this.#process = process;
    this.url = url;
  }

  /**
   * @param {{ within?: string[], host?: string, port?: number, profiles?: string, plugins?: string, models?: string, profile?: string, set?: string[] }} [options]
   *   `within` is a command that runs the one behind it somewhere else; `profiles`, `plugins` and `models` are directories,
   *   `set` has `key=value` pairs.
   */
  static async start({ within = [], host = '127.0.0.1', port = 0, profiles, plugins, models, profile, set = [] } = {}) {
    const options = [
      ...(profiles ? ['--profiles', profiles] : []),
      ...(plugins ? ['--plugins', plugins] : []),
      ...(models ? ['--models', models] : []),
      ...(profile ? ['--profile', profile] : []),
      ...set.flatMap((pair) => ['--set', pair]),
    ];
    const [program, ...words] = [...within, binary, 'serve', '--listen', `${host}:${port}`, ...options];
    const process = spawn(program, words, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let log = '';
    process.stderr.on('data', (text) => (log = (log + text).slice(-4000)));
    for await (const line of createInterface({ input: process.stdout })) {
      const ready = /^Segue is ready at (http:\S+)$/.exec(line);
      if (ready) return new SegueServer(process, ready[1]);
    }
    throw new Error(`the server ended before it was ready:\n${log}`);
  }

  /** One that ends with the test `t`. */
  static async startFor(t, options) {
    const server = await SegueServer.start(options);
    t.after(() => server.close());
    return server;
  }

  get port() {
    return Number(new URL(this.url).port);
  }

  /** Ends it as a power cut would. */
  async close() {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGKILL');
    await once(this.#process, 'exit');
  }
}

/** Runs `segue` with the arguments to its end. */
export function segue(...args) {
  const { status, stdout, stderr, error } = spawnSync(binary, args, { cwd: root, encoding: 'utf8', timeout: 60_000 });
  if (status !== 0) throw new Error(`segue ${args.join(' ')}: ${stderr ?? error}`);
  return stdout;
}
