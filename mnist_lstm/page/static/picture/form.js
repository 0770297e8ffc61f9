/**
 * Bring the ink of a digit into MNIST's form, 28x28 pixels: its size, its stroke width and its place. The rules are
 * those of `mnist_lstm/inference/picture/form.py` and of `place` in `mnist_lstm/data/format.py`.
 */

import { SIZE } from "../network/deskew.js";
import { boxAround } from "./box.js";
import { squaredDistance } from "./distance.js";
import { clamp, quantile, roundEven } from "./numbers.js";
import { resize } from "./resize.js";

const BOX = 20; // the longer side of a digit, in pixels
const FINE = 4; // strokes are measured and redrawn on a grid with this many pixels per pixel of the result
// stroke widths between which nearly all of MNIST lies; others are brought there
const THINNEST = 1.25;
const THICKEST = 5;

/**
 * @param {Float64Array} ink (height, width), 0 to 1
 * @returns {Uint8Array} (28 * 28), 0 paper to 255 ink
 */
export function toMnist(ink, width, height) {
  const scale = (FINE * BOX) / Math.max(width, height);
  const innerWidth = Math.max(1, roundEven(width * scale));
  const innerHeight = Math.max(1, roundEven(height * scale));
  const inner = resize(ink, width, height, innerWidth, innerHeight, false);
  const margin = 3 * FINE; // room for strokes that get thicker
  const wide = innerWidth + 2 * margin;
  const high = innerHeight + 2 * margin;
  const drawn = new Float64Array(wide * high);
  for (let y = 0; y < innerHeight; y++) {
    drawn.set(inner.subarray(y * innerWidth, (y + 1) * innerWidth), (y + margin) * wide + margin);
  }
  const inked = drawn.filter((value) => value > 0.04);
  if (inked.length === 0) return new Uint8Array(SIZE * SIZE);
  // a hair line fades when it is reduced
  const full = clamp(quantile(inked, 0.8), 0.05, 1);
  for (let at = 0; at < drawn.length; at++) drawn[at] /= full;
  setStrokeWidth(drawn, wide, high);
  const levels = Uint8Array.from(drawn, (value) => (value < 0.06 ? 0 : roundEven(255 * Math.min(value, 1))));
  return place(levels, wide, high);
}

/** Make strokes that are thinner or thicker than those of MNIST as wide as its thinnest or thickest. */
function setStrokeWidth(drawn, width, height) {
  const mask = Uint8Array.from(drawn, (value) => (value > 0.5 ? 1 : 0));
  if (!mask.includes(1)) return;
  const inside = squaredDistance(mask, width, height, true);
  const stroke = strokeWidth(inside, width, height) / FINE;
  const wanted = clamp(stroke, THINNEST, THICKEST);
  if (stroke === wanted) return;
  const outside = squaredDistance(mask.map((value) => 1 - value), width, height, false);
  for (let at = 0; at < drawn.length; at++) {
    // distance to the stroke's edge, negative within
    const edge = mask[at] ? 0.5 - Math.sqrt(inside[at]) : Math.sqrt(outside[at]) - 0.5;
    drawn[at] = 0.5 + (((wanted - stroke) / 2) * FINE - edge) / FINE;
  }
}

/** The median width of the strokes in pixels: twice the distance from their middle line to the paper. */
function strokeWidth(inside, width, height) {
  const ridge = [];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (inside[at] > 0 && isLargest(inside, width, height, x, y)) ridge.push(Math.sqrt(inside[at]));
    }
  }
  return 2 * quantile(Float64Array.from(ridge), 0.5) - 1;
}

function isLargest(values, width, height, x, y) {
  const value = values[y * width + x];
  for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++) {
    for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
      if (values[v * width + u] > value) return false;
    }
  }
  return true;
}

/** Scale a digit to a 20-pixel box, and put its centre of mass to the centre of 28x28 pixels. */
function place(levels, width, height) {
  const image = new Uint8Array(SIZE * SIZE);
  const box = boxAround(levels, width, height);
  if (!box) return image;
  const { left, top, right, bottom } = box;
  const wide = right + 1 - left;
  const high = bottom + 1 - top;
  const scale = BOX / Math.max(wide, high);
  const newWidth = Math.max(1, roundEven(wide * scale));
  const newHeight = Math.max(1, roundEven(high * scale));
  const cut = Float64Array.from({ length: wide * high }, (_, at) => {
    return levels[(top + Math.floor(at / wide)) * width + left + (at % wide)];
  });
  const digit = resize(cut, wide, high, newWidth, newHeight, true);
  let [sum, x, y] = [0, 0, 0];
  digit.forEach((level, at) => {
    sum += level;
    x += level * (at % newWidth);
    y += level * Math.floor(at / newWidth);
  });
  const toLeft = clamp(roundEven(SIZE / 2 - x / sum), 0, SIZE - newWidth);
  const toTop = clamp(roundEven(SIZE / 2 - y / sum), 0, SIZE - newHeight);
  for (let row = 0; row < newHeight; row++) {
    image.set(digit.subarray(row * newWidth, (row + 1) * newWidth), (toTop + row) * SIZE + toLeft);
  }
  return image;
}
