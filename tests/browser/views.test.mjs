import assert from 'node:assert/strict';
import { test } from 'node:test';
import { showsPerson } from './support/browsers.mjs';
import { SegueServer } from './support/segue_server.mjs';
import { Visitor } from './support/visitor.mjs';

/** Nearly lossless both ways: what is left is chroma at half the size. */
const SET = ['capture.jpeg_quality=100', 'result.jpeg_quality=100', 'telemetry.log="warn"'];

/**
 * The page's picture of a frame beside the server's of the very same JPEG: how far they are apart, and how far each is from
 * the frame itself.
 */
function compare(page, view) {
  return page.evaluate(async (wanted) => {
    const { page: own, settings, stream } = window.segue;
    stream.keepFrames(16);
    settings.set('view', wanted);
    settings.set('softEdge', false);
    settings.set('mirror', false);
    settings.set('over', 'frame');
    const after = own.painted?.frameId ?? 0;
    while (!(own.painted && own.painted.frameId > after + 5 && own.painted.jpeg && own.painted.encoding === 1)) {
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
    const pixelsOf = (source, width = source.width) => {
      const context = new OffscreenCanvas(width, source.height).getContext('2d', { willReadFrequently: true });
      context.drawImage(source, 0, 0);
      return context.getImageData(0, 0, width, source.height).data;
    };
    own.stage.repaint();
    const { jpeg, picture, mode } = own.painted;
    const canvas = own.stage.canvas;
    const painted = pixelsOf(canvas);
    const plain = pixelsOf(picture);
    const answer = await fetch(`/v1/segment?mode=${mode.name}&view=${wanted}`, { method: 'POST', body: jpeg });
    const drawnPicture = await createImageBitmap(await answer.blob());
    const drawn = pixelsOf(drawnPicture);
    const mean = (one, other) => one.reduce((sum, value, at) => sum + Math.abs(value - other[at]), 0) / one.length;
    const far = painted.reduce((sum, value, at) => sum + (Math.abs(value - drawn[at]) > 48 ? 1 : 0), 0) / painted.length;
    return {
      sizes: [canvas.width, canvas.height, drawnPicture.width, drawnPicture.height],
      apart: mean(painted, drawn),
      far,
      fromFrame: painted.length === plain.length ? mean(painted, plain) : null,
    };
  }, view);
}

test('the page and the server draw the same picture, in each view', async (t) => {
  const server = await SegueServer.startFor(t, { set: SET });
  const visitor = await Visitor.arrive(t, { server });
  await visitor.goLive();
  for (const view of ['filled', 'contour', 'side-by-side', 'blend']) {
    const { sizes, apart, far, fromFrame } = await compare(visitor.page, view);
    t.diagnostic(`${view}: ${sizes.join(' ')}, apart by ${apart.toFixed(2)} of 255, far apart in ${(100 * far).toFixed(3)} %, from the frame by ${fromFrame?.toFixed(2) ?? '-'}`);
    assert.deepEqual(sizes.slice(0, 2), sizes.slice(2), view);
    assert.ok(apart < 2.5, `${view} differs by ${apart}`);
    assert.ok(far < 0.005, `${view} differs far in ${far} of its values`);
    if (showsPerson && fromFrame !== null) assert.ok(fromFrame > 2 * apart || view === 'contour', `${view} shows the mask: ${fromFrame}`);
  }
  if (!showsPerson) t.diagnostic('SKIPPED: nobody is in the picture, so the mask changes nothing');
  assert.deepEqual(visitor.complaints, []);
});
