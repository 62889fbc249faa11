import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ClassScheme } from '../../frontend/js/core/class_scheme.js';
import { Mask } from '../../frontend/js/core/mask.js';
import { findRegions } from '../../frontend/js/paint/labels.js';

const LABELS = ['background', 'sea', 'ship', 'sky'];
const SCHEME = new ClassScheme({ index: 0, name: '', state: 'ready', backend: '', model: '', labels: LABELS, palette: [], message: '', command: '' });

/** A mask by what is where. */
function draw(widthPx, heightPx, idAt) {
  return new Mask(widthPx, heightPx, Uint8Array.from({ length: widthPx * heightPx }, (_, at) => idAt(at % widthPx, Math.floor(at / widthPx))), null);
}

const isIn = (left, top, right, bottom) => (x, y) => x >= left && x < right && y >= top && y < bottom;

/** The class at a region's point. */
function idAt({ widthPx, heightPx, classIds }, { x, y }) {
  return classIds[Math.floor(y * heightPx) * widthPx + Math.floor(x * widthPx)];
}

describe('regions', () => {
  test('the largest come first, each with its share and a point in its middle', () => {
    const sea = isIn(0, 60, 200, 100);
    const ship = isIn(20, 20, 60, 60);
    const mask = draw(200, 100, (x, y) => (sea(x, y) ? 1 : ship(x, y) ? 2 : 0));
    const regions = findRegions(mask, SCHEME);
    assert.deepEqual(regions.map(({ classId }) => classId), [1, 2]);
    assert.ok(Math.abs(regions[0].share - 0.4) < 0.02 && Math.abs(regions[1].share - 0.08) < 0.02);
    assert.ok(Math.abs(regions[1].x - 0.2) < 0.02 && Math.abs(regions[1].y - 0.4) < 0.03);
  });

  test('two areas of one class are two regions', () => {
    const mask = draw(320, 180, (x) => (x < 100 || x > 250 ? 1 : 2));
    assert.deepEqual(findRegions(mask, SCHEME).map(({ classId }) => classId), [2, 1, 1]);
  });

  test('what is small, hidden or background is none', () => {
    const mask = draw(160, 100, (x, y) => (isIn(0, 0, 10, 10)(x, y) ? 1 : isIn(100, 0, 160, 100)(x, y) ? 2 : isIn(50, 0, 80, 100)(x, y) ? 3 : 0));
    assert.deepEqual(findRegions(mask, SCHEME.withHidden(new Set(['ship']))).map(({ classId }) => classId), [3]);
  });

  test('no more than asked for', () => {
    const mask = draw(160, 90, (x) => 1 + (Math.floor(x / 10) % 2));
    assert.equal(findRegions(mask, SCHEME).length, 6);
    assert.equal(findRegions(mask, SCHEME, { most: 2 }).length, 2);
    assert.deepEqual(findRegions(mask, SCHEME, { most: 0 }), []);
  });

  test('the point lies inside, even of a ring or a hook around its own middle', () => {
    const ring = draw(640, 360, (x, y) => (Math.abs(Math.hypot(x - 320, y - 180) - 130) < 25 ? 1 : 0));
    const hook = draw(641, 357, (x, y) => (y < 300 && x > 60 && x < 580 ? 0 : 1));
    for (const mask of [ring, hook]) {
      const [region, ...more] = findRegions(mask, SCHEME);
      assert.deepEqual(more, []);
      assert.equal(idAt(mask, region), 1);
    }
  });

  test('the point hardly moves when the region does', () => {
    const at = (shift) => findRegions(draw(640, 360, (x, y) => (Math.hypot((x - 300 - shift) * 0.6, y - 200) < 90 + 3 * Math.sin(x / 9 + shift) ? 1 : 0)), SCHEME)[0];
    const first = at(0);
    for (let shift = 1; shift <= 5; shift += 1) {
      const next = at(shift);
      assert.ok(Math.hypot(next.x - first.x, next.y - first.y) < 0.03, `moved from ${first.x}, ${first.y} to ${next.x}, ${next.y}`);
    }
  });

  test('a mask of another size is found anew, and one of a single pixel has one region', () => {
    assert.deepEqual(findRegions(draw(1, 1, () => 2), SCHEME), [{ classId: 2, share: 1, x: 0.5, y: 0.5 }]);
    assert.equal(findRegions(draw(90, 160, (x, y) => (y < 80 ? 1 : 2)), SCHEME).length, 2);
  });
});
