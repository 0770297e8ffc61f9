/** Resize a picture with bicubic interpolation, averaging over more pixels where it shrinks, as Pillow does. */

const SHARPNESS = -0.5;

function cubic(x) {
  const far = Math.abs(x);
  if (far < 1) return ((SHARPNESS + 2) * far - (SHARPNESS + 3)) * far * far + 1;
  if (far < 2) return (((far - 5) * far + 8) * far - 4) * SHARPNESS;
  return 0;
}

/** For each pixel of a line of `to` pixels: the first of the `from` pixels that it depends on, and their weights. */
function weightsOf(from, to) {
  const scale = from / to;
  const wide = Math.max(scale, 1);
  return Array.from({ length: to }, (_, n) => {
    const centre = (n + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - 2 * wide + 0.5));
    const end = Math.min(from, Math.trunc(centre + 2 * wide + 0.5));
    const weights = Float64Array.from({ length: end - first }, (_, k) => cubic((first + k - centre + 0.5) / wide));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/**
 * @param {ArrayLike<number>} picture (height, width)
 * @param {boolean} isBytes whether values are whole numbers from 0 to 255, and are rounded after each direction
 * @returns {Float64Array} (newHeight, newWidth)
 */
export function resize(picture, width, height, newWidth, newHeight, isBytes) {
  const finish = isBytes ? (x) => Math.min(Math.max(Math.floor(x + 0.5), 0), 255) : (x) => x;
  const across = weightsOf(width, newWidth);
  const narrow = new Float64Array(height * newWidth);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < newWidth; x++) {
      const { first, weights } = across[x];
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * picture[y * width + first + k];
      narrow[y * newWidth + x] = finish(sum);
    }
  }
  const down = weightsOf(height, newHeight);
  const result = new Float64Array(newHeight * newWidth);
  for (let y = 0; y < newHeight; y++) {
    const { first, weights } = down[y];
    for (let x = 0; x < newWidth; x++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * narrow[(first + k) * newWidth + x];
      result[y * newWidth + x] = finish(sum);
    }
  }
  return result;
}
