/**
 * Which pixels of a drawing are ink? The rules are those of `mnist_lstm/inference/picture/ink.py`, as far as they act
 * on a drawing: its ground is white all over, so that there are no shadows, no grain and no photograph's edges.
 */

import { boxAround } from "./box.js";
import { roundEven } from "./numbers.js";

const SMOOTH_SIDE = 400; // longer side, in pixels, of a picture that is blurred by half a pixel, larger ones by more
export const SOFT = 2; // pixels around a part that belong to the soft edge of its strokes
const FLOOR = 0.025; // anything fainter is not ink

/**
 * @param {{width: number, height: number, ink: Uint8Array}} drawing 0 paper to 255 ink
 * @returns {?object} null if there is no ink; otherwise the part of the drawing around it: `left` and `top`, `width`
 *     and `height`, `strength` (height, width) from 0 to 1, `weak`, the least strength of ink, `strong`, which some
 *     pixel of every stroke reaches, and `whole`, the drawing's own width and height
 */
export function measureInk(drawing) {
  const side = Math.max(drawing.width, drawing.height);
  const kernel = side > SMOOTH_SIDE ? gaussian(side / (2 * SMOOTH_SIDE)) : [1];
  const box = cropToInk(drawing, Math.max(SOFT, (kernel.length - 1) / 2));
  if (!box) return null;
  const { width, height } = box;
  const across = blurLines(box.strength, width, height, 1, width, kernel);
  const strength = blurLines(across, height, width, width, 1, kernel);
  const inked = above(strength, FLOOR);
  if (inked.length < 4) return null;
  const strong = Math.max(1.2 * FLOOR, otsu(inked));
  const whole = { width: drawing.width, height: drawing.height };
  return { ...box, strength, strong, weak: Math.max(FLOOR, 0.45 * strong), whole };
}

/** Those of the values that are larger than a limit. */
function above(values, limit) {
  const result = new Float64Array(values.length);
  let count = 0;
  for (let n = 0; n < values.length; n++) if (values[n] > limit) result[count++] = values[n];
  return result.subarray(0, count);
}

/** Cut out the ink, with room for the soft edges of its strokes. */
function cropToInk({ width, height, ink }, margin) {
  const box = boxAround(ink, width, height);
  if (!box) return null;
  const left = Math.max(0, box.left - margin);
  const top = Math.max(0, box.top - margin);
  const wide = Math.min(width, box.right + 1 + margin) - left;
  const high = Math.min(height, box.bottom + 1 + margin) - top;
  const strength = new Float64Array(wide * high);
  for (let y = 0; y < high; y++) {
    for (let x = 0; x < wide; x++) strength[y * wide + x] = ink[(top + y) * width + left + x] / 255;
  }
  return { left, top, width: wide, height: high, strength };
}

/** Weights of a bell curve with this deviation in pixels; their number is odd. */
function gaussian(deviation) {
  const half = roundEven(8 * deviation + 1) >> 1;
  const weights = Array.from({ length: 2 * half + 1 }, (_, n) => Math.exp(-((n - half) ** 2) / (2 * deviation ** 2)));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/**
 * Blur `lines` lines of `length` pixels each, which are mirrored at their ends.
 *
 * @param {number} step from a pixel of a line to the next
 * @param {number} next from a line to the next
 */
function blurLines(picture, length, lines, step, next, kernel) {
  const half = (kernel.length - 1) / 2;
  if (half === 0) return picture;
  const result = new Float64Array(picture.length);
  const line = new Float64Array(length + 2 * half);
  for (let start = 0, n = 0; n < lines; n++, start += next) {
    for (let k = -half; k < length + half; k++) {
      const from = k < length ? Math.abs(k) : Math.max(0, 2 * (length - 1) - k);
      line[k + half] = picture[start + from * step];
    }
    for (let to = 0; to < length; to++) {
      let sum = 0;
      for (let k = 0; k < kernel.length; k++) sum += kernel[k] * line[to + k];
      result[start + to * step] = sum;
    }
  }
  return result;
}

/** The threshold that divides values best into two classes, with the least variance within them (Otsu 1979). */
function otsu(values) {
  const low = values.reduce((least, value) => Math.min(least, value), Infinity);
  const high = values.reduce((largest, value) => Math.max(largest, value), -Infinity);
  if (high - low < 1e-6) return high;
  const counts = new Float64Array(256);
  for (const value of values) counts[roundEven(((value - low) * 255) / (high - low))]++;
  const mean = counts.reduce((sum, count, level) => sum + count * level, 0) / values.length;
  let [best, level, below, sum] = [0, 0, 0, 0];
  for (let n = 0; n < 255; n++) {
    below += counts[n] / values.length;
    sum += (counts[n] * n) / values.length;
    if (below < 1e-7 || below > 1 - 1e-7) continue;
    const between = (mean * below - sum) ** 2 / (below * (1 - below));
    if (between > best) [best, level] = [between, n];
  }
  const threshold = low + ((level + 0.5) * (high - low)) / 255;
  // anywhere in a gap between two levels the variance is the same: take the middle of the gap
  let [under, over] = [low, high];
  for (const value of values) {
    if (value <= threshold) under = Math.max(under, value);
    else over = Math.min(over, value);
  }
  return (under + over) / 2;
}
