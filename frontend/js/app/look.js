/**
 * @import { Choices } from '../core/settings.js'
 * @import { Backdrop, Look } from '../paint/scene.js'
 */

/**
 * How the user's choices are painted.
 *
 * @param {Choices} choices
 * @param {{ isMirrored: boolean, picture: ImageBitmap | null }} now The picture is the background's; until there is one the
 *   background is its colour.
 * @returns {Look}
 */
export function lookOf({ view, opacity, backdrop, colour }, { isMirrored, picture }) {
  return { view, opacity, isMirrored, backdrop: backdropOf(backdrop, colour, picture) };
}

/**
 * @param {Choices['backdrop']} backdrop
 * @param {string} colour
 * @param {ImageBitmap | null} picture
 * @returns {Backdrop}
 */
function backdropOf(backdrop, colour, picture) {
  if (backdrop === 'picture' && picture) return { kind: 'picture', picture };
  if (backdrop === 'blur' || backdrop === 'transparent') return { kind: backdrop };
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return { kind: 'colour', colour: [red, green, blue] };
}

/** As large as a painted picture gets. */
const MOST_PIXELS_A_SIDE = 1280;

/**
 * @param {File} file
 * @returns {Promise<ImageBitmap | null>} Null where the browser can't read it.
 */
export async function pictureFrom(file) {
  try {
    const whole = await createImageBitmap(file);
    const scale = Math.min(1, MOST_PIXELS_A_SIDE / Math.max(whole.width, whole.height));
    const resizeWidth = Math.max(1, Math.round(whole.width * scale));
    const resizeHeight = Math.max(1, Math.round(whole.height * scale));
    const picture = await createImageBitmap(whole, { resizeWidth, resizeHeight, resizeQuality: 'high' });
    whole.close();
    return picture;
  } catch {
    return null;
  }
}
