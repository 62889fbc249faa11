import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const frontend = fileURLToPath(new URL('../../frontend', import.meta.url));
const files = readdirSync(frontend, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
  .map((path) => ({ path: path.slice(frontend.length + 1), text: readFileSync(path, 'utf8') }));

function nowhere(pattern, where = /./) {
  for (const { path, text } of files) if (where.test(path)) assert.doesNotMatch(text, pattern, path);
}

test('nothing is written into the page as HTML', () => nowhere(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser/));

test('nothing is asked of another host', () => nowhere(/(?<!xmlns=')https?:\/\/(?!www\.w3\.org\/2000\/svg)/));

test('nothing is said by alert', () => nowhere(/\b(alert|confirm|prompt)\(/));

test('no inline script or style, which the content security policy forbids', () => nowhere(/ style=| on[a-z]+="|<style|<script(?! type="module" src=)/, /html$/));

test('the core knows neither the app nor the document', () => nowhere(/\bapp\/|\bdocument\.|\bwindow\./, /^js\/core\//));

test('no file is longer than 300 lines', () => {
  for (const { path, text } of files.filter(({ path }) => path.endsWith('.js'))) assert.ok(text.split('\n').length <= 301, path);
});
