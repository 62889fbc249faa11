import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { LIMITS, MODES } from './support/fake_server.mjs';
import { collect, encodedFrame, next, stageSet } from './support/stage_set.mjs';

describe('in flight', () => {
  test('a result and a dropped frame each free their slot', () => {
    const { clock, server, session } = stageSet();
    server.greet();
    const first = session.sendFrame(encodedFrame(clock));
    const second = session.sendFrame(encodedFrame(clock));
    assert.equal(session.wantsFrame, false);
    server.drop(first.frameId);
    assert.equal(session.inFlightCount, 1);
    assert.equal(session.wantsFrame, true);
    server.answer(second.frameId);
    assert.equal(session.inFlightCount, 0);
  });

  test('every error frees its slot: the stream does not stall', () => {
    const { clock, server, session } = stageSet();
    const dropped = collect(session.frameDropped);
    server.greet();
    for (let round = 0; round < 10; round += 1) {
      assert.equal(session.wantsFrame, true);
      server.drop(session.sendFrame(encodedFrame(clock)).frameId, 'backend_failed');
    }
    assert.equal(dropped.length, 10);
  });

  test('an answer to a frame that was never sent frees nothing', () => {
    const { clock, server, session } = stageSet();
    server.greet();
    session.sendFrame(encodedFrame(clock));
    server.drop(4711);
    server.answer(4712);
    assert.equal(session.inFlightCount, 1);
  });

  test('a frame that is never answered gives its slot back after ten seconds', () => {
    const { clock, server, session } = stageSet();
    const dropped = collect(session.frameDropped);
    server.greet();
    const { frameId } = session.sendFrame(encodedFrame(clock));
    for (let second = 0; second < 9; second += 1) {
      clock.advance(1000);
      server.say({ type: 'clock', sent: 0, received: 0, replied: 0 });
    }
    assert.equal(session.inFlightCount, 1);
    clock.advance(2000);
    assert.equal(session.inFlightCount, 0);
    assert.deepEqual(dropped.map(({ frameId, reason }) => [frameId, reason]), [[frameId, 'unanswered']]);
  });

  test('a reconnect begins with no frame in flight', () => {
    const { clock, server, session } = stageSet();
    server.greet();
    session.sendFrame(encodedFrame(clock));
    session.sendFrame(encodedFrame(clock));
    server.hangUp();
    assert.equal(session.wantsFrame, false);
    clock.advance(20_000);
    server.greet();
    assert.equal(session.inFlightCount, 0);
    assert.equal(session.wantsFrame, true);
  });

  test('limits apply at once', () => {
    const { clock, server, session } = stageSet();
    server.greet();
    session.sendFrame(encodedFrame(clock));
    server.say({ type: 'limits', generation: 8, ...LIMITS, max_in_flight: 1, jpeg_quality: 80 });
    assert.equal(session.wantsFrame, false);
    assert.equal(session.limits.jpegQuality, 80);
    assert.equal(session.generation, 8);
    server.say({ type: 'limits', generation: 9, ...LIMITS, max_in_flight: 3 });
    assert.equal(session.wantsFrame, true);
  });
});

describe('results', () => {
  test('a mask arrives with its mode and its times', async () => {
    const { clock, server, session } = stageSet();
    server.greet();
    const decoded = next(session.resultDecoded);
    server.answer(session.sendFrame(encodedFrame(clock)).frameId);
    const { mask, mode } = await decoded;
    assert.deepEqual([...mask.classIds], [1, 1, 1, 1, 1, 1, 1, 1]);
    assert.equal(mode.name, 'fast');
  });

  test('a result of a newer generation is noticed', () => {
    const { clock, server, session } = stageSet();
    server.greet();
    server.answer(session.sendFrame(encodedFrame(clock)).frameId, { generation: 8 });
    assert.equal(session.generation, 8);
  });

  test('a hostile payload costs one frame and says why; the session goes on', async () => {
    const { clock, server, session } = stageSet();
    server.greet();
    const notices = collect(session.noticed);
    const dropped = next(session.frameDropped);
    server.answer(session.sendFrame(encodedFrame(clock)).frameId, { payload: deflateRawSync(Buffer.from([9, 1])) });
    assert.equal((await dropped).reason, 'undecoded');
    const decoded = next(session.resultDecoded);
    server.answer(session.sendFrame(encodedFrame(clock)).frameId);
    await decoded;
    assert.match(notices[0].message, /beyond its 8 pixels/);
    assert.equal(session.isOpen, true);
  });

  test('a class that the mode does not have is refused', async () => {
    const { clock, server, session } = stageSet();
    server.greet();
    const dropped = next(session.frameDropped);
    server.answer(session.sendFrame(encodedFrame(clock)).frameId, { payload: deflateRawSync(Buffer.from([8, 2])) });
    assert.match((await dropped).message, /class id 2 is beyond the mode's 2 classes/);
  });

  test('a result of a model that was replaced meanwhile is read with the labels it was made with', async () => {
    const { clock, server, session } = stageSet();
    server.greet();
    const before = session.sendFrame(encodedFrame(clock));
    const after = session.sendFrame(encodedFrame(clock));
    const replacement = { ...MODES[0], index: 2, labels: ['background', 'cat', 'dog'] };
    server.say({ type: 'modes', modes: [replacement, MODES[1]] });
    const late = next(session.resultDecoded);
    server.answer(before.frameId, { mode: 0 });
    assert.deepEqual((await late).mode.labels, ['background', 'person']);
    const fresh = next(session.resultDecoded);
    server.answer(after.frameId, { mode: 2, payload: deflateRawSync(Buffer.from([8, 2])) });
    assert.deepEqual((await fresh).mode.labels, ['background', 'cat', 'dog']);
    assert.equal(session.modes.current.index, 2);
  });

  test('an index that is given to another mode means that one', () => {
    const { server, session } = stageSet();
    server.greet();
    server.say({ type: 'modes', modes: [{ ...MODES[0], index: 2 }] });
    assert.equal(session.modes.at(1).name, 'balanced');
    server.say({ type: 'modes', modes: [{ ...MODES[0], index: 1 }] });
    assert.equal(session.modes.at(1).name, 'fast');
  });

  test('a new session knows no index of the one before', () => {
    const { clock, server, session } = stageSet();
    server.greet();
    server.hangUp();
    clock.advance(20_000);
    server.greet({ modes: [MODES[0]] });
    assert.equal(session.modes.at(1), undefined);
  });

  test('a mode message with a new index leaves the labels of the old one alone', () => {
    const { server, session } = stageSet();
    server.greet();
    server.say({ type: 'mode', mode: 'fast', index: 2, state: 'ready', message: '' });
    assert.deepEqual([0, 2].map((index) => session.modes.at(index).name), ['fast', 'fast']);
    assert.equal(session.modes.at(0).index, 0);
    assert.equal(session.modes.current.index, 2);
  });

  test('malformed messages are reported and passed over', () => {
    const { server, session } = stageSet();
    server.greet();
    const notices = collect(session.noticed);
    server.socket.onmessage({ data: '{{{' });
    server.socket.onmessage({ data: new ArrayBuffer(3) });
    server.say({ type: 'surprise' });
    assert.equal(notices.length, 2);
    assert.equal(session.isOpen, true);
  });

  test('a mask still being decoded when the socket breaks is not shown', async () => {
    const { clock, server, session } = stageSet();
    server.greet();
    const shown = collect(session.resultDecoded);
    server.answer(session.sendFrame(encodedFrame(clock)).frameId);
    server.hangUp();
    clock.advance(20_000);
    server.greet();
    const decoded = next(session.resultDecoded);
    const { frameId } = session.sendFrame(encodedFrame(clock));
    server.answer(frameId);
    await decoded;
    assert.deepEqual(shown.map(({ result }) => result.frameId), [frameId]);
  });
});

describe('mode, view and clock', () => {
  test('a choice takes effect when the server says ready', () => {
    const { server, session } = stageSet();
    server.greet();
    session.chooseMode('balanced');
    assert.deepEqual(server.socket.textsOf('mode'), [{ type: 'mode', mode: 'balanced' }]);
    assert.equal(session.modes.current.name, 'fast');
    assert.equal(session.modes.pending.name, 'balanced');
    server.say({ type: 'mode', mode: 'balanced', index: 1, state: 'loading', message: '' });
    assert.equal(session.modes.current.name, 'fast');
    server.say({ type: 'mode', mode: 'balanced', index: 1, state: 'ready', message: '' });
    assert.equal(session.modes.current.name, 'balanced');
    assert.equal(session.modes.pending, undefined);
    assert.equal(server.socket.textsOf('mode').length, 1);
  });

  test('a refused choice is said, and the mode stays', () => {
    const { server, session } = stageSet();
    server.greet();
    const notices = collect(session.noticed);
    session.chooseMode('balanced');
    server.say({ type: 'mode', mode: 'balanced', index: 1, state: 'unavailable', message: 'the weights are missing' });
    assert.equal(session.modes.current.name, 'fast');
    assert.equal(session.modes.pending, undefined);
    assert.equal(session.modes.named('balanced').state, 'unavailable');
    assert.deepEqual(notices, [{ code: 'mode_unavailable', message: 'the weights are missing' }]);
  });

  test('the menu follows the server', () => {
    const { server, session } = stageSet();
    server.greet();
    server.say({ type: 'mode', mode: 'balanced', index: 1, state: 'ready', message: '' });
    assert.equal(session.modes.current.name, 'balanced');
    server.say({ type: 'modes', modes: [MODES[1]] });
    assert.deepEqual(session.modes.all.map(({ name }) => name), ['balanced']);
  });

  test('mode and view are kept across a reconnect', () => {
    const { clock, server, session } = stageSet();
    server.greet();
    session.setSoftEdge(false);
    session.chooseMode('balanced');
    server.say({ type: 'mode', mode: 'balanced', index: 1, state: 'ready', message: '' });
    server.hangUp();
    clock.advance(20_000);
    server.greet();
    assert.deepEqual(server.socket.textsOf('mode'), [{ type: 'mode', mode: 'balanced' }]);
    assert.deepEqual(server.socket.textsOf('view'), [{ type: 'view', soft_edge: false, picture: null }]);
  });

  test('a mode that is not there after a reconnect is missed with a word, and asked for once it is', () => {
    const { clock, server, session } = stageSet();
    server.greet();
    session.chooseMode('balanced');
    server.say({ type: 'mode', mode: 'balanced', index: 1, state: 'ready', message: '' });
    server.hangUp();
    clock.advance(20_000);
    const notices = collect(session.noticed);
    server.greet({ modes: [MODES[0], { ...MODES[1], state: 'unavailable' }] });
    assert.deepEqual(server.socket.textsOf('mode'), []);
    assert.deepEqual(notices.map(({ message }) => message), ['This server cannot serve the mode balanced now: fast answers.']);
    server.say({ type: 'modes', modes: structuredClone(MODES) });
    assert.deepEqual(server.socket.textsOf('mode'), [{ type: 'mode', mode: 'balanced' }]);
  });

  test('a mode that is taken away is left with a word, and asked for again when it is back', () => {
    const gone = { type: 'mode', mode: 'fast', index: 0, state: 'ready', message: 'the mode balanced is gone' };
    const without = { type: 'modes', modes: [MODES[0]] };
    for (const messages of [[without, gone], [gone, without]]) {
      const { clock, server, session } = stageSet();
      const notices = collect(session.noticed);
      server.greet();
      session.chooseMode('balanced');
      server.say({ type: 'mode', mode: 'balanced', index: 1, state: 'ready', message: '' });
      for (const message of messages) server.say(message);
      assert.equal(session.modes.current.name, 'fast');
      assert.deepEqual(notices.map(({ message }) => message), ['the mode balanced is gone']);
      assert.equal(server.socket.textsOf('mode').length, 1, 'it is not asked for while it is gone');
      server.say({ type: 'modes', modes: [MODES[0], { ...MODES[1], index: 2 }] });
      assert.equal(server.socket.textsOf('mode').length, 2);
      server.hangUp();
      clock.advance(20_000);
      server.greet();
      assert.deepEqual(server.socket.textsOf('mode'), [{ type: 'mode', mode: 'balanced' }]);
    }
  });

  test('a session moved to a mode that still loads is in that one', () => {
    const { server, session } = stageSet();
    server.greet();
    server.say({ type: 'modes', modes: [{ ...MODES[1], state: 'loading' }] });
    server.say({ type: 'mode', mode: 'balanced', index: 1, state: 'loading', message: 'the mode fast is gone' });
    assert.equal(session.modes.current.name, 'balanced');
    assert.equal(session.modes.current.state, 'loading');
    server.say({ type: 'modes', modes: [MODES[1]] });
    assert.equal(session.modes.current.state, 'ready');
  });

  test('a mode that goes while it loads is waited for no more', () => {
    const { server, session } = stageSet();
    const notices = collect(session.noticed);
    server.greet();
    session.chooseMode('balanced');
    server.say({ type: 'modes', modes: [MODES[0]] });
    server.say({ type: 'mode', mode: 'balanced', index: 1, state: 'unavailable', message: 'the mode balanced is gone' });
    assert.equal(session.modes.pending, undefined);
    assert.deepEqual(notices.map(({ message }) => message), ['the mode balanced is gone']);
    server.say({ type: 'modes', modes: structuredClone(MODES) });
    assert.equal(server.socket.textsOf('mode').length, 2);
  });

  test('limits, modes and a hello each say that the server is configured anew', () => {
    const { server, session } = stageSet();
    const told = collect(session.configured);
    server.greet();
    server.say({ type: 'limits', generation: 8, ...LIMITS });
    server.say({ type: 'modes', modes: structuredClone(MODES) });
    server.say({ type: 'mode', mode: 'balanced', index: 1, state: 'loading', message: '' });
    assert.equal(told.length, 3);
  });

  test('the clock of the shortest round trip wins', () => {
    const { clock, server, session } = stageSet();
    server.greet();
    const sent = server.socket.textsOf('clock')[0].sent;
    clock.advance(100);
    server.say({ type: 'clock', sent, received: sent + 1_080_000, replied: sent + 1_080_000 });
    const again = clock.micros();
    clock.advance(10);
    server.say({ type: 'clock', sent: again, received: again + 1_005_000, replied: again + 1_005_000 });
    assert.deepEqual(session.clockSync.best, { roundTripMicros: 10_000, offsetMicros: 1_000_000 });
  });

  test('a painted frame is reported with its times', async () => {
    const { clock, server, session } = stageSet();
    server.greet();
    const decoded = next(session.resultDecoded);
    const captured = encodedFrame(clock);
    const { frameId } = session.sendFrame({ ...captured, capturedAt: captured.startedAt - 2000 });
    clock.advance(20);
    server.answer(frameId);
    const painted = await decoded;
    clock.advance(5);
    session.reportPaint(painted, clock.micros());
    const now = clock.micros();
    const client = { encode_started_at: now - 25_000, received_at: now - 5000, decode_started_at: now - 5000, decoded_at: now - 5000 };
    assert.deepEqual(server.socket.textsOf('paint'), [{ type: 'paint', frame_id: frameId, ...client, painted_at: now }]);
  });

  test('the paint of a frame that was given up leaves out what is not known of it', async () => {
    const { server, session } = stageSet();
    server.greet();
    const decoded = next(session.resultDecoded);
    server.answer(4711);
    session.reportPaint(await decoded, 1);
    assert.equal('encode_started_at' in server.socket.textsOf('paint')[0], false);
  });
});

describe('traces', () => {
  const flagsOf = (frame) => frame[2];

  test('the frame after the wish asks for its trace to be kept, and no other', () => {
    const { clock, server, session } = stageSet();
    server.greet();
    const asked = collect(session.traceAsked);
    session.sendFrame(encodedFrame(clock));
    session.keepNextTrace();
    session.keepNextTrace();
    session.sendFrame(encodedFrame(clock));
    session.sendFrame(encodedFrame(clock));
    assert.deepEqual(server.socket.frames.map(flagsOf), [0, 1, 0]);
    assert.deepEqual(asked, [Buffer.from(server.socket.frames[1].subarray(24, 40)).toString('hex')]);
  });
});

describe('sleep', () => {
  /** A machine that slept for so long rings its timers late, all at once. */
  function sleepFor(clock, millis) {
    const { after } = clock;
    const held = [];
    clock.after = (delay, action) => {
      held.push([delay, action]);
      return () => {};
    };
    clock.advance(1000); // The tick that is due comes, and its successors are held back.
    clock.after = after;
    clock.advance(millis);
    for (const [, action] of held) action();
  }

  test('a connection that did not survive the sleep is given up soon after it', () => {
    const { clock, server, connection } = stageSet();
    server.greet();
    server.say({ type: 'clock', sent: 0, received: 0, replied: 0 });
    sleepFor(clock, 3_600_000);
    assert.equal(server.socket.textsOf('clock').length, 2, 'the server is asked at once');
    assert.equal(connection.phase, 'open');
    clock.advance(4000);
    assert.notEqual(connection.phase, 'open');
  });

  test('a connection that survived it goes on', () => {
    const { clock, server, connection } = stageSet();
    server.greet();
    sleepFor(clock, 3_600_000);
    server.say({ type: 'clock', sent: 0, received: 0, replied: 0 });
    clock.advance(4000);
    assert.equal(connection.phase, 'open');
    assert.equal(server.sockets.length, 1);
  });
});
