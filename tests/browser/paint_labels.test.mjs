import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { Studio } from './support/studio.mjs';

/** @type {Studio} */
let studio;

before(async (t) => (studio = await Studio.open(t)));

/** The tags that are painted: where each colour of a class stands on a clear canvas. */
const tagsOf = (regions, labels, isMirrored) =>
  studio.run(
    async ({ easel, regions, labels, isMirrored }) => {
      const { drawLabels } = await import('/js/paint/labels.js');
      const [widthPx, heightPx] = [400, 200];
      const palette = [[255, 255, 0], [0, 0, 90], [255, 0, 0], [0, 255, 0]];
      const { scheme } = easel.layerFor({ mask: null, classes: { labels, palette, hidden: [] } });
      const canvas = Object.assign(document.createElement('canvas'), { width: widthPx + 200, height: heightPx + 200 });
      const context = canvas.getContext('2d');
      context.translate(100, 100); // With room around it, to see what would be outside.
      drawLabels(context, regions, scheme, { isMirrored, widthPx, heightPx });
      const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
      const tags = palette.map((colour) => {
        const tag = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
        for (let at = 0; at < data.length; at += 4) {
          if (data[at + 3] !== 255 || colour.some((part, channel) => data[at + channel] !== part)) continue;
          const [x, y] = [((at >> 2) % canvas.width) - 100, Math.floor((at >> 2) / canvas.width) - 100];
          tag.left = Math.min(tag.left, x);
          tag.right = Math.max(tag.right, x);
          tag.top = Math.min(tag.top, y);
          tag.bottom = Math.max(tag.bottom, y);
        }
        return tag;
      });
      const has = (colour) => data.some((part, at) => at % 4 === 0 && data[at + 3] === 255 && colour.every((value, channel) => data[at + channel] === value));
      return { tags: JSON.parse(JSON.stringify(tags)), hasBlack: has([0, 0, 0]), hasWhite: has([255, 255, 255]), picture: canvas.toDataURL() };
    },
    { regions, labels, isMirrored },
  );
const region = (classId, x, y) => ({ classId, share: 0.1, x, y });
const NAMES = ['lamp', 'night', 'a name that takes a good deal of room', 'grass'];

test('labels stand where the region is, on the other side of a mirrored picture, and are never mirrored', async () => {
  const plain = await tagsOf([region(0, 0.25, 0.5)], NAMES, false);
  const mirrored = await tagsOf([region(0, 0.75, 0.5)], NAMES, true);
  const { left, right, top, bottom } = plain.tags[0];
  assert.ok(Math.abs((left + right) / 2 - 100) <= 2 && Math.abs((top + bottom) / 2 - 100) <= 2, JSON.stringify(plain.tags[0]));
  assert.equal(mirrored.picture, plain.picture);
  assert.deepEqual((await tagsOf([region(0, 0.75, 0.5)], NAMES, false)).tags[0].left > 200, true);
});

test('labels are black on light colours and white on dark ones', async () => {
  const light = await tagsOf([region(0, 0.5, 0.5)], NAMES, false);
  const dark = await tagsOf([region(1, 0.5, 0.5)], NAMES, false);
  assert.deepEqual([light.hasBlack, light.hasWhite], [true, false]);
  assert.deepEqual([dark.hasBlack, dark.hasWhite], [false, true]);
});

test('labels stay on the picture', async () => {
  const { tags } = await tagsOf([region(0, 0, 0), region(1, 1, 0), region(2, 1, 1), region(3, 0, 1)], NAMES, false);
  for (const { left, right, top, bottom } of tags) assert.ok(left >= 0 && top >= 0 && right < 400 && bottom < 200, JSON.stringify({ left, right, top, bottom }));
});

test('labels never cover one another: there is less of what is smaller', async () => {
  const { tags } = await tagsOf([0, 1, 2, 3].map((classId) => region(classId, 0.5, 0.5)), NAMES, false);
  const shown = tags.filter(({ left }) => left !== null);
  assert.equal(shown.length, 4);
  for (const [at, one] of shown.entries()) {
    for (const other of shown.slice(at + 1)) assert.ok(one.bottom < other.top || other.bottom < one.top, JSON.stringify([one, other]));
  }
  const inACorner = await tagsOf([0, 1, 2, 3, 0, 1].map((classId) => region(classId, 0.5, 0)), NAMES, false);
  assert.ok(inACorner.tags.some(({ left }) => left === null), 'left out');
});
