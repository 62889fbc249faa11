/**
 * The fragment shaders of the passes. Layers are premultiplied: their colours are multiplied by their weights, so that mixing
 * neighbours mixes both rightly.
 *
 * Invariant: where a texture is as large as the output it is read pixel by pixel, so that nothing is rounded away.
 */

const PRECISION = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp usampler2D;
`;

/** Reading the picture and the layers at a place in the picture, 0 to 1. */
const READING = `
uniform sampler2D picture;
uniform sampler2D first;
uniform sampler2D second;
uniform float split;
uniform bool isMirrored;

vec4 read(sampler2D image, vec2 place, ivec2 size) {
  if (textureSize(image, 0) == size) return texelFetch(image, ivec2(place * vec2(size)), 0);
  return textureLod(image, place, 0.0);
}

vec4 readLayer(vec2 place, ivec2 size) {
  float across = isMirrored ? 1.0 - place.x : place.x;
  if (across < split) return read(first, place, size);
  return read(second, place, size);
}
`;

/** A mask becomes a layer of its own size. */
export const LAYER = `${PRECISION}
uniform usampler2D classIds;
uniform usampler2D confidence;
uniform sampler2D palette;
uniform sampler2D softStep;
uniform int reach; // Of a line; 0 for whole areas.
uniform bool isSoft;
out vec4 layer;

// A place outside the mask is moved to its edge, which lies nearer and is looked at anyway.
bool isOnLine(ivec2 at, uint id) {
  ivec2 last = textureSize(classIds, 0) - 1;
  for (int distance = 1; distance <= reach; distance += 1) {
    if (texelFetch(classIds, ivec2(max(at.x - distance, 0), at.y), 0).r != id) return true;
    if (texelFetch(classIds, ivec2(min(at.x + distance, last.x), at.y), 0).r != id) return true;
    if (texelFetch(classIds, ivec2(at.x, max(at.y - distance, 0)), 0).r != id) return true;
    if (texelFetch(classIds, ivec2(at.x, min(at.y + distance, last.y)), 0).r != id) return true;
  }
  return false;
}

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  uint id = texelFetch(classIds, at, 0).r;
  vec4 entry = texelFetch(palette, ivec2(id, 0), 0);
  float weight = entry.a;
  if (isSoft) weight *= texelFetch(softStep, ivec2(texelFetch(confidence, at, 0).r, 0), 0).a;
  if (reach > 0 && !isOnLine(at, id)) weight = 0.0;
  layer = vec4(entry.rgb * weight, weight);
}`;

/** The picture without what is kept, small: each pixel weighs what is left of it. */
export const SHRINK = `${PRECISION}${READING}
uniform ivec2 size;
out vec4 left;

const int TAPS = 4;

void main() {
  vec4 sum = vec4(0.0);
  for (int y = 0; y < TAPS; y += 1) {
    for (int x = 0; x < TAPS; x += 1) {
      vec2 place = (floor(gl_FragCoord.xy) + (vec2(x, y) + 0.5) / float(TAPS)) / vec2(size);
      float weight = 1.0 - readLayer(place, size).a;
      sum += vec4(read(picture, place, size).rgb * weight, weight);
    }
  }
  left = sum / float(TAPS * TAPS);
}`;

/** One direction of a Gaussian blur. */
export const BLUR = `${PRECISION}
uniform sampler2D image;
uniform ivec2 direction;
uniform float sigmaPx;
out vec4 blurred;

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  ivec2 size = textureSize(image, 0);
  int reach = int(ceil(2.5 * sigmaPx));
  vec4 sum = vec4(0.0);
  float weights = 0.0;
  for (int distance = -reach; distance <= reach; distance += 1) {
    ivec2 near = at + distance * direction;
    if (any(lessThan(near, ivec2(0))) || any(greaterThanEqual(near, size))) continue;
    float weight = exp(-0.5 * float(distance * distance) / (sigmaPx * sigmaPx));
    sum += weight * texelFetch(image, near, 0);
    weights += weight;
  }
  blurred = sum / weights;
}`;

/** How the last pass mixes picture and layer. */
export const MIX = { cover: 0, hue: 1, cutOut: 2 };

/** The picture and its layers become what is seen. */
export const SCENE = `${PRECISION}${READING}
uniform sampler2D backdrop;
uniform ivec2 size; // Of one picture.
uniform bool isDouble;
uniform int mixing;
uniform float opacity;
uniform vec4 backdropColour; // Premultiplied; used where there is no texture.
uniform bool hasBackdropTexture;
uniform bool followsPicture; // The backdrop's texture, as opposed to standing still.
uniform vec4 backdropCrop; // Corner and size of what is seen of it.
uniform float backdropLevel;
out vec4 seen;

// The pixel's saturation and value of HSV, with the layer's hue.
vec3 inHue(vec3 pixel, vec4 layer) {
  float value = max(pixel.r, max(pixel.g, pixel.b));
  float span = value - min(pixel.r, min(pixel.g, pixel.b));
  return pixel * (1.0 - layer.a) + value * layer.a - span * (layer.a - layer.rgb);
}

vec4 readBackdrop(vec2 placeInPicture, vec2 placeOnScreen) {
  if (!hasBackdropTexture) return backdropColour;
  vec2 place = backdropCrop.xy + backdropCrop.zw * (followsPicture ? placeInPicture : placeOnScreen);
  vec4 colour = textureLod(backdrop, place, backdropLevel);
  return vec4(colour.rgb / max(colour.a, 1.0 / 255.0), 1.0);
}

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  at.y = size.y - 1 - at.y;
  bool isPlain = isDouble && at.x < size.x;
  if (at.x >= size.x) at.x -= size.x;
  vec2 placeOnScreen = (vec2(at) + 0.5) / vec2(size);
  if (isMirrored) at.x = size.x - 1 - at.x;
  vec2 place = (vec2(at) + 0.5) / vec2(size);

  vec3 pixel = read(picture, place, size).rgb;
  vec4 layer = isPlain ? vec4(0.0) : readLayer(place, size);
  if (mixing == ${MIX.cutOut}) seen = vec4(pixel * layer.a, layer.a) + readBackdrop(place, placeOnScreen) * (1.0 - layer.a);
  else if (mixing == ${MIX.hue}) seen = vec4(inHue(pixel, layer), 1.0);
  else seen = vec4(pixel * (1.0 - opacity * layer.a) + opacity * layer.rgb, 1.0);
}`;
