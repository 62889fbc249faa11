import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Studio } from './support/studio.mjs';

const PAINTERS = ['webgl2', '2d'];
const VIEWS = ['filled', 'contour', 'side-by-side', 'blend', 'cut-out'];
/** How far a painter may be from the rules, in parts of 255. */
const NEAR = { webgl2: 1, '2d': 2 };
/** The same where the mask is stretched: its parts are rounded on the way, and a canvas stretches in 16 steps each way. */
const NEAR_STRETCHED = { webgl2: 2, '2d': 32 };
const LIT = [200, 40, 90, 255];
const CLEAR = [0, 0, 0, 0];

/** @type {Studio} */
let studio;

before(async (t) => (studio = await Studio.open(t)));

function isNear({ by, at }, most, what) {
  assert.ok(by <= most, `${what}: ${by.toFixed(2)} away at ${at}`);
}

for (const kind of PAINTERS) {
  describe(kind, () => {
    for (const view of VIEWS) {
      test(`${view} is what the rules say of each pixel`, async () => {
        const all = await studio.run(
          async ({ easel, kind, view, lit }) => {
            const [widthPx, heightPx] = [641, 157];
            const picture = easel.makePicture(widthPx, heightPx);
            const painted = new easel.Easel(kind);
            const found = [];
            for (const isSoft of [false, true]) {
              for (const isMirrored of [false, true]) {
                for (const hidden of [[], ['thing 3', 'a class of another mode']]) {
                  const mask = easel.makeMask(widthPx, heightPx, easel.IDS, { isSoft });
                  const layer = { mask, classes: easel.makeClasses({ hidden }) };
                  const look = { view, opacity: 0.6, backdrop: lit, isMirrored };
                  const distance = await painted.distance({ picture, layer, other: null, look, widthPx, heightPx });
                  found.push({ what: JSON.stringify({ isSoft, isMirrored, hidden }), distance });
                }
              }
            }
            painted.painter.close();
            return { kind: painted.painter.kind, found };
          },
          { kind, view, lit: LIT },
        );
        assert.equal(all.kind, kind);
        for (const { what, distance } of all.found) isNear(distance, NEAR[kind], what);
      });
    }

    test('two masks are compared at a split of the screen', async () => {
      const all = await studio.run(
        async ({ easel, kind, views, lit }) => {
          const [widthPx, heightPx] = [321, 121];
          const picture = easel.makePicture(widthPx, heightPx);
          const layer = { mask: easel.makeMask(widthPx, heightPx, [0, 12, 3]), classes: easel.makeClasses() };
          // Another mode's, of another size of mask, and one that has no mask yet.
          const others = [
            { mask: easel.makeMask(widthPx, heightPx, [0, 12, 7], { seed: 5, isSoft: true }), classes: easel.makeClasses({ zeroth: 'wall' }) },
            { mask: null, classes: easel.makeClasses() },
          ];
          const painted = new easel.Easel(kind);
          const found = [];
          for (const view of views) {
            for (const other of others) {
              for (const [split, isMirrored] of [[0.37, false], [0.37, true], [0, false], [1, true]]) {
                const scene = { picture, layer, other: { layer: other, split }, look: { view, opacity: 1, backdrop: lit, isMirrored }, widthPx, heightPx };
                found.push({ what: JSON.stringify({ view, split, isMirrored, none: !other.mask }), distance: await painted.distance(scene) });
              }
            }
          }
          painted.painter.close();
          return found;
        },
        { kind, views: VIEWS, lit: LIT },
      );
      for (const { what, distance } of all) isNear(distance, NEAR[kind], what);
    });

    test('a smaller mask is stretched smoothly', async () => {
      const all = await studio.run(
        async ({ easel, kind, views, lit }) => {
          const [widthPx, heightPx] = [300, 180];
          const picture = easel.makePicture(widthPx, heightPx);
          const painted = new easel.Easel(kind);
          const found = [];
          for (const view of views) {
            for (const [maskWidthPx, maskHeightPx] of [[150, 90], [59, 37]]) {
              for (const isMirrored of [false, true]) {
                const mask = easel.makeMask(maskWidthPx, maskHeightPx, easel.IDS);
                const look = { view, opacity: 0.8, backdrop: lit, isMirrored };
                const scene = { picture, layer: { mask, classes: easel.makeClasses() }, other: null, look, widthPx, heightPx };
                found.push({ what: JSON.stringify({ view, maskWidthPx, isMirrored }), distance: await painted.distance(scene) });
              }
            }
          }
          painted.painter.close();
          return found;
        },
        { kind, views: VIEWS, lit: LIT },
      );
      for (const { what, distance } of all) isNear(distance, NEAR_STRETCHED[kind], what);
    });

    test('an edge of a stretched mask has many steps, and none of another class', async () => {
      const row = await studio.run(
        async ({ easel, kind }) => {
          const [widthPx, heightPx] = [160, 16];
          const picture = new Uint8ClampedArray(4 * widthPx * heightPx).fill(255);
          const mask = { widthPx: 20, heightPx: 2, ids: Uint8Array.from({ length: 40 }, (_, at) => (at % 20 < 10 ? 1 : 3)), confidence: null };
          const classes = { labels: ['background', 'a', 'between', 'b'], palette: [[0, 0, 0], [0, 0, 0], [0, 255, 0], [200, 0, 0]], hidden: [] };
          const painted = new easel.Easel(kind);
          const look = { view: 'filled', opacity: 1, backdrop: [0, 0, 0, 0], isMirrored: false };
          const pixels = await painted.paint({ picture, layer: { mask, classes }, other: null, look, widthPx, heightPx });
          painted.painter.close();
          return { reds: Array.from(pixels.subarray(0, 4 * widthPx)).filter((_, at) => at % 4 === 0), green: Math.max(...pixels.filter((_, at) => at % 4 === 1)) };
        },
        { kind },
      );
      assert.equal(row.green, 0);
      assert.deepEqual(row.reds, row.reds.toSorted((a, b) => a - b));
      assert.ok(new Set(row.reds).size >= 8, `${new Set(row.reds).size} steps`);
      assert.deepEqual([row.reds[0], row.reds.at(-1)], [0, 200]);
    });

    test('without a mask the picture is painted alone', async () => {
      const all = await studio.run(
        async ({ easel, kind, views, clear }) => {
          const [widthPx, heightPx] = [200, 101];
          const picture = easel.makePicture(widthPx, heightPx);
          const painted = new easel.Easel(kind);
          const found = [];
          for (const view of views) {
            const layer = { mask: null, classes: easel.makeClasses() };
            const look = { view, opacity: 0.7, backdrop: clear, isMirrored: true };
            found.push({ what: view, distance: await painted.distance({ picture, layer, other: null, look, widthPx, heightPx }) });
          }
          painted.painter.close();
          return found;
        },
        { kind, views: VIEWS, clear: CLEAR },
      );
      for (const { what, distance } of all) isNear(distance, NEAR[kind], what);
    });

    test('a cut-out without a backdrop is transparent, and its edge has no other colour', async () => {
      const found = await studio.run(
        async ({ easel, kind, clear }) => {
          const [widthPx, heightPx] = [321, 121];
          const picture = easel.makePicture(widthPx, heightPx);
          const layer = { mask: easel.makeMask(widthPx, heightPx, easel.IDS, { isSoft: true }), classes: easel.makeClasses({ hidden: ['thing 149'] }) };
          const look = { view: 'cut-out', opacity: 1, backdrop: clear, isMirrored: false };
          const painted = new easel.Easel(kind);
          const distance = await painted.distance({ picture, layer, other: null, look, widthPx, heightPx });
          const alphas = painted.pixels().filter((_, at) => at % 4 === 3);
          painted.painter.close();
          return { distance, clear: alphas.filter((alpha) => alpha === 0).length, between: alphas.filter((alpha) => alpha > 0 && alpha < 255).length };
        },
        { kind, clear: CLEAR },
      );
      isNear(found.distance, NEAR[kind], 'transparent');
      assert.ok(found.clear > 1000 && found.between > 1000);
    });

    test('a picture behind a cut-out covers the output from its middle, and is not mirrored', async () => {
      const found = await studio.run(
        async ({ easel, kind }) => {
          const [widthPx, heightPx] = [200, 100];
          const ramp = new Uint8ClampedArray(4 * 400 * 400); // Red grows to the right, green downwards.
          for (let at = 0; at < 400 * 400; at += 1) ramp.set([(at % 400) / 2, Math.floor(at / 400) / 2, 0, 255], 4 * at);
          const backdrop = { kind: 'picture', picture: await createImageBitmap(new ImageData(ramp, 400, 400)) };
          const mask = { widthPx, heightPx, ids: new Uint8Array(widthPx * heightPx), confidence: null };
          const painted = new easel.Easel(kind);
          const look = { view: 'cut-out', opacity: 1, backdrop, isMirrored: true };
          const scene = { picture: easel.makePicture(widthPx, heightPx), layer: { mask, classes: easel.makeClasses() }, other: null, look, widthPx, heightPx };
          const pixels = await painted.paint(scene);
          painted.painter.close();
          const expected = pixels.map((_, at) => {
            const [x, y] = [(at >> 2) % widthPx, Math.floor((at >> 2) / widthPx)];
            return [x + 0.5, 50 + y + 0.5, 0, 255][at % 4];
          });
          return easel.farthest(pixels, expected);
        },
        { kind },
      );
      isNear(found, 3, 'the ramp');
    });

    test('a blurred backdrop is smooth and has none of the colours that are kept', async () => {
      const found = await studio.run(
        async ({ easel, kind }) => {
          const [widthPx, heightPx] = [640, 360];
          const picture = easel.makePicture(widthPx, heightPx);
          const ids = new Uint8Array(widthPx * heightPx);
          const isSubject = (x, y) => Math.hypot(x - 320, y - 200) < 100;
          for (let y = 0, at = 0; y < heightPx; y += 1) {
            for (let x = 0; x < widthPx; x += 1, at += 1) {
              const room = ((x < 320 ? x : y) >> 2) % 2 === 0 ? 0 : 255; // Fine stripes, both ways, of green and blue alone.
              picture.set(isSubject(x, y) ? [255, 0, 0, 255] : [0, room, 128, 255], 4 * at);
              ids[at] = isSubject(x, y) ? 12 : 0;
            }
          }
          const look = { view: 'cut-out', opacity: 1, backdrop: { kind: 'blur' }, isMirrored: true };
          const layer = { mask: { widthPx, heightPx, ids, confidence: null }, classes: easel.makeClasses() };
          const painted = new easel.Easel(kind);
          const pixels = await painted.paint({ picture, layer, other: null, look, widthPx, heightPx });
          painted.painter.close();
          const found = { kept: 0, mostRed: 0, greens: [255, 0], wrongSubject: 0, holes: 0 };
          for (let y = 0, at = 0; y < heightPx; y += 1) {
            for (let x = 0; x < widthPx; x += 1, at += 4) {
              const [red, green, , alpha] = pixels.subarray(at, at + 4);
              if (alpha !== 255) found.holes += 1;
              if (isSubject(widthPx - 1 - x, y)) {
                found.kept += 1;
                if (red !== 255 || green !== 0) found.wrongSubject += 1;
              } else {
                found.mostRed = Math.max(found.mostRed, red);
                found.greens = [Math.min(found.greens[0], green), Math.max(found.greens[1], green)];
              }
            }
          }
          return found;
        },
        { kind },
      );
      assert.ok(found.kept > 10_000);
      assert.deepEqual([found.wrongSubject, found.holes], [0, 0]);
      assert.ok(found.mostRed <= 8, `${found.mostRed} of red beside the subject`);
      assert.ok(found.greens[1] - found.greens[0] < 64, `greens from ${found.greens}`);
    });

    test('a bitmap, a canvas and a frame of a video are painted alike', async () => {
      const all = await studio.run(
        async ({ easel, kind }) => {
          const [widthPx, heightPx] = [320, 180];
          const picture = easel.makePicture(widthPx, heightPx);
          const canvas = Object.assign(document.createElement('canvas'), { width: widthPx, height: heightPx });
          canvas.getContext('2d').putImageData(new ImageData(picture, widthPx, heightPx), 0, 0);
          const frame = new VideoFrame(picture, { format: 'RGBX', codedWidth: widthPx, codedHeight: heightPx, timestamp: 0 });
          const layer = { mask: easel.makeMask(widthPx, heightPx, [0, 12]), classes: easel.makeClasses() };
          const look = { view: 'filled', opacity: 0.5, backdrop: [0, 0, 0, 0], isMirrored: false };
          const painted = new easel.Easel(kind);
          const found = [];
          for (const source of [canvas, frame]) found.push(await painted.distance({ picture, source, layer, other: null, look, widthPx, heightPx }));
          frame.close();
          painted.painter.close();
          return found;
        },
        { kind },
      );
      for (const distance of all) isNear(distance, NEAR[kind], 'source');
    });

    test('the canvas takes the size it needs, and is not cleared by one it has', async () => {
      const sizes = await studio.run(
        async ({ easel, kind }) => {
          const painted = new easel.Easel(kind);
          const sizes = [];
          let set = 0;
          new MutationObserver((records) => (set += records.length)).observe(painted.canvas, { attributes: true });
          for (const [view, widthPx] of [['filled', 64], ['blend', 64], ['side-by-side', 64], ['filled', 32]]) {
            const picture = easel.makePicture(widthPx, 48);
            const layer = { mask: null, classes: easel.makeClasses() };
            await painted.paint({ picture, layer, other: null, look: { view, opacity: 1, backdrop: [0, 0, 0, 0], isMirrored: false }, widthPx, heightPx: 48 });
            await Promise.resolve(); // Records are told after the task's own steps.
            sizes.push([painted.canvas.width, painted.canvas.height, set]);
          }
          painted.painter.close();
          return sizes;
        },
        { kind },
      );
      assert.deepEqual(sizes, [[64, 48, 2], [64, 48, 2], [128, 48, 3], [32, 48, 4]]);
    });
  });
}

test('only what changed is given to the graphics card, and nothing is made for a frame', async () => {
  const counts = await studio.run(async ({ easel }) => {
    const painted = new easel.Easel('webgl2');
    const gl = painted.canvas.getContext('webgl2');
    const calls = {};
    for (const name of ['texImage2D', 'texSubImage2D', 'texStorage2D', 'createTexture', 'createFramebuffer', 'createProgram']) {
      const original = gl[name].bind(gl);
      gl[name] = (...values) => {
        calls[name] = (calls[name] ?? 0) + 1;
        return original(...values);
      };
    }
    const [widthPx, heightPx] = [320, 180];
    const source = await createImageBitmap(new ImageData(easel.makePicture(widthPx, heightPx), widthPx, heightPx));
    const look = { view: 'cut-out', opacity: 1, backdrop: { kind: 'blur' }, isMirrored: false };
    const layer = easel.layerFor({ mask: easel.makeMask(widthPx, heightPx, [0, 12], { isSoft: true }), classes: easel.makeClasses() });
    const scene = { picture: { source, widthPx, heightPx, version: 1 }, layer, other: null, look, widthPx, heightPx };
    const during = (next) => {
      for (const name of Object.keys(calls)) delete calls[name];
      painted.paintScene(next);
      return { ...calls };
    };
    const first = during(scene);
    const again = during(scene);
    const nextFrame = during({ ...scene, picture: { ...scene.picture, version: 2 } });
    const { mask } = easel.layerFor({ mask: easel.makeMask(widthPx, heightPx, [0, 12], { isSoft: true, seed: 9 }), classes: easel.makeClasses() });
    const nextMask = during({ ...scene, picture: { ...scene.picture, version: 2 }, layer: { ...layer, mask } });
    painted.painter.close();
    return { first, again, nextFrame, nextMask };
  });
  assert.ok(counts.first.texStorage2D > 0 && counts.first.createProgram > 0);
  assert.deepEqual(counts.again, {});
  assert.deepEqual(counts.nextFrame, { texImage2D: 1 });
  assert.deepEqual(counts.nextMask, { texSubImage2D: 2 });
});

test('after the graphics card was lost and came back, the picture does too', async () => {
  const found = await studio.run(async ({ easel }) => {
    const painted = new easel.Easel('webgl2');
    const [widthPx, heightPx] = [320, 180];
    const picture = easel.makePicture(widthPx, heightPx);
    const layer = { mask: easel.makeMask(widthPx, heightPx, easel.IDS), classes: easel.makeClasses() };
    const look = { view: 'blend', opacity: 0.5, backdrop: [0, 0, 0, 0], isMirrored: true };
    const scene = { picture, layer, other: null, look, widthPx, heightPx };
    const before = await painted.distance(scene);
    const gl = painted.canvas.getContext('webgl2');
    const card = gl.getExtension('WEBGL_lose_context');
    const happened = (name) => new Promise((resolve) => painted.canvas.addEventListener(name, resolve, { once: true }));

    const lost = happened('webglcontextlost');
    card.loseContext();
    const source = await createImageBitmap(new ImageData(picture, widthPx, heightPx));
    const whileLost = { picture: { source, widthPx, heightPx, version: 1 }, layer: easel.layerFor(layer), other: null, look: { ...look, backdrop: { kind: 'blur' } }, widthPx, heightPx };
    painted.painter.paint(whileLost); // Lost, and not told yet.
    await lost;
    painted.painter.paint(whileLost);
    const isTold = new Promise((resolve) => painted.painter.restored.subscribe(resolve));
    await new Promise(requestAnimationFrame); // It can't come back while the loss is still being told.
    card.restoreContext();
    await isTold;
    const after = await painted.distance(scene);
    painted.painter.close();
    return { before, after };
  });
  isNear(found.before, NEAR.webgl2, 'before');
  isNear(found.after, NEAR.webgl2, 'after');
});

describe('where WebGL2 is of no use, a plain canvas is painted on', () => {
  /** Without a preference, and with one: what becomes of both. */
  async function kindsWith(spoil) {
    const page = await studio.page.context().browser().newPage();
    try {
      const other = await Studio.at(page, studio.page.url());
      await page.evaluate(spoil);
      return await other.run(async ({ easel }) => {
        const [widthPx, heightPx] = [64, 48];
        const picture = easel.makePicture(widthPx, heightPx);
        const layer = { mask: easel.makeMask(widthPx, heightPx, [0, 12]), classes: easel.makeClasses() };
        const look = { view: 'filled', opacity: 0.5, backdrop: [0, 0, 0, 0], isMirrored: false };
        const found = [];
        for (const prefer of [undefined, 'webgl2']) {
          const painted = new easel.Easel(prefer);
          found.push([painted.painter.kind, (await painted.distance({ picture, layer, other: null, look, widthPx, heightPx })).by <= 2]);
          painted.painter.close();
        }
        return found;
      });
    } finally {
      await page.close();
    }
  }

  test('where there is none', async () => {
    const kinds = await kindsWith(() => {
      const original = HTMLCanvasElement.prototype.getContext;
      HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
        return kind === 'webgl2' ? null : original.call(this, kind, ...more);
      };
    });
    assert.deepEqual(kinds, [['2d', true], ['2d', true]]);
  });

  test('where it refuses the shaders', async () => {
    const kinds = await kindsWith(() => {
      const original = WebGL2RenderingContext.prototype.shaderSource;
      WebGL2RenderingContext.prototype.shaderSource = function (shader, source) {
        original.call(this, shader, source.replace('void main', 'void mine'));
      };
    });
    assert.deepEqual(kinds, [['2d', true], ['2d', true]]);
  });

  test('where the processor would do the work of the graphics card, unless it is asked to', async () => {
    const kinds = await kindsWith(() => {});
    assert.deepEqual(kinds, [['2d', true], ['webgl2', true]]);
  });
});

test('the browser had nothing to complain about', () => assert.deepEqual(studio.complaints, []));
