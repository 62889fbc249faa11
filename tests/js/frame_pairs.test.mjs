import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { agreement } from '../../frontend/js/core/agreement.js';
import { FramePairs } from '../../frontend/js/core/frame_pairs.js';
import { Mask } from '../../frontend/js/core/mask.js';
import { collect, encodedFrame, next, stageSet } from './support/stage_set.mjs';

/** Two sessions of a server each, and the pairs of them. */
function pairSet({ isReady = () => true } = {}) {
  const [one, other] = [stageSet(), stageSet()];
  one.server.greet();
  other.server.greet({ mode: 'balanced' });
  const pairs = new FramePairs(one.session);
  pairs.setRival(other.session, isReady);
  return { one, other, pairs };
}

describe('frames for two modes', () => {
  test('both get the same frame, and it is shown when both have answered', async () => {
    const { one, other, pairs } = pairSet();
    const answered = collect(pairs.answered);
    const { frameId } = pairs.sendFrame(encodedFrame(one.clock));
    assert.deepEqual(one.server.socket.frames[0].subarray(48), other.server.socket.frames[0].subarray(48));
    const decoded = next(one.session.resultDecoded);
    one.server.answer(frameId);
    await decoded;
    assert.equal(answered.length, 0);
    const both = next(pairs.answered);
    other.server.answer(1);
    const { first, second } = await both;
    assert.deepEqual([first.result.frameId, second.result.frameId], [frameId, 1]);
  });

  test('a frame that the session drops is lost', () => {
    const { one, other, pairs } = pairSet();
    const [lost, answered] = [collect(pairs.lost), collect(pairs.answered)];
    const { frameId } = pairs.sendFrame(encodedFrame(one.clock));
    one.server.drop(frameId);
    other.server.answer(1);
    assert.deepEqual([lost, answered.length], [[frameId], 0]);
  });

  test('a frame that the rival drops is shown alone, whichever comes first', async () => {
    const { one, other, pairs } = pairSet();
    const early = pairs.sendFrame(encodedFrame(one.clock));
    const late = pairs.sendFrame(encodedFrame(one.clock));
    const decoded = next(one.session.resultDecoded);
    one.server.answer(late.frameId);
    await decoded;
    const waited = next(pairs.answered);
    other.server.drop(2);
    assert.equal((await waited).first.result.frameId, late.frameId);
    const { frameId } = early;
    other.server.drop(1);
    const alone = next(pairs.answered);
    one.server.answer(frameId);
    assert.equal((await alone).second, null, 'its own mask is shown all the same');
  });

  test('a frame is wanted when both have room for it', () => {
    const { one, other, pairs } = pairSet();
    pairs.sendFrame(encodedFrame(one.clock));
    pairs.sendFrame(encodedFrame(one.clock));
    assert.equal(pairs.wantsFrame, false);
    one.server.drop(1);
    assert.equal(pairs.wantsFrame, false);
    other.server.drop(1);
    assert.equal(pairs.wantsFrame, true);
  });

  test('a rival that is not ready is not asked, and holds nobody up', async () => {
    const { one, other, pairs } = pairSet({ isReady: () => false });
    const { frameId } = pairs.sendFrame(encodedFrame(one.clock));
    assert.equal(other.server.socket.frames.length, 0);
    const alone = next(pairs.answered);
    one.server.answer(frameId);
    assert.equal((await alone).second, null);
  });

  test('a rival that goes away takes nothing along', async () => {
    const { one, other, pairs } = pairSet();
    const lost = collect(pairs.lost);
    const { frameId } = pairs.sendFrame(encodedFrame(one.clock));
    other.server.hangUp();
    assert.equal(pairs.wantsFrame, true);
    const alone = next(pairs.answered);
    one.server.answer(frameId);
    assert.equal((await alone).second, null);
    assert.deepEqual(lost, []);
  });
});

test('modes agree where they give the same name, whatever its number', () => {
  const decoded = (labels, ids) => ({ mode: { labels }, mask: new Mask(2, 2, Uint8Array.from(ids), null) });
  const voc = decoded(['background', 'cat', 'person'], [0, 2, 2, 1]);
  assert.equal(agreement(voc, decoded(['background', 'person'], [0, 1, 0, 0])), 0.5);
  assert.equal(agreement(voc, voc), 1);
  assert.equal(agreement(voc, { ...voc, mask: new Mask(4, 1, Uint8Array.from([0, 2, 2, 1]), null) }), null);
});
