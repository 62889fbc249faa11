import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const libraries = fileURLToPath(new URL('../../../target/tools/rotel/lib', import.meta.url));

/** The collector's program: `SEGUE_COLLECTOR`, or the one that `cargo xtask test` has installed. */
const program = process.env.SEGUE_COLLECTOR ?? installed();

function installed() {
  const pythons = existsSync(libraries) ? readdirSync(libraries) : [];
  return pythons.map((python) => join(libraries, python, 'site-packages/rotel/rotel-agent')).find((path) => existsSync(path));
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Whether something listens at `port`. */
function listens(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** A real OpenTelemetry collector. Its log tells what it takes; a span is what the log says of it, by the log's own words. */
export class Collector {
  /** @type {Record<string, string>[]} */
  spans = [];
  #process;
  #wakeUp = () => {};

  constructor(process, url) {
    this.#process = process;
    this.url = url;
    let scope = '';
    createInterface({ input: process.stdout }).on('line', (line) => {
      if (line.startsWith('InstrumentationScope ')) [, scope] = line.split(' ');
      else if (line.startsWith('Span #')) this.spans.push({ scope });
      else {
        const field = /^\s*(?:-> )?(.+?)\s*: ?(.*)$/.exec(line);
        const span = this.spans.at(-1);
        if (field && span) span[field[1]] ??= field[2];
      }
      this.#wakeUp();
    });
  }

  /** One that ends with the test `t`; `null` where it is not installed. */
  static async startFor(t) {
    if (!program || !existsSync(program)) {
      t.diagnostic('SKIPPED: there is no OpenTelemetry collector; `cargo xtask test browser` installs one');
      return null;
    }
    const [http, grpc] = [await freePort(), await freePort()];
    const endpoints = ['--otlp-http-endpoint', `127.0.0.1:${http}`, '--otlp-grpc-endpoint', `127.0.0.1:${grpc}`];
    const log = ['--debug-log', 'traces', '--debug-log-verbosity', 'detailed', '--batch-timeout', '20ms'];
    const agent = spawn(program, ['start', '--exporter', 'blackhole', ...log, ...endpoints], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(async () => {
      if (agent.exitCode !== null || agent.signalCode !== null) return;
      agent.kill('SIGKILL');
      await once(agent, 'exit');
    });
    while (!(await listens(http))) {
      if (agent.exitCode !== null) throw new Error(`the collector ended with ${agent.exitCode}`);
    }
    return new Collector(agent, `http://127.0.0.1:${http}`);
  }

  /** Waits until `find` finds something in the spans; that. */
  async finds(find) {
    for (;;) {
      const found = find(this.spans);
      if (found) return found;
      if (this.#process.exitCode !== null) throw new Error('the collector ended');
      await new Promise((resolve) => (this.#wakeUp = resolve));
    }
  }
}
