import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, chmodSync, constants, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { folderFor } from './media.mjs';

const program = fileURLToPath(new URL('slow_link.py', import.meta.url));

/** Longest queue before the slow part, as routers at home have. */
const MOST_MILLIS_QUEUED = 300;

/** Why there can be no such link here; or null. */
function hindrance() {
  if (process.getuid() !== 0) return 'only root may make network namespaces';
  if (spawnSync('ip', ['netns', 'list']).status !== 0) return 'there is no `ip netns`: install iproute2';
  if (spawnSync('python3', ['--version']).status !== 0) return 'there is no python3';
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    return null;
  } catch {
    return 'there is no /dev/net/tun';
  }
}

/** A slow link between two sides of this machine, each with a network of its own. */
export class SlowLink {
  #process;
  #answers;
  #namespaces;

  constructor(process, namespaces) {
    this.#process = process;
    this.#namespaces = namespaces;
    this.#answers = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
  }

  /** The address of the far side. */
  farHost = '10.78.0.2';

  /** One that ends with the test `t`; null, and a word about it, where there can be none. */
  static startFor(t) {
    const reason = hindrance();
    if (reason) {
      t.diagnostic(`SKIPPED: no slow link: ${reason}`);
      return null;
    }
    const namespaces = ['near', 'far'].map((side) => `segue-${side}-${process.pid}`);
    const link = spawn('python3', [program, ...namespaces], { stdio: ['pipe', 'pipe', 'inherit'] });
    t.after(async () => {
      link.stdin.end();
      if (link.exitCode === null) await once(link, 'exit');
    });
    return new SlowLink(link, namespaces);
  }

  /** From now on, for packets that are not on their way yet. */
  async set({ roundTripMillis, bytesPerSecond }) {
    this.#process.stdin.write(`${roundTripMillis / 2} ${bytesPerSecond} ${MOST_MILLIS_QUEUED}\n`);
    if ((await this.#answers.next()).value !== 'set') throw new Error('the slow link has ended');
  }

  /** The words before a command that runs it on the far side. */
  get far() {
    return ['ip', 'netns', 'exec', this.#namespaces[1]];
  }

  /** A program that runs `program` on the near side. */
  near(t, program) {
    const script = join(folderFor(t), 'near');
    writeFileSync(script, `#!/bin/sh\nexec ip netns exec ${this.#namespaces[0]} ${program} "$@"\n`);
    chmodSync(script, 0o755);
    return script;
  }
}
