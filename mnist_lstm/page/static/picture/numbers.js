/** Small helpers with numbers, which round and interpolate as Python and NumPy do. */

/** Round to the nearest whole number, a half to the even one. */
export function roundEven(x) {
  const below = Math.floor(x);
  const rest = x - below;
  if (rest === 0.5) return below % 2 === 0 ? below : below + 1;
  return rest < 0.5 ? below : below + 1;
}

export function clamp(x, low, high) {
  return Math.min(Math.max(x, low), high);
}

/**
 * The value below which a share of the values lies, interpolated between the two nearest.
 *
 * @param {Float64Array} values is sorted by this call
 * @param {number} share 0 to 1
 */
export function quantile(values, share) {
  values.sort();
  const at = share * (values.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, values.length - 1);
  return values[below] + (at - below) * (values[above] - values[below]);
}
