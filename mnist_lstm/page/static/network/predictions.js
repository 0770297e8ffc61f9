/**
 * What the network would answer after each row, from the rows read so far alone: `_classify_prefixes` in
 * `mnist_lstm/explain/explanation.py`, where the sequence ends after these rows.
 */

import { SIZE } from "./deskew.js";

/**
 * Compute the answer after each row, one row at each call of `next`, so that the caller can stop in between.
 *
 * @param {import("./network.js").Network} network
 * @param {Uint8Array} image (28 * 28), 0 paper to 255 ink
 * @yields {Float64Array} (10), probabilities after one row more
 */
export function* readRowByRow(network, image) {
  const visible = 0.5 / 255 / network.std; // half a grey level; less is an effect of resampling
  let probabilities;
  let length = 0;
  for (let read = 1; read <= SIZE; read++) {
    // slant and centre are those of the rows read so far
    const sequence = network.sequence(image, read);
    // deskewing centres the ink, and so moves rows: none that has been read is cut off
    let end = SIZE * SIZE;
    while (end > 0 && Math.abs(sequence[end - 1] - network.paper) <= visible) end--;
    const before = length;
    length = Math.max(read, Math.ceil(end / SIZE));
    // a blank row that makes the sequence no longer changes nothing
    if (length !== before || !network.isBlank(image, read)) probabilities = network.classify(sequence, length);
    yield probabilities;
  }
}

/**
 * The row, from 1, from which on the answer is the final one, at half its final probability or more.
 *
 * @param {Float32Array} predictions (28 * 10), probabilities after each row
 */
export function settlesAt(predictions) {
  const classes = predictions.length / SIZE;
  const after = (row) => Array.from(predictions.subarray(row * classes, (row + 1) * classes));
  const best = (values) => values.indexOf(Math.max(...values));
  const final = after(SIZE - 1);
  const answer = best(final);
  for (let row = SIZE - 1; row >= 0; row--) {
    const values = after(row);
    if (best(values) !== answer || values[answer] < final[answer] / 2) return row + 2;
  }
  return 1;
}
