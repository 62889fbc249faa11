import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Profiles } from './support/profiles.mjs';
import { SegueServer } from './support/segue_server.mjs';
import { Visitor } from './support/visitor.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'];
const COLOUR_SCHEMES = ['light', 'dark'];
/** The large one last: some buttons are there only. */
const SIZES = [
  { width: 360, height: 640 },
  { width: 1280, height: 800 },
];
const TOKEN = 'open-sesame-and-then-some';

const data = process.env.SEGUE_TEST_DATA;
const weights = data && join(data, 'weights/deeplabv3-mobilenet-v2-voc/deeplabv3_mnv2_voc.f16.safetensors');

/** A mode of 21 classes, which the legend has a search for; none without the test data. */
const MANY = weights && existsSync(weights) ? 'many' : null;

const MODEL = `backend = "deeplab"
title = "Many classes"
licence = "MIT"
labels = "voc"
default_variant = "own"
[settings]
architecture = "mobilenet-v2"
input_size_px = 129
[variants.own]
file = "own.safetensors"
`;

function serve(t) {
  const set = [`security.admin_token=${TOKEN}`];
  if (!MANY) return SegueServer.startFor(t, { set });
  const models = mkdtempSync(join(tmpdir(), 'segue-models-'));
  t.after(() => rmSync(models, { recursive: true, force: true }));
  cpSync(fileURLToPath(new URL('../../models', import.meta.url)), models, { recursive: true });
  cpSync(weights, join(models, 'own.safetensors'));
  writeFileSync(join(models, 'own.toml'), MODEL);
  const profiles = new Profiles(t);
  profiles.write('many', {}, `\n[modes.${MANY}]\nmodel = "own"\n`);
  return SegueServer.startFor(t, { set, models, profiles: profiles.directory, profile: 'many' });
}

/** What axe finds on the page as it is, once nothing fades any more: one line for each element. */
async function violations(page) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(AXE);
  return page.evaluate(async (rules) => {
    const fading = document.getAnimations().filter(({ effect }) => effect.getComputedTiming().endTime !== Infinity);
    await Promise.allSettled(fading.map((animation) => animation.finished));
    const found = await window.axe.run({ runOnly: rules, resultTypes: ['violations'] });
    const says = ({ id }, { target, failureSummary }) => `${id} at ${target.join(' ')}: ${failureSummary.replaceAll('\n', ' ')}`;
    return found.violations.flatMap((violation) => violation.nodes.map((node) => says(violation, node)));
  }, RULES);
}

/** What was found on the way, in each colour scheme and size. */
class Inspection {
  found = [];
  #page;

  constructor(page) {
    this.#page = page;
  }

  async look(state) {
    for (const colorScheme of COLOUR_SCHEMES) {
      await this.#page.emulateMedia({ colorScheme });
      for (const size of SIZES) {
        await this.#page.setViewportSize(size);
        const found = await violations(this.#page);
        this.found.push(...found.map((text) => `${state}, ${colorScheme}, ${size.width} px: ${text}`));
      }
    }
  }
}

test('axe finds nothing on the page, whatever it shows', async (t) => {
  const visitor = await Visitor.arrive(t, { server: await serve(t) });
  const { page } = visitor;
  const inspection = new Inspection(page);
  await inspection.look('before the start');
  await visitor.goLive();
  await visitor.sees(5);
  for (const view of ['filled', 'contour', 'side-by-side', 'blend', 'cut-out']) {
    await page.evaluate((name) => window.segue.settings.set('view', name), view);
    await visitor.sees(2);
    await inspection.look(view);
  }
  await page.selectOption('#backdrop', 'colour');
  await page.locator('label', { hasText: 'By hand' }).click();
  await page.locator('#hand').waitFor();
  await inspection.look('a backdrop of one colour, and quality by hand');

  const other = MANY ?? (await visitor.otherMode());
  if (other) {
    await page.selectOption('#compare', other);
    await page.locator('#split').waitFor();
    await inspection.look('two modes compared');
    await page.selectOption('#compare', '');
  } else t.diagnostic('SKIPPED: the server has one mode only, none can be compared');
  if (MANY) {
    await visitor.choose(MANY);
    await visitor.isAnsweredBy(MANY);
    await page.fill('#legend-search', 'o');
    await page.locator('#legend li', { hasText: 'sofa' }).waitFor();
    await page.locator('#legend li', { hasText: 'sofa' }).locator('button').first().click();
    await inspection.look('classes searched, one of them hidden');
  } else t.diagnostic('SKIPPED: SEGUE_TEST_DATA has no weights of a mode with many classes');

  await page.click('#operator-summary');
  await inspection.look('the operator’s door');
  await page.fill('#token', 'wrong');
  await page.click('#sign-in button');
  await page.locator('#operator-problem:not(:empty)').waitFor();
  await inspection.look('a wrong token');
  await page.fill('#token', TOKEN);
  await page.click('#sign-in button');
  await page.locator('#desk').waitFor();
  await inspection.look('the operator’s desk');
  await page.keyboard.press('Escape');
  await page.click('#help-open');
  await page.locator('dialog[open]').waitFor();
  await inspection.look('the help');
  await page.click('#help-close');

  await visitor.server.close();
  await visitor.reads('The server is gone');
  await inspection.look('no server');
  assert.deepEqual(inspection.found, []);
});

test('axe finds nothing on the page of traces', async (t) => {
  const visitor = await Visitor.arrive(t);
  await visitor.goLive();
  await visitor.sees(40);
  const page = await visitor.page.context().browser().newPage();
  const inspection = new Inspection(page);
  await page.goto(`${visitor.server.url}/traces`);
  await page.locator('#board').waitFor();
  await inspection.look('traces');
  await page.locator('#slowest .open').first().click();
  await page.locator('.waterfall tbody tr').first().waitFor();
  await inspection.look('a frame’s trace');
  await page.click('#help-open');
  await page.locator('dialog[open]').waitFor();
  await inspection.look('the help of the traces');
  assert.deepEqual(inspection.found, []);
});
