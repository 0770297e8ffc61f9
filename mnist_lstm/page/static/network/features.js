/**
 * Gradient features: how steeply the ink rises at each pixel in each of eight directions, as
 * `mnist_lstm/network/gradient_features.py` has them.
 */

import { SIZE } from "./deskew.js";

/** The ink, and its slope in each of eight directions. */
export const VALUES_PER_PIXEL = 9;

/**
 * Append to each row the slopes of its ink: to the right, the lower right, down, the upper right, and their opposites.
 *
 * @param {Float64Array} rows (length, 28)
 * @param {number} length
 * @param {number} paper beyond the rows and beside them
 * @param {Float64Array} result takes (length, 9 * 28)
 */
export function appendGradientFeatures(rows, length, paper, result) {
  const width = VALUES_PER_PIXEL * SIZE;
  for (let row = 0; row < length; row++) {
    for (let column = 0; column < SIZE; column++) {
      const at = row * SIZE + column;
      const right = ((column + 1 < SIZE ? rows[at + 1] : paper) - (column > 0 ? rows[at - 1] : paper)) / 2;
      const down = ((row + 1 < length ? rows[at + SIZE] : paper) - (row > 0 ? rows[at - SIZE] : paper)) / 2;
      const out = row * width + column;
      result[out] = rows[at];
      setSlope(result, out + SIZE, right);
      setSlope(result, out + 2 * SIZE, (right + down) * Math.SQRT1_2);
      setSlope(result, out + 3 * SIZE, down);
      setSlope(result, out + 4 * SIZE, (right - down) * Math.SQRT1_2);
    }
  }
}

/** Set a slope where it is positive, and its opposite, four directions later, where it is negative. */
function setSlope(result, at, slope) {
  result[at] = slope > 0 ? slope : 0;
  result[at + 4 * SIZE] = slope < 0 ? -slope : 0;
}
