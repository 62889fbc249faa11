import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ours = fileURLToPath(new URL('../../../profiles', import.meta.url));

/** A copy of the profiles that a test may edit while a server runs by it. */
export class Profiles {
  constructor(t) {
    this.directory = mkdtempSync(join(tmpdir(), 'segue-profiles-'));
    t.after(() => rmSync(this.directory, { recursive: true, force: true }));
    cpSync(ours, this.directory, { recursive: true });
  }

  /** A profile over `base` with these values in its `[capture]`, and more tables as text. */
  write(name, capture, more = '') {
    const lines = Object.entries(capture).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
    writeFileSync(this.#path(name), `extends = "base"\n\n[capture]\n${lines.join('')}${more}`);
  }

  /** Edits the file as an operator would: one text becomes another, the rest stays. */
  edit(name, changes) {
    let text = readFileSync(this.#path(name), 'utf8');
    for (const [from, to] of changes) {
      if (!text.includes(from)) throw new Error(`${name}.toml has no ${from}`);
      text = text.replace(from, to);
    }
    writeFileSync(this.#path(name), text);
  }

  #path(name) {
    return join(this.directory, `${name}.toml`);
  }
}
