import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClassFilter } from '../../frontend/js/core/class_filter.js';
import { serverAddress } from '../../frontend/js/core/server_address.js';
import { Settings } from '../../frontend/js/core/settings.js';
import { LegendOrder } from '../../frontend/js/app/legend_order.js';

/** Keeps what it is given. */
function memory(text = null) {
  const kept = { text };
  return { read: () => kept.text, write: (value) => (kept.text = value) };
}

test('what was chosen survives a reload', () => {
  const storage = memory();
  const before = new Settings(storage);
  before.set('view', 'blend');
  before.set('hidden', ['wall', 'floor']);
  before.set('mirror', false);
  const after = new Settings(storage).now;
  assert.deepEqual([after.view, after.hidden, after.mirror, after.opacity], ['blend', ['wall', 'floor'], false, 0.6]);
});

test('a link carries all that is not usual, and nothing of the machine', () => {
  const sender = new Settings(memory());
  for (const [key, value] of Object.entries({ view: 'cut-out', backdrop: 'colour', colour: '#102030', hidden: ['sky', 'a & b'], softEdge: false, mirror: true, quality: 40, size: 320, camera: 'an id' })) sender.set(key, value);
  assert.doesNotMatch(sender.link, /camera|opacity/);
  const receiver = new Settings(memory('{"view":"filled","opacity":0.3,"camera":"another"}'), `#${sender.link}`).now;
  const { camera, opacity, ...rest } = receiver;
  assert.deepEqual([camera, opacity], ['another', 0.3], 'what the link is silent about stays');
  const { camera: _, opacity: __, ...sent } = sender.now;
  assert.deepEqual(rest, sent);
});

test('a link cannot send anybody’s pictures to another server unasked', () => {
  const settings = new Settings(memory(), '#server=evil.example&view=blend');
  assert.equal(settings.now.server, '');
  assert.equal(settings.proposedServer, 'evil.example');
  assert.equal(new Settings(memory('{"server":"lab.example"}'), '#server=lab.example').proposedServer, '', 'the user chose it before');
});

test('nonsense in link or storage is passed over', () => {
  for (const text of ['', '{', 'null', '7', '[]', '{"view":7,"opacity":"much","hidden":"x","mirror":"yes","colour":"red","unknown":1}']) {
    assert.deepEqual(new Settings(memory(text)).now, new Settings(memory()).now, text);
  }
  const link = '#view=upside-down&opacity=7&colour=blue&mirror=perhaps&quality=x&soft-edge=1&hidden=' + 'x'.repeat(300);
  assert.deepEqual(new Settings(memory(), link).now, new Settings(memory()).now);
});

for (const [typed, meant] of [
  ['', 'ws://page.example:8080/ws'],
  ['  lab.example  ', 'ws://lab.example/ws'],
  ['lab.example:9000', 'ws://lab.example:9000/ws'],
  ['localhost:8000/ws', 'ws://localhost:8000/ws'],
  ['http://lab.example/', 'ws://lab.example/ws'],
  ['https://lab.example/segue', 'wss://lab.example/segue/ws'],
  ['wss://lab.example/segue/ws/', 'wss://lab.example/segue/ws'],
  ['[::1]:8080', 'ws://[::1]:8080/ws'],
  ['ftp://lab.example', null],
  ['javascript://x', null],
  ['http://', null],
  ['user:secret@lab.example', null],
  ['a b', null],
]) {
  test(`"${typed}" means ${meant}`, () => assert.equal(serverAddress(typed, 'http://page.example:8080/'), meant));
}

test('from a page on https a bare name means wss', () => {
  assert.equal(serverAddress('lab.example', 'https://page.example/'), 'wss://lab.example/ws');
});

test('a solo counts where the mode has that class', () => {
  const filter = new ClassFilter(['wall'], 'person');
  assert.deepEqual([...filter.hiddenOf(['wall', 'person', 'sky'])], ['wall', 'sky']);
  assert.deepEqual([...filter.hiddenOf(['wall', 'floor'])], ['wall']);
  assert.deepEqual([...new ClassFilter([], '').hiddenOf(['wall'])], []);
});

test('rows of the legend stay where they are', () => {
  const order = new LegendOrder(3);
  assert.deepEqual(order.of(new Map([['cat', 0.1], ['dog', 0.3]]), 0), ['dog', 'cat']);
  assert.deepEqual(order.of(new Map([['cat', 0.6], ['dog', 0.3], ['sky', 0.7]]), 250), ['dog', 'cat', 'sky']);
  assert.deepEqual(order.of(new Map([['cat', 0.6], ['sky', 0.7], ['sea', 0.9]]), 500), ['dog', 'cat', 'sky'], 'gone for a moment, and there is no room');
  assert.deepEqual(order.of(new Map([['cat', 0.6], ['sky', 0.7], ['sea', 0.9]]), 3000), ['cat', 'sky', 'sea']);
});
