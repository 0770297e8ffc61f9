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
 * @param {Float64Array} values are put into another order by this call
 * @param {number} share 0 to 1
 */
export function quantile(values, share) {
  const at = share * (values.length - 1);
  const below = Math.floor(at);
  const value = select(values, below);
  if (at === below) return value;
  let next = Infinity;
  for (let n = below + 1; n < values.length; n++) if (values[n] < next) next = values[n];
  return value + (at - below) * (next - value);
}

/** Put the value to its place that would be there if all were sorted, larger ones after it; faster than sorting. */
function select(values, place) {
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const middle = values[(low + high) >> 1];
    let i = low;
    let j = high;
    while (i <= j) {
      while (values[i] < middle) i++;
      while (values[j] > middle) j--;
      if (i > j) break;
      const swapped = values[i];
      values[i++] = values[j];
      values[j--] = swapped;
    }
    if (place <= j) high = j;
    else if (place >= i) low = i;
    else break;
  }
  return values[place];
}
