/** How far each pixel of a shape is from its edge. */

/**
 * The square of the distance of each pixel of a mask to the nearest pixel outside it, 0 for those outside.
 *
 * @param {Uint8Array} mask (height, width), 1 inside
 * @param {boolean} isOutsideBeyond whether what is beyond the picture counts as outside
 * @param {number} [every] only rows whose number is a multiple of it are computed, to save time; the others are 0
 * @returns {Float64Array} (height, width); Infinity where there is nothing outside
 */
export function squaredDistance(mask, width, height, isOutsideBeyond, every = 1) {
  const beyond = isOutsideBeyond ? 0 : Infinity;
  const down = new Float64Array(mask.length); // to the nearest pixel outside in the same column
  for (let x = 0; x < width; x++) {
    let far = beyond;
    for (let at = x; at < mask.length; at += width) down[at] = far = mask[at] ? far + 1 : 0;
    far = beyond;
    for (let at = mask.length - width + x; at >= 0; at -= width) {
      far = mask[at] ? far + 1 : 0;
      if (far < down[at]) down[at] = far;
    }
  }
  const result = new Float64Array(mask.length);
  for (let y = 0; y < height; y += every) {
    for (let x = 0, at = y * width; x < width; x++, at++) {
      if (!mask[at]) continue;
      let best = down[at] ** 2;
      const reach = Math.max(x + 1, width - x);
      for (let d = 1; d <= reach && d * d < best; d++) {
        const left = x - d >= 0 ? down[at - d] : beyond;
        const right = x + d < width ? down[at + d] : beyond;
        best = Math.min(best, d * d + Math.min(left, right) ** 2);
      }
      result[at] = best;
    }
  }
  return result;
}
