import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { countCells, heightOf, microsAtHeight, strengthOf } from '../../frontend/js/traces/heat_grid.js';
import { LaneRows } from '../../frontend/js/traces/lane_rows.js';
import { boundsOf, firstWindow } from '../../frontend/js/traces/lane_window.js';
import { alignFrames, packBySession, placeAt } from '../../frontend/js/traces/lanes.js';
import { markAt, markInWords } from '../../frontend/js/traces/mark_painter.js';
import { stepFor, ticksOf } from '../../frontend/js/traces/ticks.js';
import { TimeWindow } from '../../frontend/js/traces/time_window.js';
import { EPOCH, traceOf } from './support/fake_recorder.mjs';

const edges = ({ from, to }) => [from, to];

describe('zooming and panning', () => {
  const window = new TimeWindow(EPOCH, EPOCH + 1_000_000);

  test('the moment under the pointer stays there', () => {
    const at = window.microsAt(300, 1200);
    const zoomed = window.zoom(4, at);
    assert.equal(zoomed.span, 250_000);
    assert.equal(zoomed.xOf(at, 1200), 300);
    assert.deepEqual(edges(zoomed.zoom(1 / 4, at)), edges(window));
  });

  test('it ends at a span that still means something', () => assert.equal(window.zoom(1e9, EPOCH, 1000).span, 1000));

  test('what leaves the bounds is brought back, what is longer becomes the bounds', () => {
    const bounds = new TimeWindow(EPOCH, EPOCH + 10_000_000);
    assert.deepEqual(edges(window.pan(-500).within(bounds)), edges(window));
    assert.deepEqual(edges(window.pan(99_000_000).within(bounds)), [EPOCH + 9_000_000, EPOCH + 10_000_000]);
    assert.equal(window.zoom(0.01, EPOCH).within(bounds), bounds);
  });

  test('a frame is brought into sight by the least move', () => {
    assert.equal(window.showing(EPOCH + 10, EPOCH + 20), window);
    assert.deepEqual(edges(window.showing(EPOCH + 1_000_000, EPOCH + 1_100_000)), [EPOCH + 150_000, EPOCH + 1_150_000]);
    assert.deepEqual(edges(window.showing(EPOCH - 100_000, EPOCH - 90_000)), [EPOCH - 150_000, EPOCH + 850_000]);
    assert.equal(window.showing(EPOCH + 500_000, EPOCH + 9_000_000).from, EPOCH + 450_000);
  });
});

describe('an axis', () => {
  test('counts in steps that people count in', () => {
    assert.deepEqual([30, 900, 12_000, 4_000_000, 50_000_000, 700_000_000].map((span) => stepFor(span, 10)), [5, 100, 2000, 500_000, 5_000_000, 120_000_000]);
  });

  test('its marks stand inside it, a step apart', () => {
    const { step, ticks } = ticksOf(new TimeWindow(EPOCH + 1, EPOCH + 1_000_000), 5);
    assert.equal(step, 200_000);
    assert.deepEqual(ticks.map((tick) => tick - EPOCH), [200_000, 400_000, 600_000, 800_000, 1_000_000]);
  });
});

describe('the heat map', () => {
  test('gives each factor of ten a quarter of its height, and its ends to what is beyond', () => {
    assert.deepEqual([0, 1000, 10_000, 100_000, 10_000_000, 1e9].map(heightOf), [0, 0, 0.25, 0.5, 1, 1]);
    assert.equal(Math.round(microsAtHeight(0.75)), 1_000_000);
  });

  test('counts every frame in range once, dropped ones by themselves', () => {
    const window = new TimeWindow(EPOCH, EPOCH + 1_000_000);
    const frames = [
      { start_micros: EPOCH, total_micros: 30_000 },
      { start_micros: EPOCH + 10, total_micros: 30_000 },
      { start_micros: EPOCH + 1_000_000, total_micros: 99_000_000 },
      { start_micros: EPOCH + 600_000, outcome: 'dropped', reason: 'expired' },
      { start_micros: EPOCH - 1 },
      { start_micros: EPOCH + 1_000_001 },
    ];
    const grid = countCells(frames.map(traceOf), window, 4, 8);
    assert.equal(grid.counts[2 * 4], 2);
    assert.equal(grid.counts[7 * 4 + 3], 1);
    assert.equal(grid.counts.reduce((sum, one) => sum + one), 3);
    assert.deepEqual([...grid.dropped], [0, 0, 1, 0]);
    assert.deepEqual([grid.most, grid.mostDropped], [2, 1]);
  });

  test('shows one frame beside a thousand', () => {
    assert.equal(strengthOf(0, 1000), 0);
    assert.equal(strengthOf(1000, 1000), 1);
    assert.ok(strengthOf(1, 1000) > 0.1);
    assert.equal(strengthOf(1, 1), 1);
  });
});

describe('lanes', () => {
  const at = (frameId, startMillis, millis, session = 3) =>
    traceOf({ frame_id: frameId, session, start_micros: EPOCH + startMillis * 1000, total_micros: millis * 1000 });

  test('a frame goes into the first lane that is free, sessions stay apart, the newest on top', () => {
    const frames = [at(1, 0, 50), at(2, 33, 50), at(3, 66, 20), at(4, 10, 10, 9)];
    const { lanes, groups } = packBySession(frames);
    assert.deepEqual(lanes.map((lane) => lane.map(({ trace }) => trace.frameId)), [[4], [1, 3], [2]]);
    assert.deepEqual(groups.map(({ lane, session, frames: count }) => [lane, session, count]), [[0, 9, 1], [1, 3, 3]]);
  });

  test('no two frames of a lane overlap, whatever they took', () => {
    const frames = Array.from({ length: 500 }, (_, position) => at(position, position * 7, (position * 37) % 90, position % 3));
    for (const lane of packBySession(frames).lanes) lane.slice(1).forEach((place, position) => assert.ok(place.from >= lane[position].to));
  });

  test('frame by frame, all begin at zero and the newest is on top', () => {
    const { lanes, from, to } = alignFrames([at(1, 0, 50), at(2, 33, 80)]);
    assert.deepEqual(lanes.map(([{ trace, from: begin }]) => [trace.frameId, begin]), [[2, 0], [1, 0]]);
    assert.deepEqual([from, to], [0, 80_000]);
  });

  test('what is pointed at is found, and a thin frame within reach', () => {
    const layout = packBySession([at(1, 0, 50), at(2, 100, 1)]);
    const hit = (millis, reach) => placeAt(layout, 0, EPOCH + millis * 1000, reach * 1000)?.trace.frameId;
    assert.deepEqual([hit(49, 0), hit(60, 1), hit(98, 3), hit(103, 3)], [1, undefined, 2, 2]);
    assert.equal(placeAt(layout, 7, EPOCH, 0), null);
  });

  test('of many frames the newest seconds are shown first, and all can be', () => {
    const layout = packBySession(Array.from({ length: 1000 }, (_, position) => at(position, position * 33, 30)));
    const bounds = boundsOf(layout, 'sessions');
    const first = firstWindow(layout, 'sessions');
    assert.equal(first.to, bounds.to);
    assert.equal(first.span, 6_000_000);
    assert.ok(bounds.from < layout.from && bounds.to > layout.to);
    assert.equal(firstWindow(alignFrames([at(1, 0, 50)]), 'frames').from, 0);
  });

  test('titles take room of their own, and scrolling ends where the lanes do', () => {
    const rows = new LaneRows(18);
    rows.setLayout(packBySession([at(1, 0, 50, 9), at(2, 0, 50, 3), at(3, 10, 50, 3)]));
    for (const lane of [0, 1, 2]) assert.equal(rows.laneAt(rows.topOf(lane) + 3), lane);
    assert.equal(rows.laneAt(rows.topOf(1) - 3), -1);
    rows.scroll(9999, 60);
    assert.ok(rows.topOf(2) + 18 <= 60);
    rows.scroll(-9999, 60);
    assert.equal(rows.isScrolled, false);
    rows.bringIntoSight(2, 60);
    assert.ok(rows.isScrolled && rows.topOf(2) + 18 <= 60);
  });

  test('newer frames on top leave those in sight where they are', () => {
    const rows = new LaneRows(14);
    const frames = Array.from({ length: 100 }, (_, position) => at(position, position * 33, 30));
    rows.setLayout(alignFrames(frames));
    rows.scroll(140, 280);
    const before = rows.topOf(10);
    rows.setLayout(alignFrames([...frames, at(100, 3300, 30)]));
    rows.keepFirst(11, 280);
    assert.equal(rows.topOf(11), before);
  });
});

describe('reloads, swaps and crashes', () => {
  const crash = { atMicros: EPOCH + 500_000, kind: 'crash', outcome: 'crashed', generation: 7, modes: ['fast'], text: 'The worker ended.' };

  test('are found near the pointer', () => {
    const window = new TimeWindow(EPOCH, EPOCH + 1_000_000);
    assert.equal(markAt([crash], window, 505, 1000, 8), crash);
    assert.equal(markAt([crash], window, 520, 1000, 8), null);
  });

  test('have words', () => {
    assert.equal(markInWords(crash), 'Crash (fast), generation 7. The worker ended.');
    assert.equal(markInWords({ ...crash, kind: 'reload', outcome: 'rejected', modes: [] }), 'Reload rejected, generation 7. The worker ended.');
  });
});
