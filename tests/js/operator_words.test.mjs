import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  attemptInWords,
  changeInWords,
  outcomeInWords,
  problemInWords,
  signInInWords,
  standingInWords,
  timeInWords,
  tookInWords,
} from '../../frontend/js/app/operator_words.js';
import { OperatorError } from '../../frontend/js/core/operator_error.js';
import { readAttempt } from '../../frontend/js/core/reloads.js';
import { APPLIED, REJECTED } from './support/fake_admin.mjs';

const applied = readAttempt(APPLIED);
const rejected = readAttempt(REJECTED);

test('every problem has words', () => {
  for (const problem of ['unreachable', 'unauthorized', 'admin_off', 'unknown_profile', 'refused', 'unexpected']) {
    assert.match(problemInWords(new OperatorError(problem)), /\w{4}/);
  }
  assert.equal(problemInWords(new OperatorError('admin_off', 'write security.admin_token')), 'write security.admin_token');
});

test('the page says so when it keeps asking', () => {
  const problem = new OperatorError('unreachable');
  assert.equal(signInInWords('out', null), '');
  assert.doesNotMatch(signInInWords('out', problem), /again/);
  assert.match(signInInWords('asking', problem), /again/);
});

test('an attempt is told in a line', () => {
  assert.equal(attemptInWords(applied), 'lan · generation 8 · a file was edited');
  assert.equal(outcomeInWords(applied), 'Applied: lan, generation 8, 1 value changed.');
  assert.equal(outcomeInWords(rejected), 'Rejected: lan has 1 fault. Generation 8 goes on serving.');
  assert.equal(outcomeInWords({ ...applied, outcome: 'unchanged' }), 'Unchanged: lan says what it said before.');
  assert.equal(outcomeInWords({ ...applied, outcome: 'superseded' }), 'Superseded: a newer edit came before lan was ready.');
  assert.equal(outcomeInWords({ ...applied, outcome: 'postponed' }), 'postponed: lan, generation 8.');
  assert.match(standingInWords(rejected), /^Profile lan was rejected at .+\. Generation 8 goes on serving\.$/);
});

test('a swap is told by its modes', () => {
  const swap = { ...rejected, trigger: 'swap', modes: ['fast', 'next'] };
  assert.equal(attemptInWords(swap), 'build of fast, next · generation 8 · other files');
  assert.equal(outcomeInWords(swap), 'Refused: the new build for fast, next. The old one goes on serving.');
  assert.equal(outcomeInWords({ ...swap, outcome: 'applied' }), 'Swapped: the build behind fast, next, generation 8.');
  assert.equal(outcomeInWords({ ...swap, outcome: 'superseded' }), 'Superseded: a newer build for fast, next came before this one was ready.');
  assert.match(standingInWords(swap), /^A new build for fast, next was refused at .+\. The old one goes on serving\.$/);
});

test('a change says from what to what', () => {
  const change = (from, to) => changeInWords({ key: 'k', from, to, origin: '' });
  assert.equal(change(50, 40), '50 → 40');
  assert.equal(change('fast', 'sota'), '"fast" → "sota"');
  assert.equal(change(null, { model: 'm' }), 'new: {"model":"m"}');
  assert.equal(change([true], null), 'gone, was [true]');
  assert.equal(change(null, null), 'new: null');
  assert.ok(change(1, 'x'.repeat(5000)).length < 300);
});

test('times are the viewer’s own, with the day when it is another', () => {
  const now = new Date(2026, 10, 22, 18, 0, 0);
  const today = new Date(2026, 10, 22, 17, 4, 5);
  const yesterday = new Date(2026, 10, 21, 17, 4, 5);
  assert.equal(timeInWords(today.toISOString(), now), today.toLocaleTimeString());
  assert.equal(timeInWords(yesterday.toISOString(), now), yesterday.toLocaleString());
  assert.equal(timeInWords('some day', now), 'some day');
  assert.deepEqual([0.2, 23.1, 4200].map((tookMillis) => tookInWords({ ...applied, tookMillis })), ['in 0.2 ms', 'in 23 ms', 'in 4.2 s']);
});
