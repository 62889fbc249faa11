/**
 * What the page should paint, pixel by pixel, from the rules alone. It runs in the browser, beside the painters, and shares no
 * code with them.
 *
 * A result is premultiplied red, green, blue and alpha, 0 to 255.
 */

/** How much of a class there is where the model is this sure: a soft step, in parts of 255. */
function softness(confidence) {
  const t = Math.min(1, Math.max(0, (confidence - 90) / 110));
  return Math.round(255 * t * t * (3 - 2 * t)) / 255;
}

function isDrawn({ labels, hidden }, id) {
  const label = labels[id] ?? '';
  return label !== 'background' && !hidden.includes(label);
}

function isKept(classes, id) {
  const { labels, hidden } = classes;
  if (!isDrawn(classes, id)) return false;
  const isOnlyPeople = !labels.includes('background') && labels.includes('person') && !labels.some((label) => hidden.includes(label));
  return !isOnlyPeople || labels[id] === 'person';
}

function isOnLine({ widthPx, heightPx, ids }, x, y) {
  const id = ids[y * widthPx + x];
  const reach = Math.max(1, Math.round(widthPx / 320));
  for (let step = 1; step <= reach; step += 1) {
    for (const [nearX, nearY] of [[x - step, y], [x + step, y], [x, y - step], [x, y + step]]) {
      const isOutside = nearX < 0 || nearY < 0 || nearX >= widthPx || nearY >= heightPx;
      if (!isOutside && ids[nearY * widthPx + nearX] !== id) return true;
    }
  }
  return false;
}

/** How much a mask's pixel counts in this view. */
function weightAt({ mask, classes }, view, x, y) {
  const at = y * mask.widthPx + x;
  const id = mask.ids[at];
  if (view === 'contour') return isDrawn(classes, id) && isOnLine(mask, x, y) ? 1 : 0;
  const counts = view === 'cut-out' ? isKept(classes, id) : isDrawn(classes, id);
  if (!counts) return 0;
  return mask.confidence ? softness(mask.confidence[at]) : 1;
}

/** The mask's pixels around a place in the output, each with its part. */
function around({ widthPx, heightPx }, size, x, y) {
  const axis = (place, length, all) => {
    const exact = ((place + 0.5) * length) / all - 0.5;
    const low = Math.floor(exact);
    const inside = (at) => Math.min(length - 1, Math.max(0, at));
    return [[inside(low), 1 - (exact - low)], [inside(low + 1), exact - low]];
  };
  const columns = axis(x, widthPx, size.widthPx);
  const rows = axis(y, heightPx, size.heightPx);
  return rows.flatMap(([row, rowPart]) => columns.map(([column, columnPart]) => [column, row, rowPart * columnPart])).filter(([, , part]) => part > 1e-9);
}

function hueOf([red, green, blue]) {
  const high = Math.max(red, green, blue);
  const span = high - Math.min(red, green, blue);
  if (span === 0) return null;
  if (high === red) return ((green - blue) / span + 6) % 6;
  return high === green ? (blue - red) / span + 2 : (red - green) / span + 4;
}

/** The pixel's saturation and value, with this hue in sixths of a turn. */
function inHue(pixel, hue) {
  const value = Math.max(...pixel);
  const low = Math.min(...pixel);
  const sector = Math.floor(hue) % 6;
  const middle = sector % 2 === 0 ? low + (value - low) * (hue - sector) : value - (value - low) * (hue - sector);
  return [
    [value, middle, low],
    [middle, value, low],
    [low, value, middle],
    [low, middle, value],
    [middle, low, value],
    [value, low, middle],
  ][sector];
}

function paintedPixel(layer, { view, opacity, backdrop }, size, pixel, x, y) {
  if (!layer.mask) return [...pixel, 255];
  let sum = [0, 0, 0];
  let weights = 0;
  for (const [column, row, part] of around(layer.mask, size, x, y)) {
    let weight = part * weightAt(layer, view, column, row);
    const colour = layer.classes.palette[layer.mask.ids[row * layer.mask.widthPx + column]] ?? [128, 128, 128];
    let over = colour;
    if (view === 'blend') {
      const hue = hueOf(colour);
      if (hue === null) weight = 0;
      else over = inHue(pixel, hue);
    } else if (view === 'cut-out') over = pixel;
    else if (view !== 'contour') weight *= opacity;
    sum = sum.map((total, channel) => total + weight * over[channel]);
    weights += weight;
  }
  const behind = view === 'cut-out' ? backdrop : [...pixel, 255];
  return [...sum, 255 * weights].map((total, channel) => total + (1 - weights) * behind[channel]);
}

/**
 * @param scene `picture` is RGBA bytes as large as the output; `layer` and `other.layer` have a mask and classes; a cut-out's
 *   backdrop is a premultiplied colour.
 */
export function expectedOf({ picture, layer, other, look, widthPx, heightPx }) {
  const isDouble = look.view === 'side-by-side';
  const allPx = isDouble ? 2 * widthPx : widthPx;
  const out = new Uint8ClampedArray(4 * allPx * heightPx); // Rounds.
  for (let y = 0; y < heightPx; y += 1) {
    for (let x = 0; x < widthPx; x += 1) {
      const from = look.isMirrored ? widthPx - 1 - x : x;
      const pixel = [...picture.subarray(4 * (y * widthPx + from), 4 * (y * widthPx + from) + 3)];
      const shown = other && x + 0.5 >= other.split * widthPx ? other.layer : layer;
      const painted = paintedPixel(shown, look, { widthPx, heightPx }, pixel, from, y);
      out.set(painted, 4 * (y * allPx + (isDouble ? widthPx : 0) + x));
      if (isDouble) out.set([...pixel, 255], 4 * (y * allPx + x));
    }
  }
  return out;
}
