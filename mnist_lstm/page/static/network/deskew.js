/**
 * Deskew a digit: shear it so that its main axis is upright, and centre it, as `mnist_lstm/network/deskew.py` does.
 */

export const SIZE = 28;

const MAX_SLANT = 1; // columns per row
const SAMPLING = -0.75; // of bicubic sampling, as in PyTorch

/** Weights of the four pixels around a point that is a share `t` of a pixel after the second of them. */
function setCubic(weights, t) {
  const near = (x) => ((SAMPLING + 2) * x - (SAMPLING + 3)) * x * x + 1;
  const far = (x) => ((SAMPLING * x - 5 * SAMPLING) * x + 8 * SAMPLING) * x - 4 * SAMPLING;
  weights[0] = far(t + 1);
  weights[1] = near(t);
  weights[2] = near(1 - t);
  weights[3] = far(2 - t);
}

/** Centre and slant of the ink: x and y from the middle of the image, columns per row. */
function measure(ink) {
  let sum = 0;
  let x = 0;
  let y = 0;
  const middle = (SIZE - 1) / 2;
  for (let at = 0; at < ink.length; at++) {
    const weight = Math.max(ink[at], 0);
    sum += weight;
    x += weight * ((at % SIZE) - middle);
    y += weight * (Math.floor(at / SIZE) - middle);
  }
  sum = Math.max(sum, 1e-6);
  x /= sum;
  y /= sum;
  let covariance = 0;
  let variance = 0;
  for (let at = 0; at < ink.length; at++) {
    const weight = Math.max(ink[at], 0) / sum;
    const above = Math.floor(at / SIZE) - middle - y;
    covariance += weight * ((at % SIZE) - middle - x) * above;
    variance += weight * above * above;
  }
  const slant = covariance / Math.max(variance, 1);
  return { x, y, slant: Math.min(Math.max(slant, -MAX_SLANT), MAX_SLANT) };
}

/**
 * @param {Float64Array} ink (28 * 28), 0 for paper, also beyond the border
 * @returns {Float64Array} (28 * 28)
 */
export function deskew(ink) {
  const { x, y, slant } = measure(ink);
  const result = new Float64Array(ink.length);
  const across = new Float64Array(4);
  const down = new Float64Array(4);
  const middle = (SIZE - 1) / 2;
  const top = Math.floor(y);
  setCubic(down, y - top);
  for (let row = 0; row < SIZE; row++) {
    const shift = x + slant * (row - middle); // the same for the whole row
    const left = Math.floor(shift);
    setCubic(across, shift - left);
    for (let column = 0; column < SIZE; column++) {
      let value = 0;
      for (let i = 0; i < 4; i++) {
        const fromRow = row + top + i - 1;
        if (fromRow < 0 || fromRow >= SIZE) continue;
        for (let j = 0; j < 4; j++) {
          const from = column + left + j - 1;
          if (from >= 0 && from < SIZE) value += down[i] * across[j] * ink[fromRow * SIZE + from];
        }
      }
      result[row * SIZE + column] = value;
    }
  }
  return result;
}
