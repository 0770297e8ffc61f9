/** One layer that reads a sequence in one direction, and the product of a matrix with a vector, where the time goes. */

import { CELLS } from "./cells.js";

const chosen = new Int32Array(4);

/**
 * Add the product of a matrix and a vector: out[j] += sum over k of matrix[k, j] * x[k].
 *
 * Four rows of the transposed matrix are added at once, so that `out` is read and written a quarter as often. Zeros in
 * x are skipped: of the gradient features, most are.
 *
 * @param {Float64Array} out in which (rows) numbers from `outAt` on are added to
 * @param {Float32Array} matrix transposed: (columns, rows)
 * @param {Float64Array} x in which there are (columns) numbers from `xAt` on
 */
export function addProduct(out, outAt, rows, matrix, x, xAt, columns) {
  let waiting = 0;
  for (let k = 0; k < columns; k++) {
    if (x[xAt + k] === 0) continue;
    chosen[waiting++] = k;
    if (waiting < 4) continue;
    waiting = 0;
    const a = x[xAt + chosen[0]];
    const b = x[xAt + chosen[1]];
    const c = x[xAt + chosen[2]];
    const d = x[xAt + chosen[3]];
    const atA = chosen[0] * rows;
    const atB = chosen[1] * rows;
    const atC = chosen[2] * rows;
    const atD = chosen[3] * rows;
    for (let j = 0; j < rows; j++) {
      out[outAt + j] += a * matrix[atA + j] + b * matrix[atB + j] + c * matrix[atC + j] + d * matrix[atD + j];
    }
  }
  for (let n = 0; n < waiting; n++) {
    const a = x[xAt + chosen[n]];
    const at = chosen[n] * rows;
    for (let j = 0; j < rows; j++) out[outAt + j] += a * matrix[at + j];
  }
}

/** A layer in one direction. */
export class Direction {
  /**
   * @param {string} cell lstm, gru or rnn
   * @param {number} units H
   * @param {boolean} backward whether it reads from the last step to the first
   * @param {{ih, hh, biasIH, biasHH}} weights W (inputs, blocks * H), U (H, blocks * H), both transposed; b and d
   */
  constructor(cell, units, backward, weights) {
    this.cell = CELLS[cell];
    this.units = units;
    this.backward = backward;
    this.weights = weights;
    this.rows = this.cell.blocks * units;
    this.inputs = weights.ih.length / this.rows;
    // room for what a step computes, made once: making arrays in a loop takes longer than filling them
    this.input = new Float64Array(0);
    this.recurrent = new Float64Array(this.rows);
    this.before = new Float64Array(units);
    this.values = Object.fromEntries(this.cell.names.map((name) => [name, new Float64Array(units)]));
  }

  /**
   * Read a sequence.
   *
   * @param {Float64Array} steps (length, inputs)
   * @param {number} length
   * @param {Float64Array} outputs (length, stride): takes h of each step, (H) from `column` on
   * @param {number} stride
   * @param {number} column
   * @param {Object<string, Float32Array>} [kept] takes all values of each step, each (length, H)
   */
  read(steps, length, outputs, stride, column, kept) {
    const { rows, units, inputs, weights, recurrent, before, values } = this;
    if (this.input.length < length * rows) this.input = new Float64Array(length * rows);
    const input = this.input;
    for (let t = 0; t < length; t++) {
      input.set(weights.biasIH, t * rows);
      addProduct(input, t * rows, rows, weights.ih, steps, t * inputs, inputs);
    }
    for (const name of this.cell.names) values[name].fill(0);
    for (let n = 0; n < length; n++) {
      const t = this.backward ? length - 1 - n : n;
      before.set(values.h);
      recurrent.set(weights.biasHH);
      addProduct(recurrent, 0, rows, weights.hh, before, 0, units);
      this.cell.step(input, t * rows, recurrent, before, values, units);
      outputs.set(values.h, t * stride + column);
      if (kept) for (const name of this.cell.names) kept[name].set(values[name], t * units);
    }
  }
}
