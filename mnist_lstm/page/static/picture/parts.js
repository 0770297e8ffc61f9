/**
 * Connected parts of the ink, and which of them are writing: `mnist_lstm/inference/picture/parts.py` and `writing.py`,
 * without the rules about shadows, printed lines and faint ink, which a drawing has not.
 */

import { squaredDistance } from "./distance.js";
import { quantile } from "./numbers.js";

const FILLED = 0.9; // of its rectangle that a digit fills which is wider than 0.45 of its height, at most
const SAMPLED = 4; // strokes are measured in each fourth row: they are much wider in a large drawing

/**
 * A box, in pixels of the ink that was cut out, half-open: `left`, `top`, `right`, `bottom`. A part has `label` (its
 * number in `labels`), `area`, `stroke` (width where it is widest but for a tenth), `side` (the longer one) and `edges`
 * (of the drawing that it touches) as well.
 *
 * @typedef {{left, top, right, bottom, label, area, stroke, side, edges}} Part
 */

/**
 * @param {object} ink from `measureInk`
 * @returns {{parts: Part[], labels: Int32Array}} the largest first, and the number of each pixel's part, 0 for paper
 */
export function findParts(ink) {
  const { width, height, strength, weak, strong } = ink;
  const mask = new Uint8Array(strength.length);
  for (let at = 0; at < mask.length; at++) mask[at] = strength[at] > weak ? 1 : 0;
  const labels = new Int32Array(mask.length);
  const every = height > 200 ? SAMPLED : 1;
  const depths = squaredDistance(mask, width, height, true, every);
  const pixels = new Int32Array(mask.length);
  const parts = [];
  for (let at = 0, label = 0; at < mask.length; at++) {
    if (!mask[at] || labels[at]) continue;
    const count = fill(mask, labels, width, height, at, ++label, pixels);
    const own = pixels.subarray(0, count);
    if (count < 4 || !own.some((pixel) => strength[pixel] >= strong)) continue;
    parts.push(measurePart(own, depths, label, ink));
  }
  return { parts: parts.sort((a, b) => b.area - a.area), labels };
}

/** Give a number to all pixels that are connected with one, also over corners; list them, and return how many. */
function fill(mask, labels, width, height, start, label, pixels) {
  let count = 1;
  pixels[0] = start;
  labels[start] = label;
  for (let n = 0; n < count; n++) {
    const at = pixels[n];
    const x = at % width;
    const first = at - x === 0 ? 0 : -width;
    const last = at + width >= mask.length ? 0 : width;
    for (let row = first; row <= last; row += width) {
      for (let side = x === 0 ? 0 : -1; side <= 1 && x + side < width; side++) {
        const other = at + row + side;
        if (mask[other] === 0 || labels[other] !== 0) continue;
        labels[other] = label;
        pixels[count++] = other;
      }
    }
  }
  return count;
}

function measurePart(pixels, depths, label, { left: x0, top: y0, width, whole }) {
  let left = Infinity;
  let top = Infinity;
  let right = 0;
  let bottom = 0;
  let count = 0;
  const measured = new Float64Array(pixels.length);
  for (let n = 0; n < pixels.length; n++) {
    const x = pixels[n] % width;
    const y = (pixels[n] - x) / width;
    if (x < left) left = x;
    if (x >= right) right = x + 1;
    if (y < top) top = y;
    if (y >= bottom) bottom = y + 1;
    if (depths[pixels[n]] > 0) measured[count++] = Math.sqrt(depths[pixels[n]]);
  }
  const stroke = count ? 2 * quantile(measured.subarray(0, count), 0.9) : 2;
  const atEdge = [x0 + left === 0, y0 + top === 0, x0 + right === whole.width, y0 + bottom === whole.height];
  const side = Math.max(right - left, bottom - top);
  return { left, top, right, bottom, label, area: pixels.length, stroke, side, edges: atEdge.filter(Boolean).length };
}

/**
 * Leave out dots, specks, and what runs over the edge beside digits that do not.
 *
 * @param {Part[]} parts
 * @param {{whole: {width, height}}} ink
 */
export function selectWriting(parts, { whole }) {
  const long = Math.max(whole.width, whole.height);
  let writing = parts.filter((part) => isStroke(part, long));
  const inside = writing.filter((part) => part.edges === 0);
  const largest = Math.max(0, ...inside.map((part) => part.side));
  if (writing.length === 0) return [];
  if (largest >= 0.07 * long) {
    const typical = typicalPart(inside.filter((part) => part.side >= 0.3 * largest));
    const isAlike = (ratio) => ratio > 0.5 && ratio < 1.6;
    writing = writing.filter(
      (part) =>
        part.edges === 0 ||
        (part.edges === 1 && isAlike(part.stroke / typical.stroke) && isAlike(part.side / typical.side)),
    );
  }
  const typical = typicalPart(writing);
  return writing.filter((part) => part === typical || !isSpeck(part, typical));
}

/** Whether a part is neither tiny nor a blob. */
function isStroke(part, long) {
  const { left, top, right, bottom, side, stroke, area } = part;
  if (side <= Math.max(5, 0.01 * long)) return false;
  const filled = area / ((right - left) * (bottom - top));
  const isSheet = filled > FILLED && Math.min(right - left, bottom - top) > 0.45 * side;
  return !isSheet && !(filled > 0.65 && stroke > 0.6 * side);
}

/** The part of median size, weighted by size: specks count little. */
function typicalPart(parts) {
  const ordered = [...parts].sort((a, b) => a.side - b.side);
  const half = ordered.reduce((sum, part) => sum + part.side ** 2, 0) / 2;
  let sum = 0;
  return ordered.find((part) => (sum += part.side ** 2) >= half);
}

/** Whether a part is much smaller or thicker than the typical one. */
function isSpeck(part, typical) {
  const isSmall = part.side < Math.max(1.5 * typical.stroke, 0.14 * typical.side);
  return isSmall || (part.stroke > 3.5 * typical.stroke && part.side > 2 * typical.side);
}
