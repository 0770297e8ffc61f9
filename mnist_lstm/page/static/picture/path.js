/** Of all ways to cut a line into digits, the most likely one: `Line.best_path` of `lines.py`. */

/**
 * The spans that are the most likely digits, and the share of this way in all ways. A way covers the line from left to
 * right. Its weight is the product of exp(-penalty) and, for each span, of how likely it is to be a digit at all.
 *
 * @param {{pieces: number, spans: object[]}} line from `findSpans`
 * @param {number[]} probabilities of the most likely digit of each span
 */
export function bestPath({ pieces, spans }, probabilities) {
  const best = Array.from({ length: pieces + 1 }, (_, n) => ({ cost: n ? Infinity : 0, path: [] }));
  const total = best.map((_, n) => (n ? 0 : 1)); // weight of all ways to a place
  const certain = new Map(spans.map(({ start, end }, n) => [`${start} ${end}`, probabilities[n]]));
  const order = spans.map((_, n) => n).sort((a, b) => spans[a].end - spans[b].end);
  for (const n of order) {
    const { start, end, penalty, whole } = spans[n];
    let weight = Math.exp(-penalty) * Math.max((probabilities[n] - 0.1) / 0.9, 1e-9);
    if (whole) weight *= 1 - certain.get(whole.join(" "));
    const cost = best[start].cost - Math.log(Math.max(weight, 1e-300));
    total[end] += total[start] * weight;
    if (cost < best[end].cost) best[end] = { cost, path: [...best[start].path, n] };
  }
  const { cost, path } = best[pieces];
  return { path, share: Math.min(1, Math.exp(-cost) / Math.max(total[pieces], 1e-300)) };
}
