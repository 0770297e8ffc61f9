/**
 * The network of the page: the same as `RowLSTM` in `mnist_lstm/network/model.py`, with the same weights.
 *
 * A 28x28 digit is read as 28 rows (or columns) of 28 pixels; recurrent layers turn them into hidden states, a linear
 * head turns these into one number for each digit, and softmax turns the numbers into probabilities.
 */

import { SIZE, deskew } from "./deskew.js";
import { VALUES_PER_PIXEL, appendGradientFeatures } from "./features.js";
import { CELLS } from "./cells.js";
import { Direction, addProduct } from "./layers.js";
import { decodeBase64, decodeHalves, transposed } from "./weights.js";

export class Network {
  /** @param {object} model what `describe` in `mnist_lstm/page/build.py` returns */
  constructor(model) {
    const options = model.options;
    this.options = options;
    this.temperature = model.temperature;
    // the arithmetic of `normalise`, which is in float32
    this.scale = Math.fround(1 / (255 * model.std));
    this.paper = -Math.fround(model.mean / model.std);
    this.std = model.std;
    const all = decodeHalves(decodeBase64(model.data));
    const find = (name) => {
      const { shape, offset } = model.weights[name];
      const values = all.subarray(offset, offset + shape.reduce((product, side) => product * side, 1));
      return shape.length === 2 ? transposed(values, shape[0], shape[1]) : values;
    };
    const suffixes = options.bidirectional ? ["", "_reverse"] : [""];
    this.layers = Array.from({ length: options.num_layers }, (_, layer) =>
      suffixes.map((suffix) => {
        const weights = {
          ih: find(`rnn.weight_ih_l${layer}${suffix}`),
          hh: find(`rnn.weight_hh_l${layer}${suffix}`),
          biasIH: find(`rnn.bias_ih_l${layer}${suffix}`),
          biasHH: find(`rnn.bias_hh_l${layer}${suffix}`),
        };
        return new Direction(options.cell, options.hidden_size, suffix !== "", weights);
      }),
    );
    this.head = { matrix: find("head.weight"), bias: find("head.bias") };
    this.width = options.hidden_size * suffixes.length; // of the outputs of a layer at one step
    this.features = new Float64Array(SIZE * SIZE * VALUES_PER_PIXEL);
    this.outputs = this.layers.map(() => new Float64Array(SIZE * this.width));
  }

  /**
   * The digit as the layers read it, before gradient features.
   *
   * @param {Uint8Array} image (28 * 28), 0 paper to 255 ink
   * @param {number} [read] only the first rows (or columns) that have been read; the others are blank
   * @returns {Float64Array} (28, 28), normalised; transposed if the network reads columns
   */
  sequence(image, read = SIZE) {
    const byColumns = this.options.scan_order === "columns";
    let ink = new Float64Array(image.length);
    for (let at = 0; at < ink.length; at++) {
      const isRead = (byColumns ? at % SIZE : Math.floor(at / SIZE)) < read;
      if (isRead) ink[at] = Math.fround(Math.fround(image[at] * this.scale) + this.paper) - this.paper;
    }
    if (this.options.deskew) ink = deskew(ink);
    const result = new Float64Array(ink.length);
    for (let at = 0; at < ink.length; at++) {
      const to = byColumns ? (at % SIZE) * SIZE + Math.floor(at / SIZE) : at;
      result[to] = ink[at] + this.paper;
    }
    return result;
  }

  /**
   * @param {Uint8Array} image (28 * 28), 0 paper to 255 ink
   * @param {number} number of a row, or of a column if the network reads columns, from 1
   */
  isBlank(image, number) {
    const byColumns = this.options.scan_order === "columns";
    for (let n = 0; n < SIZE; n++) {
      if (image[byColumns ? n * SIZE + number - 1 : (number - 1) * SIZE + n] !== 0) return false;
    }
    return true;
  }

  /**
   * @param {Float64Array} sequence (28, 28), from `sequence`
   * @returns {Float32Array} (28 * 28), the digit as it is read, upright again: 0 paper to 1 ink
   */
  asInk(sequence) {
    const byColumns = this.options.scan_order === "columns";
    return Float32Array.from(sequence, (_, at) => {
      const from = byColumns ? (at % SIZE) * SIZE + Math.floor(at / SIZE) : at;
      return Math.min(Math.max((sequence[from] - this.paper) * this.std, 0), 1);
    });
  }

  /**
   * Classify the first rows of a sequence.
   *
   * @param {Float64Array} sequence (28, 28), from `sequence`
   * @param {number} length rows that are read, at least 1
   * @param {Array<Array<object>>} [kept] for each layer and direction, room for the values of each step
   * @returns {Float64Array} (10), probabilities
   */
  classify(sequence, length = SIZE, kept = undefined) {
    let steps = sequence;
    if (this.options.gradient_features) {
      steps = this.features;
      appendGradientFeatures(sequence, length, this.paper, steps);
    }
    this.layers.forEach((directions, layer) => {
      const outputs = this.outputs[layer];
      directions.forEach((direction, n) => {
        direction.read(steps, length, outputs, this.width, n * this.options.hidden_size, kept?.[layer][n]);
      });
      steps = outputs;
    });
    const summary = this.options.pooling === "avgmax" ? this.average(steps, length) : this.last(steps, length);
    const logits = Float64Array.from(this.head.bias);
    addProduct(logits, 0, logits.length, this.head.matrix, summary, 0, summary.length);
    return softmax(logits, this.temperature);
  }

  /** The last hidden state of each direction: forward that of the last step, backward that of the first. */
  last(outputs, length) {
    const units = this.options.hidden_size;
    return Float64Array.from({ length: this.width }, (_, n) => outputs[(n < units ? length - 1 : 0) * this.width + n]);
  }

  /** Mean of each unit over the steps, then the maximum of each. */
  average(outputs, length) {
    const { width } = this;
    const summary = new Float64Array(2 * width);
    for (let n = 0; n < width; n++) {
      let sum = 0;
      let maximum = -Infinity;
      for (let t = 0; t < length; t++) {
        const value = outputs[t * width + n];
        sum += value;
        if (value > maximum) maximum = value;
      }
      summary[n] = sum / length;
      summary[width + n] = maximum;
    }
    return summary;
  }

  /**
   * All values of all steps, by the names in the cell's equations.
   *
   * @param {Float64Array} sequence (28, 28), from `sequence`
   * @returns {Array<{layer, direction, steps, units, values: Object<string, Float32Array>}>} each (steps * units)
   */
  trace(sequence) {
    const units = this.options.hidden_size;
    const { names } = CELLS[this.options.cell];
    const kept = this.layers.map((directions) =>
      directions.map(() => Object.fromEntries(names.map((name) => [name, new Float32Array(SIZE * units)]))),
    );
    this.classify(sequence, SIZE, kept);
    return kept.flatMap((directions, layer) =>
      directions.map((values, n) => ({
        layer: layer + 1,
        direction: n === 0 ? "forward" : "backward",
        steps: SIZE,
        units,
        values,
      })),
    );
  }
}

/** Turn one number for each digit into probabilities, which sum to 1. */
function softmax(logits, temperature) {
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp((logit - largest) / temperature));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
