import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AdaptiveQuality } from '../../frontend/js/core/adaptive_quality.js';
import { buildLadder } from '../../frontend/js/core/quality_ladder.js';
import { FakeClock } from './support/fake_clock.mjs';
import { bytesOf, LIMITS, SimulatedStream } from './support/simulated_stream.mjs';

const { targetLatencyMillis: TARGET } = LIMITS.adaptive;
const TOP = { jpegQuality: 70, maxDimensionPx: 960 };
const FLOOR = { jpegQuality: 30, maxDimensionPx: 320 };
const SLOW = { bytesPerSecond: 200_000, roundTripMillis: 100 };
const FAST = { bytesPerSecond: 20_000_000, roundTripMillis: 10 };

const stream = (parts = {}) => new SimulatedStream({ makeQuality: (clock) => new AdaptiveQuality({ clock }), ...parts });

/** The settings of `quality` without a stream to measure. */
function still(limits = LIMITS) {
  const quality = new AdaptiveQuality({ clock: new FakeClock() });
  quality.setLimits(limits);
  return quality;
}

describe('the ladder', () => {
  test('goes from the limits to the bounds in steps of about a quarter of the bytes', () => {
    for (const limits of [LIMITS, { ...LIMITS, jpegQuality: 95, maxDimensionPx: 1920 }, { ...LIMITS, jpegQuality: 50, maxDimensionPx: 640 }]) {
      const ladder = buildLadder(limits);
      assert.deepEqual([ladder[0].jpegQuality, ladder[0].maxDimensionPx], [limits.jpegQuality, limits.maxDimensionPx]);
      assert.deepEqual([ladder.at(-1).jpegQuality, ladder.at(-1).maxDimensionPx], [30, 320]);
      ladder.slice(1).forEach((level, position) => {
        const share = bytesOf(level) / bytesOf(ladder[position]);
        assert.ok(share > 0.6 && share < 0.85, `${share} of the level above`);
        assert.ok(level.jpegQuality <= ladder[position].jpegQuality && level.maxDimensionPx < ladder[position].maxDimensionPx);
      });
    }
  });

  test('has one level where there is nothing to choose', () => {
    assert.equal(buildLadder({ ...LIMITS, adaptive: null }).length, 1);
    assert.equal(buildLadder({ ...LIMITS, adaptive: { ...LIMITS.adaptive, minJpegQuality: 70, minDimensionPx: 960 } }).length, 1);
    assert.equal(buildLadder({ ...LIMITS, adaptive: { ...LIMITS.adaptive, minJpegQuality: 90, minDimensionPx: 4000 } }).length, 1);
  });
});

describe('a network', () => {
  test('that is fast is given the best', () => {
    const seen = stream({ link: FAST });
    seen.run(30);
    assert.equal(seen.changesBetween(0.1), 0);
    assert.deepEqual(seen.quality.settings, TOP);
    assert.equal(seen.quality.state.reason, 'Full quality: masks come within 200 ms.');
  });

  for (const [name, link] of [['1 MB/s', { bytesPerSecond: 1_000_000, roundTripMillis: 100 }], ['200 KB/s', SLOW]]) {
    test(`of ${name} and 100 ms there and back is brought under the target in seconds, and stays there`, () => {
      const seen = stream({ link });
      seen.run(60);
      const untouched = stream({ link, limits: { ...LIMITS, adaptive: null } });
      untouched.run(10);
      assert.ok(untouched.latency(0.95, 2) > TARGET, 'it takes adapting');
      assert.ok(seen.latency(0.95, 3) < TARGET, `p95 is ${seen.latency(0.95, 3)} ms`);
      assert.ok(seen.changesBetween(3) <= 2, 'it settles');
      assert.equal(seen.quality.state.reason, 'Lowered so that masks come within 200 ms.');
    });
  }

  test('that heals has the best again within twenty seconds', () => {
    for (const roundTripMillis of [5, 60, 100]) {
      const seen = stream({ link: { ...SLOW, roundTripMillis } });
      seen.run(40);
      assert.notDeepEqual(seen.quality.settings, TOP);
      seen.link.bytesPerSecond = 20_000_000;
      seen.run(20);
      assert.deepEqual(seen.quality.settings, TOP);
      assert.ok(seen.latency(0.95, 40) < TARGET);
    }
  });

  test('that is noisy about the target does not make quality swing', () => {
    for (const roundTripMillis of [110, 140]) {
      for (const seed of [1, 2, 3]) {
        const seen = stream({ link: { bytesPerSecond: 500_000, roundTripMillis, jitter: 0.3 }, seed });
        seen.run(190);
        assert.ok(seen.changesBetween(10) <= 6, `${seen.changesBetween(10)} changes in three minutes`);
      }
    }
  });

  test('whose hiccups are short is not punished for them', () => {
    const seen = stream({ link: { bytesPerSecond: 5_000_000, roundTripMillis: 40 } });
    for (let hiccup = 0; hiccup < 10; hiccup += 1) {
      seen.run(6);
      seen.stall(500);
    }
    assert.ok(seen.latency(1, 0) > 500, 'they are felt');
    assert.equal(seen.changesBetween(0.1), 0);
  });

  test('that is too slow for the smallest frames gets those, and the page says what it is', () => {
    const seen = stream({ link: { bytesPerSecond: 40_000, roundTripMillis: 60 } });
    seen.run(30);
    assert.deepEqual(seen.quality.settings, FLOOR);
    assert.match(seen.quality.state.reason, /^As low as allowed, and frames still take 3\d0 ms: sending them takes/);
  });

  test('that is far away is not blamed on the frames', () => {
    const seen = stream({ link: { bytesPerSecond: 5_000_000, roundTripMillis: 300 } });
    seen.run(30);
    assert.deepEqual(seen.quality.settings, TOP);
    assert.equal(seen.quality.state.reason, 'Smaller frames would not help: the way to the server and back takes 300 ms.');
  });

  test('that is throttled above a rate is tried again, later each time', () => {
    const seen = stream({ link: { roundTripMillis: 60 } });
    const attempts = [];
    for (let tick = 0; tick < 400; tick += 1) {
      const isTooMuch = bytesOf(seen.quality.settings) > 20_000;
      seen.link.bytesPerSecond = isTooMuch ? 60_000 : 5_000_000;
      if (isTooMuch && !attempts.isOngoing) attempts.push(seen.seconds);
      attempts.isOngoing = isTooMuch;
      seen.run(0.5);
    }
    assert.ok(attempts.length >= 4 && attempts.length <= 7, `${attempts.length} attempts in 200 seconds`);
    const pauses = attempts.slice(2).map((at, position) => at - attempts[position + 1]);
    pauses.slice(1).forEach((pause, position) => assert.ok(pause > 1.4 * pauses[position], `${pauses} seconds`));
    assert.ok(seen.latency(0.9, 20) < TARGET);
  });

  test('that swings faster than it can be followed is not chased', () => {
    const seen = stream({ link: { bytesPerSecond: 2_000_000, roundTripMillis: 40 } });
    for (let wave = 0; wave < 30; wave += 1) {
      seen.link.bytesPerSecond = wave % 2 ? 2_000_000 : 200_000;
      seen.run(4);
    }
    assert.ok(seen.changesBetween(20) <= 10, `${seen.changesBetween(20)} changes in 100 seconds`);
    assert.ok(seen.latency(0.9, 10) < TARGET);
  });
});

describe('a model', () => {
  test('that is slow does not cost the picture its quality', () => {
    const seen = stream({ link: FAST, server: { modelMillis: 400 } });
    seen.run(60);
    assert.equal(seen.changesBetween(0.1), 0);
    assert.match(seen.quality.state.reason, /^Smaller frames would not help: the model takes 400 ms/);
  });

  test('that is slow and varies does not either, and what is said stands still', () => {
    const seen = stream({ link: FAST, server: { modelMillis: 400, jitter: 0.3 } });
    seen.run(120);
    assert.deepEqual(seen.quality.settings, TOP);
    assert.ok(seen.reasons.length < 20, `${seen.reasons.length} sentences in two minutes`);
  });

  test('that makes up for what smaller frames save has them given back, and that is said', () => {
    const seen = stream({ link: { bytesPerSecond: 400_000, roundTripMillis: 5 }, server: { modelMillis: 200 } });
    seen.run(75);
    assert.deepEqual(seen.quality.settings, TOP);
    assert.ok(seen.changesBetween(0.1) >= 2, 'it was tried');
    assert.ok(seen.changesBetween(15) <= 4, 'and seldom again');
    assert.ok(seen.reasons.some((reason) => reason.startsWith('Smaller frames did not help: the model takes 200 ms')));
  });

  test('that drops what waits too long does not either', () => {
    const seen = stream({ link: FAST, server: { modelMillis: 400, deadlineMillis: 300 } });
    seen.run(30);
    assert.ok(seen.lost > 20);
    assert.deepEqual(seen.quality.settings, TOP);
  });
});

describe('losses', () => {
  test('a frame too large for the server makes the next smaller, one step for all that were on their way', () => {
    const seen = stream({ link: FAST });
    seen.run(2);
    seen.quality.dropped('too_large');
    const [, second] = buildLadder(LIMITS);
    assert.deepEqual(seen.quality.settings, { jpegQuality: second.jpegQuality, maxDimensionPx: second.maxDimensionPx });
    seen.quality.dropped('too_large');
    assert.equal(seen.quality.state.level, 1);
  });

  test('frames that nobody answers on a slow link become as small as they may', () => {
    const seen = stream({ link: { bytesPerSecond: 2000, roundTripMillis: 60 } });
    seen.run(12);
    assert.equal(seen.frames.length, 0);
    seen.quality.dropped('unanswered');
    assert.deepEqual(seen.quality.settings, FLOOR);
  });

  test('a model that does not answer costs the picture nothing', () => {
    const seen = stream({ link: FAST, server: { modelMillis: 400 } });
    seen.run(12);
    seen.quality.dropped('unanswered');
    assert.deepEqual(seen.quality.settings, TOP);
  });

  test('no climb while the server drops frames', () => {
    const seen = stream({ link: { bytesPerSecond: 100_000, roundTripMillis: 20 } });
    seen.run(10);
    const { level } = seen.quality.state;
    assert.ok(level > 0);
    seen.link.bytesPerSecond = 20_000_000;
    for (let tick = 0; tick < 100; tick += 1) {
      seen.run(0.2);
      seen.quality.dropped('overloaded');
    }
    assert.equal(seen.quality.state.level, level);
    seen.run(20);
    assert.equal(seen.quality.state.level, 0);
  });
});

describe('limits', () => {
  test('without bounds are kept to, whatever happens', () => {
    const seen = stream({ link: SLOW, limits: { ...LIMITS, adaptive: null } });
    seen.run(20);
    assert.deepEqual(seen.quality.settings, TOP);
    assert.deepEqual(seen.quality.state, { kind: 'fixed', level: 0, lowestLevel: 0, reason: 'As the profile says.' });
  });

  test('are unknown before the first hello', () => {
    assert.equal(new AdaptiveQuality({ clock: new FakeClock() }).settings, null);
  });

  test('that a reload lowers hold for the very next frame, and what was learned is not forgotten', () => {
    const seen = stream({ link: SLOW });
    seen.run(10);
    const before = bytesOf(seen.quality.settings);
    seen.setLimits({ ...LIMITS, jpegQuality: 60, maxDimensionPx: 800, adaptive: { ...LIMITS.adaptive, minDimensionPx: 240 } });
    assert.ok(bytesOf(seen.quality.settings) <= 1.2 * before && bytesOf(seen.quality.settings) > 0.5 * before, 'frames stay about as large');
    seen.setLimits({ ...LIMITS, jpegQuality: 40, maxDimensionPx: 240, adaptive: null });
    assert.deepEqual(seen.quality.settings, { jpegQuality: 40, maxDimensionPx: 240 });
    seen.setLimits(LIMITS);
    seen.run(10);
    assert.ok(seen.latency(0.95, 13) < TARGET);
  });

  test('that are raised on a good link are taken at once', () => {
    const seen = stream({ link: FAST });
    seen.run(5);
    seen.setLimits({ ...LIMITS, maxDimensionPx: 1280 });
    assert.deepEqual(seen.quality.settings, { jpegQuality: 70, maxDimensionPx: 1280 });
  });

  test('said again change nothing', () => {
    const seen = stream({ link: SLOW });
    seen.run(10);
    const before = seen.quality.settings;
    let changes = 0;
    seen.quality.changed.subscribe(() => (changes += 1));
    seen.quality.setLimits(structuredClone(LIMITS));
    assert.deepEqual(seen.quality.settings, before);
    assert.equal(changes, 0);
  });

  test('a restart keeps the level and forgets what was measured', () => {
    const seen = stream({ link: SLOW });
    seen.run(10);
    const before = seen.quality.settings;
    seen.quality.restart();
    assert.deepEqual(seen.quality.settings, before);
    assert.equal(seen.quality.state.reason, 'Measuring how long frames take.');
  });
});

describe('by hand', () => {
  test('settings stay whatever the link does, and automatic goes on from where it was', () => {
    const seen = stream({ link: SLOW });
    seen.run(10);
    const automatic = seen.quality.settings;
    seen.quality.pin({ jpegQuality: 65, maxDimensionPx: 800 });
    seen.run(20);
    assert.deepEqual(seen.quality.settings, { jpegQuality: 65, maxDimensionPx: 800 });
    assert.equal(seen.quality.state.kind, 'pinned');
    seen.quality.pin(null);
    assert.deepEqual(seen.quality.settings, automatic);
    seen.run(5);
    assert.ok(seen.latency(0.95, 32) < TARGET);
  });

  test('are held to what the server takes, also when that changes', () => {
    const quality = still();
    quality.pin({ jpegQuality: 100, maxDimensionPx: 4000 });
    assert.deepEqual(quality.settings, TOP);
    quality.pin({ jpegQuality: 0, maxDimensionPx: 1 });
    assert.deepEqual(quality.settings, { jpegQuality: 1, maxDimensionPx: 16 });
    quality.pin({ jpegQuality: 60, maxDimensionPx: 800 });
    quality.setLimits({ ...LIMITS, maxDimensionPx: 480 });
    assert.deepEqual(quality.settings, { jpegQuality: 60, maxDimensionPx: 480 });
    quality.setLimits(LIMITS);
    assert.deepEqual(quality.settings, { jpegQuality: 60, maxDimensionPx: 800 });
  });

  test('work where the profile does not let quality adapt', () => {
    const quality = still({ ...LIMITS, adaptive: null });
    quality.pin({ jpegQuality: 20, maxDimensionPx: 160 });
    assert.deepEqual(quality.settings, { jpegQuality: 20, maxDimensionPx: 160 });
    quality.pin(null);
    assert.deepEqual(quality.settings, TOP);
  });
});
