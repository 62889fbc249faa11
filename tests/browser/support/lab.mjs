import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { folderFor } from './media.mjs';
import { Profiles } from './profiles.mjs';
import { SegueServer } from './segue_server.mjs';

const ours = fileURLToPath(new URL('../../../models', import.meta.url));

const modeOf = (name, threshold) => `\n[modes.${name}]\nmodel = "brightness"\ninstances = 1\n[modes.${name}.settings]\nthreshold = ${threshold}\n`;

/** A server whose modes `low` and `high` tell dark from bright: every pixel of theirs is known, and neither needs weights. */
export class Lab {
  static THRESHOLDS = { low: 80, high: 150 };
  #places;

  constructor(t) {
    const folder = folderFor(t);
    const [models, plugins] = [join(folder, 'models'), join(folder, 'plugins')];
    mkdirSync(plugins);
    cpSync(join(dirname(process.env.SEGUE_BIN), 'libbrightness.so'), join(plugins, 'libbrightness.so'));
    cpSync(ours, models, { recursive: true });
    writeFileSync(join(models, 'brightness.toml'), 'backend = "brightness"\ntitle = "Brightness"\nlicence = "MIT"\n');
    const profiles = new Profiles(t);
    const modes = Object.entries(Lab.THRESHOLDS).map(([name, threshold]) => modeOf(name, threshold));
    profiles.write('lab', {}, `\n[server]\ndefault_mode = "low"\n${modes.join('')}`);
    this.#places = { models, plugins, profiles: profiles.directory, profile: 'lab' };
  }

  /** One that ends with the test `t`. */
  serve(t, port = 0) {
    return SegueServer.startFor(t, { ...this.#places, port });
  }
}
